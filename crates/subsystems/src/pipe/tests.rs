//! Pipes against literal expectations, with threads where waiting is the point.

extern crate std;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread::{scope, spawn};
use std::vec;
use std::vec::Vec;

use kd_api::ids::PipeId;
use kd_api::interfaces::pipe::{PIPE_CAPACITY, Pipe};
use kd_api::{Errno, InBuf, OutBuf};
use kd_sync::rendezvous;

use super::Pipes;

fn made() -> (Pipes, PipeId) {
    let pipes = Pipes::new();
    let id = pipes.create().expect("made");
    (pipes, id)
}

fn read(pipes: &Pipes, id: PipeId, room: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; room];
    let count = pipes.read(id, &mut OutBuf::new(&mut bytes))?;
    bytes.truncate(count);
    Ok(bytes)
}

fn write(pipes: &Pipes, id: PipeId, bytes: &[u8]) -> Result<usize, Errno> {
    pipes.write(id, &mut InBuf::new(bytes))
}

#[test]
fn ends_and_errors() {
    let (pipes, id) = made();
    assert_eq!(write(&pipes, id, b"hello"), Ok(5));
    assert_eq!(read(&pipes, id, 3), Ok(b"hel".to_vec()));
    assert_eq!(read(&pipes, id, 0), Ok(vec![]));
    assert_eq!(pipes.close(id, true), Ok(()));
    assert_eq!(pipes.close(id, true), Err(Errno::EBADF));
    assert_eq!(read(&pipes, id, 9), Ok(b"lo".to_vec()));
    assert_eq!(read(&pipes, id, 9), Ok(vec![]));
    assert_eq!(pipes.close(id, false), Ok(()));
    assert_eq!(read(&pipes, id, 9), Err(Errno::EBADF));
    assert_eq!(pipes.pipes.len(), 0);

    let (pipes, id) = made();
    assert_eq!(pipes.close(id, false), Ok(()));
    assert_eq!(write(&pipes, id, b""), Ok(0));
    assert_eq!(write(&pipes, id, b"x"), Err(Errno::EPIPE));
}

#[test]
fn a_reader_waits_for_bytes_and_for_the_end() {
    let (pipes, id) = made();
    let reads = AtomicU32::new(0);
    scope(|s| {
        s.spawn(|| {
            while read(&pipes, id, 1).is_ok_and(|bytes| !bytes.is_empty()) {
                reads.fetch_add(1, SeqCst);
            }
        });
        for _ in 0..1000 {
            assert_eq!(write(&pipes, id, b"x"), Ok(1));
        }
        assert_eq!(pipes.close(id, true), Ok(()));
    });
    assert_eq!(reads.load(SeqCst), 1000);
}

#[test]
fn a_long_write_waits_and_learns_that_nobody_reads() {
    let (pipes, id) = made();
    scope(|s| {
        let writer = s.spawn(|| write(&pipes, id, &vec![7; PIPE_CAPACITY + 10]));
        let mut left = 5;
        while left > 0 {
            left -= read(&pipes, id, left).expect("bytes").len();
        }
        assert_eq!(pipes.close(id, false), Ok(()));
        let wrote = writer.join().expect("no panic").expect("some went in");
        assert!((1..=PIPE_CAPACITY + 5).contains(&wrote), "{wrote}");
    });
}

#[test]
fn short_writes_are_never_mixed() {
    const EACH: usize = 200;
    const SIZE: usize = 3000;
    let (pipes, id) = made();
    scope(|s| {
        for mark in 0..3_u8 {
            let pipes = &pipes;
            s.spawn(move || (0..EACH).for_each(|_| assert_eq!(write(pipes, id, &[mark; SIZE]), Ok(SIZE))));
        }
        let mut all = vec![];
        while all.len() < 3 * EACH * SIZE {
            all.extend(read(&pipes, id, 4096).expect("bytes"));
        }
        assert!(all.chunks(SIZE).all(|chunk| chunk.iter().all(|byte| *byte == chunk[0])));
    });
}

#[test]
fn wait_readable_answers_once_there_is_something() {
    let (pipes, id) = made();
    let pipes = Arc::new(pipes);
    for end in [false, true] {
        let (done, waiter) = rendezvous();
        pipes.wait_readable(id, done);
        assert_eq!(pipes.pipes.get(id.0).map(|c| c.state.lock().asked.len()), Some(1));
        let other = pipes.clone();
        let waking = spawn(move || {
            if end {
                assert_eq!(other.close(id, true), Ok(()));
            } else {
                assert_eq!(write(&other, id, b"x"), Ok(1));
            }
        });
        assert_eq!(waiter.wait(), Ok(()));
        assert!(waking.join().is_ok());
        let (done, waiter) = rendezvous();
        pipes.wait_readable(id, done);
        assert_eq!(waiter.wait(), Ok(()), "nothing to wait for");
        assert_eq!(read(&pipes, id, 9).map(|bytes| bytes.len()), Ok(usize::from(!end)));
    }
    let (done, waiter) = rendezvous();
    pipes.wait_readable(PipeId(99), done);
    assert_eq!(waiter.wait(), Err(Errno::EBADF));
}

#[test]
fn who_is_interrupted_takes_and_leaves_nothing() {
    let (pipes, id) = made();
    let interrupt_until = |done: &dyn Fn() -> bool| {
        while !done() {
            assert_eq!(pipes.interrupt(id), Ok(()));
            std::thread::yield_now();
        }
    };
    scope(|scope| {
        let reader = scope.spawn(|| read(&pipes, id, 3));
        interrupt_until(&|| reader.is_finished());
        assert_eq!(reader.join().expect("no panic"), Err(Errno::ECANCELED));
    });
    let full = vec![1; PIPE_CAPACITY];
    assert_eq!(write(&pipes, id, &full), Ok(PIPE_CAPACITY));
    scope(|scope| {
        let writer = scope.spawn(|| write(&pipes, id, b"abc"));
        interrupt_until(&|| writer.is_finished());
        assert_eq!(writer.join().expect("no panic"), Err(Errno::ECANCELED));
    });
    assert_eq!(read(&pipes, id, PIPE_CAPACITY + 3), Ok(full), "and who comes later waits and reads as ever");
    assert_eq!(pipes.interrupt(PipeId(0)), Err(Errno::EBADF));
}
