//! A canary: an app that never uses the faulty component. It keeps a file of known content and checks it over and over.

use kd_api::interfaces::vfs::open;
use kd_api::{Errno, Fd, InBuf, OutBuf, Result};
use kd_boot::board::{Board, Field};
use kd_boot::control::canary;
use kd_machine::clock;
use kd_workloads::Env;

/// Checks until the board says stop.
pub fn run(env: &Env, seed: u64, board: &Board) {
    let expected = canary(seed);
    let mut content = vec![0; expected.len()];
    // What an earlier canary of this boot left, as far as the kernel still has it.
    if let Ok(fd) = env.sys.open(env.caller, "/canary", open::RDONLY, 0) {
        let read = env.sys.pread(env.caller, fd, 0, &mut OutBuf::new(&mut content));
        if read == Ok(expected.len()) && content == expected {
            board.set(Field::Acknowledged, expected.len() as u64);
        }
        let _ = env.sys.close(env.caller, fd);
    }
    let mut fd = match make(env, &expected) {
        Ok(fd) => fd,
        Err(_) => return board.set(Field::Failed, 1),
    };
    board.set(Field::Running, 1);
    while board.get(Field::Stop) == 0 {
        board.set(Field::LastStart, clock::now());
        let read = env.sys.pread(env.caller, fd, 0, &mut OutBuf::new(&mut content));
        let now = clock::now();
        match read {
            Ok(count) if count == expected.len() && content == expected => {
                board.add(Field::Good, 1);
                board.set(Field::LastGood, now);
            }
            Ok(_) => board.add(Field::Wrong, 1),
            Err(Errno::EKILLED) => return board.set(Field::Killed, 1),
            Err(errno) => {
                board.add(Field::Failed, 1);
                board.set(Field::LastErrno, errno as u64);
                // A server that was restarted has forgotten the descriptor.
                fd = env.sys.open(env.caller, "/canary", open::RDONLY, 0).unwrap_or(fd);
            }
        }
        std::thread::sleep(std::time::Duration::from_micros(500));
    }
    board.set(Field::Audited, 1);
}

fn make(env: &Env, content: &[u8]) -> Result<Fd> {
    let fd = env.sys.open(env.caller, "/canary", open::RDWR | open::CREAT, 0o600)?;
    match env.sys.pwrite(env.caller, fd, 0, &mut InBuf::new(content))? {
        count if count == content.len() => Ok(fd),
        _ => Err(Errno::EIO),
    }
}
