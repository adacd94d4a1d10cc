//! What an app shows of itself while it runs: a page that the harness maps too, so that it can look without asking.
//!
//! Every word is written by the app alone, but `Stop`, `Away` and `Turn`, which the harness sets. Times are nanoseconds of the machine's
//! monotonic clock.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::*};

use kd_machine::memory::{Mapping, Memory, Words};
use kd_nucleus::futex;

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The words of a board.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum Field { $($(#[$doc])* $name,)* }
        const FIELDS: usize = [$(Field::$name,)*].len();
    };
}

fields! {
    /// Set by the harness: finish.
    Stop,
    /// Set by the harness: put everything away that is open, until it is 0 again.
    Away,
    /// The app has.
    IsAway,
    /// The app runs its workload.
    Running,
    /// Rounds that were good.
    Good,
    /// Rounds that failed with an errno.
    Failed,
    /// The last such errno.
    LastErrno,
    /// Rounds that returned wrong data.
    Wrong,
    /// The kernel told the app that it was killed.
    Killed,
    /// Calls of unknown outcome.
    Unknown,
    /// When the first good round ended.
    FirstGood,
    /// When the last good round ended.
    LastGood,
    /// When the last round was begun.
    LastStart,
    /// When the first failed or wrong round ended.
    FirstBad,
    /// Longest time from when a round was due to its good end.
    LongestGap,
    /// When that round was due.
    LongestGapAt,
    /// Longest round, however it ended.
    LongestRound,
    /// When that round was begun.
    LongestRoundAt,
    /// Bytes acknowledged, by the final audit.
    Acknowledged,
    /// Of those, bytes that could not be read back.
    Lost,
    /// Of those, bytes that read back wrong.
    Corrupted,
    /// Operations that happened twice, by the same audit.
    Twice,
    /// The final audit is done.
    Audited,
    /// Calls of good rounds that were answered, as far as they are noted.
    Answered,
    /// Set by the harness: the next step, for apps that take them one at a time.
    Turn,
    /// The last step taken.
    Taken,
    /// For each of four files one more than the round whose write of it is acknowledged as stable; 0 if none is known to be.
    Stable,
    Stable1,
    Stable2,
    Stable3,
    /// Components that were probed.
    Probed,
    /// A bit for each of them that did not answer as it should.
    Unhealthy,
}

/// Good rounds that a board remembers one by one, the last ones.
pub const RECENT: usize = 512;

/// Answers that a board remembers, the last ones.
const ANSWERS: usize = 2048;

/// Milliseconds of the timeline that a board keeps.
pub const TIMELINE_MS: usize = 4096;

/// Buckets of the delays that a board counts.
const DELAYS: usize = 64 * PARTS;
/// Buckets of each doubling: a bucket is at most an eighth wide, as in an HDR histogram with one digit.
const PARTS: usize = 8;

/// Where the words of rounds and delays begin.
const ROUNDS_AT: usize = FIELDS + 1 + TIMELINE_MS;
const DELAYS_AT: usize = ROUNDS_AT + 2 * RECENT;
const ANSWERS_AT: usize = DELAYS_AT + DELAYS;
const WORDS: usize = ANSWERS_AT + ANSWERS;

/// The bucket that counts delays of so many nanoseconds.
fn bucket(nanos: u64) -> usize {
    let doubling = nanos.max(1).ilog2() as usize;
    // The bits behind the first one; a number of few bits has zeros there.
    let part = if doubling >= 3 { nanos >> (doubling - 3) } else { nanos.max(1) << (3 - doubling) };
    doubling * PARTS + part as usize % PARTS
}

/// The least delay that a bucket counts.
fn bucket_floor(bucket: usize) -> u64 {
    let (doubling, part) = (bucket / PARTS, (bucket % PARTS + PARTS) as u128);
    ((part << doubling) >> 3) as u64
}

const STABLE: [Field; 4] = [Field::Stable, Field::Stable1, Field::Stable2, Field::Stable3];

/// What an app that takes steps does in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A round of its load.
    Round,
    /// A look at all that was acknowledged.
    Audit,
    /// A question to every interface.
    Probe,
}

/// A board.
pub struct Board {
    words: Words,
}

impl Board {
    /// A fresh one, and its memory object to hand on.
    pub fn new() -> io::Result<(Memory, Board)> {
        let memory = Memory::new("kd-board", WORDS * 8)?;
        let board = Board::map(&memory)?;
        Ok((memory, board))
    }

    /// The board in a memory object.
    pub fn map(memory: &Memory) -> io::Result<Board> {
        let mapping: Mapping = memory.map()?;
        Ok(Board { words: Words::new(mapping) })
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        self.words.get(index)
    }

    /// What a field holds.
    pub fn get(&self, field: Field) -> u64 {
        self.word(field as usize).load(Relaxed)
    }

    /// Sets a field.
    pub fn set(&self, field: Field, value: u64) {
        self.word(field as usize).store(value, Relaxed);
    }

    /// Adds to a field.
    pub fn add(&self, field: Field, value: u64) {
        self.word(field as usize).fetch_add(value, Relaxed);
    }

