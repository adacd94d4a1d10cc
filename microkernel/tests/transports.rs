//! Both transports of the microkernel within one process: threads, and channels with every way to wait. What they answer
//! is what a direct call answers; their pools are bounded; their channels outlive their servers.

#[path = "../../crates/api/tests/kinds/mod.rs"]
mod kinds;

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kd_api::client::{Exchange, Port};
use kd_api::ids::PipeId;
use kd_api::interfaces::pipe::{Pipe, PipeClient};
use kd_api::{Caller, Errno, Fd, Handle, InBuf, Message, OutBuf};
use kd_microkernel::thread::connect;
use kd_nucleus::channel::{self, Bell, CALL_SLOTS, Channel, ChannelPort, Pool, Wait};
use kd_subsystems::pipe::Pipes;
use kinds::{Honest, Kinds, KindsClient};

const ME: Caller = Caller::app(5);
const OTHER: Caller = Caller::app(6);

static PARK: kd_sync::Park = kd_sync::Park { wait: kd_nucleus::futex::park, wake: kd_nucleus::futex::wake };

fn honest() -> Handle {
    Handle::new(Arc::new(Honest::default()) as Arc<dyn Kinds>)
}

/// A server of two clients in this process, each with a channel of its own.
fn channels(handle: &Handle, wait: Wait, threads: u32) -> [(Channel, Arc<dyn Port>); 2] {
    let bell = Bell::new().expect("shared memory");
    let ends = [(); 2].map(|()| Channel::new("kd-test", &bell).expect("shared memory"));
    let clients = ends.iter().cloned().zip([ME, OTHER]).collect();
    Pool::new(clients, bell, handle.serve(), wait, threads).start();
    ends.map(|channel| (channel.clone(), Arc::new(ChannelPort::new(channel, wait)) as Arc<dyn Port>))
}

/// The port of one client, through each transport.
fn ports(handle: &Handle, threads: u32) -> Vec<(&'static str, Arc<dyn Port>)> {
    let mut ports = vec![("thread", connect(handle.serve(), "kinds", threads, ME))];
    for wait in [Wait::Yield, Wait::Block, Wait::Adaptive] {
        let [(_, port), _] = channels(handle, wait, threads);
        ports.push((wait.name(), port));
    }
    ports
}

#[test]
fn answers_are_those_of_a_direct_call() {
    for (transport, port) in ports(&honest(), 3) {
        eprintln!("{transport}");
        let client = KindsClient::new(port);
        kinds::agrees(&client, ME, 48);
        kinds::events_arrive(&client);
    }
}

#[test]
fn two_clients_are_told_apart_and_do_not_disturb_each_other() {
    let [one, two] = channels(&honest(), Wait::Adaptive, 3);
    std::thread::scope(|scope| {
        for ((_, port), caller) in [(one, ME), (two, OTHER)] {
            scope.spawn(move || {
                let client = KindsClient::new(port);
                assert_eq!(client.who(ME), Ok(caller.app));
                kinds::agrees(&client, caller, 48);
            });
        }
    });
}

