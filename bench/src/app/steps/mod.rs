//! An app that acts when it is told to, one step at a time: so that what two apps do of one trial comes in the same order
//! in every kernel and every run.
//!
//! | file | what |
//! | --- | --- |
//! | `device` | a round of reads and writes of a block device |
//! | `files` | one of operations on a file system |
//! | `calls` | the rarer of them |
//! | `small` | one of a component that has no files: `kv`, `proc` |
//! | `private` | what an app does with components that are not meant to fail |
//! | `probe` | a question to each interface |

mod calls;
mod device;
pub mod files;
mod private;
mod probe;
mod small;

use kd_api::Errno;
use kd_boot::board::{Board, Field, Step};
use kd_boot::control::Load;
use kd_machine::clock;
use kd_workloads::{Audit, Env, Verdict, Wrong};

/// Bytes written so that any of them can be checked later.
pub fn data(app: u32, place: usize, stamp: u64, len: usize) -> Vec<u8> {
    // No byte is zero: a zero that is read back was lost.
    let seed =
        (u64::from(app) << 48 | (place as u64) << 32).wrapping_add(stamp).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let byte = |index: usize| (seed.wrapping_mul(index as u64 + 1) >> 40) as u8 | 1;
    (0..len).map(byte).collect()
}

/// What a call came to that moved another number of bytes than there were: fewer is an error that the app was told of.
fn told_short(count: usize, of: usize) -> Wrong {
    if count < of { Wrong::Call(Errno::EIO) } else { Wrong::Answer(format!("{of} bytes were {count}")) }
}

/// What an app does in each round.
trait Work {
    /// One round, checked; the board is told what is stable.
    fn round(&mut self, round: u64, board: &Board) -> Verdict;
    /// A look at all that was acknowledged.
    fn audit(&mut self) -> Audit;
}

/// Takes steps as the board says, until this process is killed, or the kernel kills the app.
pub fn run(env: &Env, load: &Load, probes: &[String], board: &Board) {
    let work: Result<Box<dyn Work>, Errno> = match load {
        Load::Device(path) => device::Device::start(env, path).map(|it| Box::new(it) as _),
        Load::Files(directory) => files::Files::start(env, directory, true).map(|it| Box::new(it) as _),
        Load::File(directory) => files::Files::start(env, directory, false).map(|it| Box::new(it) as _),
        Load::Values => small::Values::start(env).map(|it| Box::new(it) as _),
        Load::Identity => small::Identity::start(env).map(|it| Box::new(it) as _),
    };
    let mut work = match work {
        Ok(work) => work,
        Err(errno) => {
            board.set(Field::LastErrno, errno as u64);
            return board.end_turn(0);
        }
    };
    board.set(Field::Running, 1);
    board.end_turn(0);
    let mut round = 0;
    for number in 1.. {
        match board.wait_for_turn(number) {
            Step::Round => {
                board.set(Field::LastStart, clock::now());
                note(board, work.round(round, board));
                round += 1;
            }
            Step::Audit => {
                let audit = work.audit();
                board.set(Field::Acknowledged, audit.acknowledged);
                board.set(Field::Lost, audit.lost);
                board.set(Field::Corrupted, audit.wrong);
                board.set(Field::Audited, 1);
            }
            Step::Probe => probe::all(env, probes, board),
        }
        board.end_turn(number);
        if board.get(Field::Killed) != 0 {
            return;
        }
    }
}

fn note(board: &Board, verdict: Verdict) {
    if verdict == Verdict::Good {
        board.add(Field::Good, 1);
        return;
    }
    if board.get(Field::FirstBad) == 0 {
        board.set(Field::FirstBad, clock::now());
    }
    match verdict {
        Verdict::Wrong { .. } => board.add(Field::Wrong, 1),
        Verdict::Failed(Errno::EKILLED) => board.set(Field::Killed, 1),
        Verdict::Failed(errno) => {
            board.set(Field::LastErrno, errno as u64);
            board.add(Field::Failed, 1);
        }
        Verdict::Good => {}
    }
}

/// Counts bytes of a piece that are lost or wrong.
fn compare(audit: &mut Audit, expected: &[u8], found: &[u8]) {
    audit.acknowledged += expected.len() as u64;
    for (at, byte) in expected.iter().enumerate() {
        match found.get(at) {
            Some(there) if there == byte => {}
            None | Some(0) => audit.lost += 1,
            Some(_) => audit.wrong += 1,
        }
    }
}