    /// Has the app take its `number`-th step, from 1 on.
    pub fn give_turn(&self, number: u32, step: Step) {
        let word = self.words.get_half(Field::Turn as usize);
        word.store(number << 2 | step as u32, Release);
        futex::wake(word, 1);
    }

    /// Waits for the `number`-th step; the app's own half.
    pub fn wait_for_turn(&self, number: u32) -> Step {
        let word = self.words.get_half(Field::Turn as usize);
        loop {
            let turn = word.load(Acquire);
            if turn >> 2 == number {
                return [Step::Round, Step::Audit, Step::Probe][(turn & 3).min(2) as usize];
            }
            futex::wait(word, turn);
        }
    }

    /// The app has taken the `number`-th step; the 0th is its start.
    pub fn end_turn(&self, number: u32) {
        let word = self.words.get_half(Field::Taken as usize);
        word.store(number + 1, Release);
        futex::wake(word, 1);
    }

    /// Waits until the `number`-th step is taken, at most so many nanoseconds; whether it is.
    pub fn wait_for_end(&self, number: u32, nanos: u64) -> bool {
        let word = self.words.get_half(Field::Taken as usize);
        let taken = word.load(Acquire);
        if taken != number + 1 {
            futex::wait_for(word, taken, nanos);
        }
        word.load(Acquire) == number + 1
    }

    /// Forgets everything, for the next app.
    pub fn clear(&self) {
        (0..FIELDS).for_each(|index| self.word(index).store(0, Release));
    }

    /// Which rounds' writes of each file are acknowledged as stable.
    pub fn stable(&self) -> [Option<u64>; 4] {
        STABLE.map(|field| self.get(field).checked_sub(1))
    }

    /// Says so.
    pub fn set_stable(&self, file: usize, round: Option<u64>) {
        if let Some(field) = STABLE.get(file) {
            self.set(*field, round.map_or(0, |round| round + 1));
        }
    }

    /// When the timeline begins.
    pub fn begin_timeline(&self, now: u64) {
        self.word(FIELDS).store(now, Relaxed);
    }

    /// When the timeline began.
    pub fn timeline_start(&self) -> u64 {
        self.word(FIELDS).load(Relaxed)
    }

    /// Counts a good round that ended at `now`; what lies beyond the timeline is not counted.
    pub fn tick(&self, now: u64) {
        let ms = now.saturating_sub(self.timeline_start()) / 1_000_000;
        if (ms as usize) < TIMELINE_MS {
            self.word(FIELDS + 1 + ms as usize).fetch_add(1, Relaxed);
        }
    }

    /// Remembers the `number`-th good round: when it was due, and when it ended; its delay is counted.
    pub fn remember(&self, number: u64, due: u64, end: u64) {
        self.word(DELAYS_AT + bucket(end.saturating_sub(due))).fetch_add(1, Relaxed);
        let at = ROUNDS_AT + 2 * (number as usize % RECENT);
        self.word(at).store(due, Relaxed);
        self.word(at + 1).store(end, Relaxed);
    }

    /// The last good rounds, in no order: when each was due, and when it ended.
    pub fn recent(&self) -> Vec<(u64, u64)> {
        let word = |i| self.word(ROUNDS_AT + i).load(Relaxed);
        (0..RECENT).map(|round| (word(2 * round), word(2 * round + 1))).filter(|(_, end)| *end != 0).collect()
    }

    /// Remembers when a call was answered.
    pub fn answered(&self, at: u64) {
        let number = self.get(Field::Answered) as usize;
        self.word(ANSWERS_AT + number % ANSWERS).store(at, Relaxed);
        self.add(Field::Answered, 1);
    }

    /// When the last ones were, in no order.
    pub fn answers(&self) -> impl Iterator<Item = u64> + '_ {
        (ANSWERS_AT..WORDS).map(|word| self.word(word).load(Relaxed)).filter(|at| *at != 0)
    }

    /// Good rounds of each millisecond.
    pub fn timeline(&self) -> Vec<u64> {
        (0..TIMELINE_MS).map(|ms| self.word(FIELDS + 1 + ms).load(Relaxed)).collect()
    }

    /// Good rounds so far by their delay: the least nanoseconds of each bucket, and how many there are in it. None is empty.
    pub fn delays(&self) -> BTreeMap<u64, u64> {
        let counted = |bucket| (bucket_floor(bucket), self.word(DELAYS_AT + bucket).load(Relaxed));
        (0..DELAYS).map(counted).filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{DELAYS, bucket, bucket_floor};

    #[test]
    fn a_bucket_is_at_most_an_eighth_wide_and_none_overlap() {
        let mut nanos = 8u64;
        while nanos < u64::MAX / 9 {
            let floor = bucket_floor(bucket(nanos));
            assert!(floor <= nanos && nanos - floor <= nanos / 8, "{nanos} in the bucket from {floor}");
            assert_eq!(bucket_floor(bucket(floor)), floor);
            assert!(bucket(nanos) <= bucket(nanos + 1), "{nanos}");
            nanos = nanos * 9 / 8;
        }
        assert!(bucket(u64::MAX) < DELAYS && bucket(0) == bucket(1));
    }
}
