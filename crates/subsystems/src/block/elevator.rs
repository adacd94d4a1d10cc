//! I/O schedulers: which of the waiting requests is next.
//!
//! `none` takes them in the order in which they came. `deadline` is Linux's mq-deadline (`block/mq-deadline.c`) with its
//! defaults: requests of one direction in batches, upwards by sector; reads before writes, unless writes were passed over
//! twice; and the oldest request first when it has waited too long.

/// A batch ends after this many requests (`fifo_batch`) ...
const BATCH: u32 = 16;
/// ... and reads are preferred this often in a row while writes wait (`writes_starved`).
const WRITES_STARVED: u32 = 2;
/// Nanoseconds after which a read, or a write, goes before its neighbours (`read_expire`, `write_expire`).
const EXPIRE: [u64; 2] = [500_000_000, 5_000_000_000];

/// A request as a scheduler sees it.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// Whether it writes.
    pub write: bool,
    /// Where it begins.
    pub sector: u64,
    /// Its place in the order of arrival.
    pub arrival: u64,
    /// When it arrived, in nanoseconds.
    pub since: u64,
}

/// Which scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheduler {
    /// In order of arrival.
    #[default]
    None,
    /// By sector, with deadlines.
    Deadline,
}

/// A scheduler at work.
pub enum Elevator {
    /// In order of arrival.
    None,
    /// By sector, with deadlines.
    Deadline(Deadline),
}

impl Elevator {
    /// One that has seen nothing yet.
    pub fn new(scheduler: Scheduler) -> Elevator {
        match scheduler {
            Scheduler::None => Elevator::None,
            Scheduler::Deadline => Elevator::Deadline(Deadline::default()),
        }
    }

    /// Which is next, by its place in `waiting`.
    pub fn next<'a>(&mut self, waiting: impl Iterator<Item = (usize, &'a Waiting)> + Clone, now: u64) -> Option<usize> {
        match self {
            Elevator::None => waiting.min_by_key(|(_, request)| request.arrival).map(|(index, _)| index),
            Elevator::Deadline(deadline) => deadline.next(waiting, now),
        }
    }

    /// A request, with all that was merged with it, ends before this sector.
    pub fn issued(&mut self, write: bool, end: u64) {
        if let Elevator::Deadline(deadline) = self {
            deadline.position[usize::from(write)] = Some(end);
        }
    }
}

/// The state of mq-deadline.
#[derive(Default)]
pub struct Deadline {
    /// Direction of the batch.
    writing: bool,
    /// Requests of the batch so far; a batch of none is none.
    batch: u32,
    /// Batches of reads since writes wait.
    starved: u32,
    /// Where the last request of each direction ended.
    position: [Option<u64>; 2],
}