#[test]
fn a_full_pool_refuses_blocking_calls_and_answers_the_rest() {
    kd_sync::install(&PARK);
    const THREADS: u32 = 4;
    let pipes = Arc::new(Pipes::new());
    for (transport, port) in ports(&Handle::new(pipes.clone() as Arc<dyn Pipe>), THREADS) {
        let client = PipeClient::new(port);
        let pipe = client.create().expect("answered");
        std::thread::scope(|scope| {
            let read = || {
                let mut byte = [0];
                client.read(pipe, &mut OutBuf::new(&mut byte)).map(|count| (count, byte[0]))
            };
            // One reader more than may wait: whoever is refused is the last to come.
            let waiting: Vec<_> = (0..THREADS).map(|_| scope.spawn(read)).collect();
            let begin = Instant::now();
            while !waiting.iter().any(|reader| reader.is_finished()) {
                if begin.elapsed() > Duration::from_secs(10) {
                    // The end of the pipe lets the readers go, so that this is a failure and no hang.
                    pipes.close(pipe, true).expect("open");
                    panic!("{transport}: the last thread was lent to a call that waits");
                }
                std::thread::yield_now();
            }
            let (refused, waiting): (Vec<_>, _) = waiting.into_iter().partition(|reader| reader.is_finished());
            assert_eq!(refused.len(), 1, "{transport}");
            for reader in refused {
                assert_eq!(reader.join().expect("no panic"), Err(Errno::EAGAIN), "{transport}");
            }
            for _ in 0..100 {
                assert_eq!(client.write(pipe, &mut InBuf::new(b"?")), Err(Errno::EAGAIN), "{transport}");
                assert!(client.create().is_ok(), "{transport}: a call that does not wait is answered");
                assert_eq!(client.close(PipeId(u64::MAX), true), Err(Errno::EBADF), "{transport}");
            }
            // The component itself, not through its full pool.
            assert_eq!(pipes.write(pipe, &mut InBuf::new(b"abc")), Ok(3));
            let mut got: Vec<_> = waiting.into_iter().map(|reader| reader.join().expect("no panic")).collect();
            got.sort_by_key(|answer| answer.map(|(_, byte)| byte).ok());
            assert_eq!(got, [Ok((1, b'a')), Ok((1, b'b')), Ok((1, b'c'))], "{transport}");
            assert_eq!(client.write(pipe, &mut InBuf::new(b"!")), Ok(1), "{transport}: there is room again");
        });
    }
}

#[test]
fn a_client_has_so_many_calls_under_way_and_no_more() {
    kd_sync::install(&PARK);
    let pipes: Arc<dyn Pipe> = Arc::new(Pipes::new());
    let [(channel, port), (_, other)] = channels(&Handle::new(pipes.clone()), Wait::Block, 2);
    let client = PipeClient::new(port);
    let pipe = client.create().expect("answered");
    let (answer, answers) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..CALL_SLOTS {
            let (client, answer) = (&client, answer.clone());
            scope.spawn(move || {
                let done = kd_api::Completion::new(move |result| answer.send(result).expect("somebody waits"));
                client.wait_readable(pipe, done);
            });
        }
        while channel::stuck(&channel).filter(|call| call.taken).count() < CALL_SLOTS {
            std::thread::yield_now();
        }
        assert_eq!(client.create(), Err(Errno::EAGAIN), "no slot is free");
        assert!(PipeClient::new(other).create().is_ok(), "that is this client's affair");
        assert_eq!(pipes.write(pipe, &mut InBuf::new(b"x")), Ok(1));
        for _ in 0..CALL_SLOTS {
            assert_eq!(answers.recv(), Ok(Ok(())));
        }
    });
    assert!(client.create().is_ok());
}

/// Remembers what it heard.
#[derive(Default)]
struct Ear(Mutex<Vec<u64>>);

#[kd_api::interface]
trait Listener {
    #[event]
    fn heard(&self, number: u64);
    fn count(&self) -> kd_api::Result<u64>;
}

impl Listener for Ear {
    fn heard(&self, number: u64) {
        self.0.lock().expect("no panic holding it").push(number);
    }
    fn count(&self) -> kd_api::Result<u64> {
        Ok(self.0.lock().expect("no panic holding it").len() as u64)
    }
}

