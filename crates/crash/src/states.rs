//! What a disk may hold after a power failure, from the log of what was asked of it.
//!
//! A disk with a volatile cache owes: everything that was written before a flush that returned, and each write with FUA
//! that returned. Of any other write each sector may have reached the medium or not, by itself and in any order (a sector
//! is never torn). So a crash is a *point*, the number of requests that had returned, and a *choice* among the sectors
//! written since the last flush and those of the request then in hand.
//!
//! The choices are too many to try them all. In ALICE's and CrashMonkey's manner these are tried, and numbered in this order:
//!
//! 1. for each point: everything that was written is there; nothing that need not be there is;
//! 2. where a flush or a FUA write is in hand, or at the end, since what may be missing is most there: of up to
//!    [`EXHAUSTIVE`] writes all subsets, of more all without one and each one alone; and each write torn, four ways;
//! 3. as many again at random: points, and at each a random share of writes or of single sectors.

use std::sync::Arc;

use kd_api::interfaces::block::SECTOR;

use crate::disk::{Disk, Image};
use crate::recorder::Request;
use crate::rng::{Rng, mix};

/// Of how many optional writes all subsets are tried.
pub const EXHAUSTIVE: usize = 5;

/// How one write is torn: which of its sectors are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tear {
    /// The first half of them.
    Head,
    /// The other half.
    Tail,
    /// Only the first.
    First,
    /// All but the last.
    NotLast,
}

const TEARS: [Tear; 4] = [Tear::Head, Tear::Tail, Tear::First, Tear::NotLast];

/// What of the optional writes is on the disk; they are counted from the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// Those whose bit is set; bit 63 stands for all further ones too.
    Subset(u64),
    /// All but one.
    Without(usize),
    /// One alone.
    Only(usize),
    /// All, one of them torn.
    Torn(usize, Tear),
    /// Whole writes at random, so many of eight.
    Writes(u64, u8),
    /// Sectors at random, so many of eight.
    Sectors(u64, u8),
}

/// A crash state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// How many requests had returned.
    pub point: usize,
    /// What of the others is there.
    pub choice: Choice,
}

impl Choice {
    fn has(self, index: usize, sector: usize, sectors: usize) -> bool {
        match self {
            Choice::Subset(bits) => bits >> index.min(63) & 1 == 1,
            Choice::Without(one) => index != one,
            Choice::Only(one) => index == one,
            Choice::Torn(one, tear) => {
                index != one
                    || match tear {
                        Tear::Head => sector < sectors / 2,
                        Tear::Tail => sector >= sectors / 2,
                        Tear::First => sector == 0,
                        Tear::NotLast => sector + 1 < sectors,
                    }
            }
            Choice::Writes(seed, share) => mix(seed ^ index as u64) % 8 < u64::from(share),
            Choice::Sectors(seed, share) => mix(seed ^ (index as u64) << 32 ^ sector as u64) % 8 < u64::from(share),
        }
    }
}

/// A log with what is needed to make any crash state of it.
pub struct Crashes {
    log: Vec<Request>,
    /// For each flush the number of requests up to it and what is stable after it; before all, the beginning.
    epochs: Vec<(usize, Arc<Image>)>,
    states: Vec<State>,
}

impl Crashes {
    /// Of a disk that held `image` before the log, with `seed` for what is chosen at random.
    pub fn new(image: &Arc<Image>, log: Vec<Request>, seed: u64) -> Crashes {
        let disk = Disk::new(image);
        let mut epochs = vec![(0, image.clone())];
        for (at, request) in log.iter().enumerate() {
            match request {
                Request::Write { sector, data, .. } => disk.put(*sector as usize * SECTOR, data),
                Request::Flush => epochs.push((at + 1, disk.image())),
            }
        }
        let mut crashes = Crashes { log, epochs, states: Vec::new() };
        crashes.enumerate(seed);
        crashes
    }

    fn enumerate(&mut self, seed: u64) {
        let last = self.log.len();
        let mut states = Vec::new();
        for point in 0..=last {
            let mut add = |choice| states.push(State { point, choice });
            add(Choice::Subset(u64::MAX));
            add(Choice::Subset(0));
        }
        for point in 0..=last {
            let ends = match self.log.get(point) {
                Some(Request::Write { fua, .. }) => *fua,
                Some(Request::Flush) | None => true,
            };
            if !ends {
                continue;
            }
            let mut add = |choice| states.push(State { point, choice });
            let sizes: Vec<usize> = self.optional(point).map(|(_, sectors)| sectors).collect();
            let count = sizes.len();
            if count <= EXHAUSTIVE {
                // All and none of them were there before.
                (1..(1_u64 << count).saturating_sub(1)).for_each(|bits| add(Choice::Subset(bits)));
            } else {
                (0..count).for_each(|one| add(Choice::Without(one)));
                (0..count).for_each(|one| add(Choice::Only(one)));
            }
            let torn = sizes.iter().enumerate().filter(|(_, sectors)| **sectors > 1);
            torn.for_each(|(one, _)| TEARS.into_iter().for_each(|tear| add(Choice::Torn(one, tear))));
        }
        let mut rng = Rng::new(seed, 1);
        for number in 0..states.len() {
            let (point, seed, share) = (rng.below(last + 1), rng.number(), 1 + rng.below(7) as u8);
            let choice = if number % 2 == 0 { Choice::Writes(seed, share) } else { Choice::Sectors(seed, share) };
            states.push(State { point, choice });
        }
        self.states = states;
    }