impl Deadline {
    fn next<'a>(&mut self, waiting: impl Iterator<Item = (usize, &'a Waiting)> + Clone, now: u64) -> Option<usize> {
        let of = |write| waiting.clone().filter(move |(_, request)| request.write == write);
        let position = self.position;
        let above = |write: bool| {
            let from = position[usize::from(write)]?;
            of(write).filter(|(_, request)| request.sector >= from).min_by_key(|(_, request)| request.sector)
        };
        if (1..BATCH).contains(&self.batch)
            && let Some((next, _)) = above(self.writing)
        {
            self.batch += 1;
            return Some(next);
        }
        let oldest = |write| of(write).min_by_key(|(_, request)| request.arrival);
        let (reads, writes) = (oldest(false), oldest(true));
        self.writing = match (&reads, &writes) {
            (Some(_), Some(_)) if self.starved < WRITES_STARVED => {
                self.starved += 1;
                false
            }
            (_, writes) => writes.is_some(),
        };
        if self.writing {
            self.starved = 0;
        }
        let oldest = if self.writing { writes } else { reads }?;
        let expired = now.saturating_sub(oldest.1.since) >= EXPIRE[usize::from(self.writing)];
        self.batch = 1;
        Some(if expired { oldest } else { above(self.writing).unwrap_or(oldest) }.0)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    /// The order in which all are taken; each is one sector long and all wait from the beginning.
    fn order(scheduler: Scheduler, requests: &[(bool, u64, u64)], now: u64) -> Vec<u64> {
        let mut elevator = Elevator::new(scheduler);
        let mut waiting: Vec<Option<Waiting>> = (0..)
            .zip(requests)
            .map(|(arrival, &(write, sector, since))| Some(Waiting { write, sector, arrival, since }))
            .collect();
        let mut order = Vec::new();
        loop {
            let left = waiting.iter().enumerate().filter_map(|(i, slot)| Some((i, slot.as_ref()?)));
            let Some(next) = elevator.next(left, now) else { return order };
            let request = waiting[next].take().expect("one of those that wait");
            elevator.issued(request.write, request.sector + 1);
            order.push(request.sector);
        }
    }

    #[test]
    fn none_keeps_the_order_of_arrival() {
        let requests = [(true, 9, 0), (false, 5, 0), (true, 1, 0), (false, 7, 0)];
        assert_eq!(order(Scheduler::None, &requests, 1 << 60), [9, 5, 1, 7]);
    }

    #[test]
    fn deadline_goes_upwards_and_prefers_reads() {
        // The first of a direction is the oldest; from there upwards, then from the oldest that is left.
        let requests = [(true, 50, 0), (false, 30, 0), (false, 90, 0), (false, 10, 0), (false, 60, 0), (true, 70, 0)];
        assert_eq!(order(Scheduler::Deadline, &requests, 0), [30, 60, 90, 10, 50, 70]);
    }

    #[test]
    fn writes_are_passed_over_twice_and_no_more() {
        // Descending reads: each is a batch of its own, since none lies above.
        let reads = (0..5).map(|i| (false, 50 - 10 * i, 0));
        let requests: Vec<_> = reads.chain([(true, 1000, 0)]).collect();
        assert_eq!(order(Scheduler::Deadline, &requests, 0), [50, 40, 1000, 30, 20, 10]);
    }

    #[test]
    fn a_batch_ends_after_sixteen() {
        let reads = (0..20).map(|i| (false, 100 + i, 0));
        let requests: Vec<_> = [(true, 5, 0), (true, 6, 0)].into_iter().chain(reads).collect();
        let order = order(Scheduler::Deadline, &requests, 0);
        // Two batches of reads, the second of the four that are left, before the writes' turn.
        assert_eq!((order[15], order[16], order[19], &order[20..]), (115, 116, 119, &[5, 6][..]));
        let reads = (0..40).map(|i| (false, 100 + i, 0));
        let requests: Vec<_> = [(true, 5, 0)].into_iter().chain(reads).collect();
        assert_eq!(super::tests::order(Scheduler::Deadline, &requests, 0)[32], 5);
    }

    #[test]
    fn whoever_waited_too_long_goes_first() {
        let requests = [(false, 10, 0), (false, 20, 0), (false, 5, 0), (false, 30, 0)];
        let after = |now| {
            let mut elevator = Elevator::Deadline(Deadline { position: [Some(15), None], ..Deadline::default() });
            let waiting: Vec<Waiting> = (0..)
                .zip(requests)
                .map(|(arrival, (write, sector, since))| Waiting { write, sector, arrival, since })
                .collect();
            waiting[elevator.next(waiting.iter().enumerate(), now).expect("some wait")].sector
        };
        assert_eq!((after(EXPIRE[0] - 1), after(EXPIRE[0])), (20, 10));
        // A write waits ten times as long.
        let mut elevator = Elevator::Deadline(Deadline { position: [None, Some(15)], ..Deadline::default() });
        let write = |sector, arrival| Waiting { write: true, sector, arrival, since: 0 };
        let waiting = [write(10, 0), write(20, 1)];
        assert_eq!(elevator.next(waiting.iter().enumerate(), EXPIRE[0]), Some(1));
        assert_eq!(elevator.next([].into_iter(), 0), None);
        let mut elevator = Elevator::Deadline(Deadline { position: [None, Some(15)], ..Deadline::default() });
        assert_eq!(elevator.next(waiting.iter().enumerate(), EXPIRE[1]), Some(0));
    }
}
