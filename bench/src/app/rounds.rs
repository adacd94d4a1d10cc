//! Rounds of a verifying workload: the load under which faults are injected and drivers killed.
//!
//! The load is open: each round is due at its time whether or not the last one is done, and its delay counts from when
//! it was due. A kernel that stands still for a second delays every round that was due in it.

use std::time::Duration;

use kd_api::Errno;
use kd_boot::board::{Board, Field};
use kd_boot::control::Entry;
use kd_machine::clock;
use kd_workloads::{Env, Session, Verdict};

use super::answers::Answers;
use super::start;

/// Between two looks of an app that put everything away.
const AWAY: Duration = Duration::from_micros(50);

/// Runs rounds until the board says stop, then audits.
pub fn run(env: &Env, workload: &str, rate: u32, entry: Entry, board: &Board) {
    let (answers, env) = &Answers::of(env);
    let Ok(mut session) = start(env, workload, entry) else {
        board.set(Field::Failed, 1);
        return;
    };
    let period = 1_000_000_000u64.checked_div(u64::from(rate)).unwrap_or(0);
    let begin = clock::now();
    board.begin_timeline(begin);
    board.set(Field::Running, 1);
    let mut round = 0;
    while board.get(Field::Stop) == 0 {
        if board.get(Field::Away) != 0 {
            drop(session);
            session = match come_back(env, workload, entry, board) {
                Some(again) => again,
                None => return,
            };
        }
        let due = if period == 0 { clock::now() } else { begin + round * period };
        let early = due.saturating_sub(clock::now());
        if early > 0 {
            std::thread::sleep(Duration::from_nanos(early));
        }
        board.set(Field::LastStart, clock::now());
        answers.begin();
        let verdict = session.verify(round);
        if verdict == Verdict::Good {
            answers.show(board);
        }
        let killed = note(board, verdict, due);
        if killed {
            // The kernel has ended this app; it gets no further system call, so nothing can be released either.
            std::mem::forget(session);
            return;
        }
        round += 1;
    }
    audit(session, board);
}

/// Waits, with nothing open, until the harness says so, and begins again; nothing if it is to stop. Rounds stay due meanwhile.
fn come_back(env: &Env, workload: &str, entry: Entry, board: &Board) -> Option<Box<dyn Session>> {
    board.set(Field::IsAway, 1);
    while board.get(Field::Stop) == 0 {
        if board.get(Field::Away) == 0 {
            match start(env, workload, entry) {
                Ok(session) => {
                    board.set(Field::IsAway, 0);
                    return Some(session);
                }
                // What it opens is not there yet.
                Err(_) => board.add(Field::Failed, 1),
            }
        }
        std::thread::sleep(AWAY);
    }
    None
}

/// Notes how a round went; `true` if the app has been killed.
fn note(board: &Board, verdict: Verdict, due: u64) -> bool {
    let now = clock::now();
    let begun = board.get(Field::LastStart);
    if now - begun > board.get(Field::LongestRound) {
        board.set(Field::LongestRound, now - begun);
        board.set(Field::LongestRoundAt, begun);
    }
    if verdict == Verdict::Good {
        if board.get(Field::FirstGood) == 0 {
            board.set(Field::FirstGood, now);
        }
        board.remember(board.get(Field::Good), due, now);
        board.add(Field::Good, 1);
        board.set(Field::LastGood, now);
        board.tick(now);
        let gap = now.saturating_sub(due);
        if gap > board.get(Field::LongestGap) {
            board.set(Field::LongestGap, gap);
            board.set(Field::LongestGapAt, due);
        }
        return false;
    }
    if board.get(Field::FirstBad) == 0 {
        board.set(Field::FirstBad, now);
    }
    match verdict {
        Verdict::Wrong { .. } => board.add(Field::Wrong, 1),
        Verdict::Failed(Errno::EKILLED) => board.set(Field::Killed, 1),
        Verdict::Failed(errno) => {
            board.set(Field::LastErrno, errno as u64);
            board.add(Field::Failed, 1);
            if errno == Errno::EUNKNOWN {
                board.add(Field::Unknown, 1);
            }
        }
        Verdict::Good => {}
    }
    board.get(Field::Killed) != 0
}

fn audit(mut session: Box<dyn Session>, board: &Board) {
    let audit = session.audit();
    board.set(Field::Acknowledged, audit.acknowledged);
    board.set(Field::Lost, audit.lost);
    board.set(Field::Corrupted, audit.wrong);
    board.set(Field::Twice, audit.twice);
    board.set(Field::Audited, 1);
}

/// Runs a workload's timed loop for so long, for profilers and people.
pub fn repeat(env: &Env, workload: &str, milliseconds: u64, board: &Board) {
    let Ok(mut session) = start(env, workload, Entry::Call) else {
        board.set(Field::Failed, 1);
        return;
    };
    let operations = session.together().max(16);
    let begin = clock::now();
    board.set(Field::Running, 1);
    while board.get(Field::Stop) == 0 && (milliseconds == 0 || clock::now() - begin < milliseconds * 1_000_000) {
        if board.get(Field::Away) != 0 {
            drop(session);
            session = match come_back(env, workload, Entry::Call, board) {
                Some(again) => again,
                None => return,
            };
        }
        match session.prepare(operations).and_then(|()| session.run(operations)) {
            Ok(()) => {
                board.add(Field::Good, operations);
                board.set(Field::LastGood, clock::now());
            }
            Err(errno) => {
                board.add(Field::Failed, 1);
                board.set(Field::LastErrno, errno as u64);
                if errno == Errno::EKILLED {
                    board.set(Field::Killed, 1);
                    std::mem::forget(session);
                    return;
                }
            }
        }
    }
}