    /// The states to try, by number.
    pub fn states(&self) -> &[State] {
        &self.states
    }

    /// What was asked of the disk.
    pub fn log(&self) -> &[Request] {
        &self.log
    }

    /// The last flush that had returned at `point`: the requests up to it, and what is stable.
    fn epoch(&self, point: usize) -> &(usize, Arc<Image>) {
        &self.epochs[self.epochs.partition_point(|(at, _)| *at <= point) - 1]
    }

    /// The writes that may be missing at `point`, with their sectors: those since the last flush without FUA, and the one
    /// in hand.
    fn optional(&self, point: usize) -> impl Iterator<Item = (usize, usize)> {
        let since = self.epoch(point).0;
        let requests = self.log.iter().enumerate().skip(since).take(point + 1 - since);
        requests.filter_map(move |(at, request)| match request {
            Request::Write { data, fua, .. } if !fua || at == point => Some((at, data.len() / SECTOR)),
            _ => None,
        })
    }

    /// Makes `disk` hold what it would after that crash.
    pub fn apply(&self, state: &State, disk: &Disk) {
        let (since, image) = self.epoch(state.point);
        disk.reset(image);
        let mut index = 0;
        for (at, request) in self.log.iter().enumerate().skip(*since).take(state.point + 1 - since) {
            let Request::Write { sector, data, fua } = request else { continue };
            let start = *sector as usize * SECTOR;
            if *fua && at != state.point {
                disk.put(start, data);
                continue;
            }
            // "Everything that was written" is what had returned, as a log's prefix.
            let prefix = state.choice == Choice::Subset(u64::MAX) && at == state.point;
            let sectors = data.len() / SECTOR;
            for (number, bytes) in data.chunks(SECTOR).enumerate() {
                if !prefix && state.choice.has(index, number, sectors) {
                    disk.put(start + number * SECTOR, bytes);
                }
            }
            index += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use kd_api::OutBuf;
    use kd_api::interfaces::block::BlockDevice;

    use super::*;

    fn write(sector: u64, value: u8, sectors: usize, fua: bool) -> Request {
        Request::Write { sector, data: vec![value; sectors * SECTOR], fua }
    }

    /// The first byte of each of eight sectors.
    fn firsts(crashes: &Crashes, point: usize, choice: Choice) -> [u8; 8] {
        let disk = Disk::new(&Image::stale(1));
        crashes.apply(&State { point, choice }, &disk);
        let mut room = [0; 8 * SECTOR];
        disk.read(0, &mut OutBuf::new(&mut room)).expect("it is there");
        std::array::from_fn(|sector| room[sector * SECTOR])
    }

    const S: u8 = 0xA5;
    const ALL: Choice = Choice::Subset(u64::MAX);
    const NONE: Choice = Choice::Subset(0);

    #[test]
    fn what_was_flushed_or_forced_is_always_there() {
        let log = vec![write(0, 1, 2, false), Request::Flush, write(1, 2, 2, false), write(4, 3, 1, true)];
        let crashes = Crashes::new(&Image::stale(1), log, 0);
        assert_eq!(firsts(&crashes, 1, NONE), [S; 8]);
        assert_eq!(firsts(&crashes, 1, ALL), [1, 1, S, S, S, S, S, S]);
        assert_eq!(firsts(&crashes, 2, NONE), [1, 1, S, S, S, S, S, S]);
        assert_eq!(firsts(&crashes, 4, NONE), [1, 1, S, S, 3, S, S, S]);
        assert_eq!(firsts(&crashes, 4, ALL), [1, 2, 2, S, 3, S, S, S]);
        assert_eq!(firsts(&crashes, 4, Choice::Torn(0, Tear::Tail)), [1, 1, 2, S, 3, S, S, S]);
        // In hand, even a forced write may be missing, or there before its elder.
        assert_eq!(firsts(&crashes, 3, NONE), [1, 1, S, S, S, S, S, S]);
        assert_eq!(firsts(&crashes, 3, Choice::Only(1)), [1, 1, S, S, 3, S, S, S]);
    }

    #[test]
    fn an_older_write_never_covers_a_forced_one() {
        let log = vec![write(0, 1, 1, false), write(0, 2, 1, true)];
        let crashes = Crashes::new(&Image::stale(1), log, 0);
        for choice in [ALL, NONE, Choice::Only(0)] {
            assert_eq!(firsts(&crashes, 2, choice)[0], 2);
        }
    }

    #[test]
    fn states_are_counted_and_all_subsets_among_them() {
        let log = vec![write(0, 1, 1, false), write(1, 2, 1, false), write(2, 3, 2, false), Request::Flush];
        let crashes = Crashes::new(&Image::stale(1), log, 0);
        // Two for each of five points; with three writes optional 2^3 - 2 subsets, and four tears of the long one.
        let bounded = 5 * 2 + 6 + 4;
        assert_eq!(crashes.states().len(), 2 * bounded);
        let at_flush = crashes.states()[..bounded].iter().filter(|state| state.point == 3);
        let images: HashSet<[u8; 8]> = at_flush.map(|state| firsts(&crashes, 3, state.choice)).collect();
        // Eight subsets; two tears leave the first sector only, which Head, First and NotLast agree in; Tail is another.
        assert_eq!(images.len(), 8 + 2);
        let random: HashSet<State> = crashes.states()[bounded..].iter().copied().collect();
        assert_eq!(random.len(), bounded);
    }
}