#[test]
fn events_without_room_are_dropped_and_counted_and_never_block() {
    const EVENTS: u64 = 50;
    let ear = Arc::new(Ear::default());
    // One channel whose server does not run yet, so that nothing is taken up.
    let bell = Bell::new().expect("shared memory");
    let channel = Channel::new("kd-test", &bell).expect("shared memory");
    let client = ListenerClient::new(Arc::new(ChannelPort::new(channel.clone(), Wait::Block)));
    (0..EVENTS).for_each(|number| client.heard(number));
    let dropped = channel.counters().dropped.load(SeqCst);
    let kept = EVENTS - u64::from(dropped);
    assert_eq!(kept, 2, "as many as there are slots for events");
    let handle = Handle::new(ear.clone() as Arc<dyn Listener>);
    Pool::new(vec![(channel.clone(), ME)], bell, handle.serve(), Wait::Block, 2).start();
    while client.count() != Ok(kept) {
        std::thread::yield_now();
    }
    let mut heard = ear.0.lock().expect("no panic holding it").clone();
    heard.sort_unstable();
    assert_eq!(heard, [0, 1], "the first that came");
    assert_eq!(channel.counters().dropped.load(SeqCst), dropped);
}

#[test]
fn an_abandoned_channel_fails_calls_present_and_to_come() {
    let bell = Bell::new().expect("shared memory");
    let channel = Channel::new("kd-test", &bell).expect("shared memory");
    for wait in [Wait::Yield, Wait::Block, Wait::Adaptive] {
        let client = KindsClient::new(Arc::new(ChannelPort::new(channel.clone(), wait)));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| (client.byte(1), client.nothing()));
            std::thread::sleep(Duration::from_millis(5));
            channel::abandon(&channel);
            assert_eq!(waiting.join().expect("no panic"), (Err(Errno::EUNKNOWN), Err(Errno::EIO)), "{}", wait.name());
        });
        client.noted(1, (2, true), Fd(3));
    }
    assert_eq!(channel.counters().unknown.load(SeqCst), 3);
    assert_eq!(channel.counters().repeated.load(SeqCst), 3 * kd_api::client::REPEATS);
}

#[test]
fn what_a_dead_server_had_in_hand_is_told_and_the_rest_waits_for_its_successor() {
    kd_sync::install(&PARK);
    let bell = Bell::new().expect("shared memory");
    let channel = Channel::new("kd-test", &bell).expect("shared memory");
    let port = Arc::new(ChannelPort::new(channel.clone(), Wait::Block));
    let operation = &KindsClient::INFO.operations[0];
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let slot = port.claim().expect("free");
                    let mut message = Message::default();
                    let exchange = port.exchange(&slot, operation, &mut message);
                    port.release(slot);
                    (exchange, message.status)
                })
            })
            .collect();
        while channel::stuck(&channel).count() < 2 {
            std::thread::yield_now();
        }
        // As a server does that takes up the first and dies of it.
        let first = channel::stuck(&channel).next().expect("two");
        channel.taken()[first.slot].store(first.sequence, SeqCst);
        channel::scrub(&channel);
        while !calls.iter().any(|call| call.is_finished()) {
            std::thread::yield_now();
        }
        Pool::new(vec![(channel.clone(), ME)], bell, honest().serve(), Wait::Block, 2).start();
        let ends: Vec<_> = calls.into_iter().map(|call| call.join().expect("no panic")).collect();
        assert_eq!(ends.iter().filter(|(end, _)| *end == Exchange::Died).count(), 1);
        assert_eq!(ends.iter().filter(|end| **end == (Exchange::Replied, 0)).count(), 1);
    });
}

/// The threads of a dead server that the host has not ended yet sleep on its bell, and would be woken by rings that are meant for
/// its successor's.
#[test]
fn nobody_sleeps_on_the_bell_of_a_dead_server() {
    let bell = Bell::new().expect("shared memory");
    let channel = Channel::new("kd-test", &bell).expect("shared memory");
    let sleepers: Vec<_> = (0..3)
        .map(|_| {
            let bell = bell.clone();
            std::thread::spawn(move || bell.sleep(bell.rung()))
        })
        .collect();
    let begin = Instant::now();
    while !sleepers.iter().all(|sleeper| sleeper.is_finished()) {
        // One that was not asleep yet is woken by the next.
        channel::scrub(&channel);
        assert!(begin.elapsed() < Duration::from_secs(20), "somebody sleeps still");
        std::thread::yield_now();
    }
    assert_eq!(bell.rung(), 0, "nobody rang");
}
