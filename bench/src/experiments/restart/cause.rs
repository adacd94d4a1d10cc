//! What the deaths of a component by one cause gave: times, gaps, and counts.

use kd_boot::board::{Board, Field};
use kd_boot::control::{Event, What};
use kd_faults::Fault;
use kd_report::schema::Record;
use kd_report::stats;

use super::timeline::Timeline;
use super::{RESAMPLES, Times};
use crate::boot::RunningApp;
use crate::experiments::records::Subject as Columns;

/// What a component dies by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// A kill from outside, which the host tells of.
    Kill,
    /// A null dereference in its code, which it tells of itself.
    Fault,
    /// A loop without end, which burns CPU time.
    Loop,
    /// Being stopped from outside: it does nothing any more.
    Stop,
}

impl By {
    /// Its name in results.
    pub const fn name(self) -> &'static str {
        match self {
            By::Kill => "kill",
            By::Fault => Fault::NullDereference.name(),
            By::Loop => Fault::EndlessLoop.name(),
            By::Stop => "stopped",
        }
    }

    /// How often in one boot.
    pub const fn times(self, quick: bool) -> usize {
        match (self, quick) {
            (By::Kill, false) => 4,
            (By::Fault, false) => 3,
            (By::Kill | By::Fault, true) => 2,
            (By::Loop | By::Stop, _) => 1,
        }
    }
}

/// One cause of death.
#[derive(Debug, Default)]
pub(super) struct Cause {
    /// From the death to when somebody knew; from there to when the successor answers; both together.
    notice: Times,
    restart: Times,
    back: Times,
    /// From the death to the first answer of a call in a good round, and to the end of the first such round.
    first_call: Times,
    first_answer: Times,
    gap: Times,
    /// A kill and a fork without a kernel.
    pub bare: Times,
    failed: u64,
    pub repeated: u64,
    unknown: u64,
    /// What a final audit did not find, or found changed, in bytes; and what happened twice.
    pub audited: Option<[u64; 2]>,
    /// Apps that never used the component, and noticed all the same.
    pub others_interrupted: Option<u64>,
    pub deaths: u64,
    pub timeline: Timeline,
}

impl Cause {
    pub fn new_boot(&mut self) {
        let Cause { notice, restart, back, first_call, first_answer, gap, bare, .. } = self;
        [notice, restart, back, first_call, first_answer, gap, bare].into_iter().for_each(Times::new_boot);
    }

    /// What failed, or has an unknown outcome, between two counts.
    pub fn count(&mut self, before: [u64; 2], after: [u64; 2]) {
        self.failed += after[0] - before[0];
        self.unknown += after[1] - before[1];
    }

    /// How many ways back were timed.
    pub fn timed(&self) -> usize {
        self.back.0.iter().map(Vec::len).sum()
    }

    /// The times of all ways back in the first half of the boots, and in the second.
    pub fn halves(&self) -> (&[Vec<f64>], &[Vec<f64>]) {
        self.back.0.split_at(self.back.0.len() / 2)
    }

    /// Adds what an audit found.
    pub fn audit(&mut self, board: &Board) {
        let [lost, twice] = self.audited.get_or_insert([0; 2]);
        *lost += board.get(Field::Lost) + board.get(Field::Corrupted);
        *twice += board.get(Field::Twice);
    }

    /// Notes one death, of one component or of several at once, and the way back of all; returns when it was.
    pub fn note(&mut self, app: &RunningApp, by: By, killed: u64, events: &[Event]) -> u64 {
        self.deaths += 1;
        let at = |of: fn(&What) -> bool| events.iter().find(|event| of(&event.what)).map(|event| event.at);
        let death = match by {
            By::Kill | By::Stop => killed,
            // A process that faulted has said when.
            By::Fault => at(|what| matches!(what, What::Faulted(_))).unwrap_or(killed),
            // Who loops says nothing; the round that met the loop is the longest.
            By::Loop => app.board.get(Field::LongestRoundAt),
        };
        let back = events.iter().filter(|event| event.what == What::Restarted).map(|event| event.at).max();
        let (Some(noticed), Some(back)) =
            (at(|what| matches!(what, What::Died(_) | What::Hung(_) | What::Violated)), back)
        else {
            return death;
        };
        self.notice.push(noticed.saturating_sub(death));
        self.restart.push(back.saturating_sub(noticed));
        self.back.push(back.saturating_sub(death));
        if let Some(first) = app.board.answers().filter(|at| *at > death).min() {
            self.first_call.push(first - death);
        }
        let rounds = app.board.recent();
        let after = || rounds.iter().filter(|(_, end)| *end > death);
        if let Some(first) = after().map(|(_, end)| end - death).min() {
            self.first_answer.push(first);
        }
        // Those that were due before all was well again: their delay counts from when they were due, but for what preparing a
        // fault has held up.
        let since = if death == killed { 0 } else { death };
        let held_up = after().filter(|(due, _)| *due < back.max(death + 1));
        if let Some(gap) = held_up.map(|(due, end)| end.saturating_sub(since.max(*due))).max() {
            self.gap.push(gap);
        }
        death
    }

    /// All that there is, and times even where there are none.
    pub fn records(&self, columns: &Columns, seed: u64) -> Vec<Record> {
        let times = [
            ("notice_time", &self.notice),
            ("restart_time", &self.restart),
            ("back_time", &self.back),
            ("first_call_time", &self.first_call),
            ("first_answer_time", &self.first_answer),
            ("longest_gap", &self.gap),
        ];
        let mut records: Vec<Record> =
            times.into_iter().flat_map(|(metric, times)| times.records(columns, metric, seed)).collect();
        if self.bare.0.iter().any(|boot| !boot.is_empty()) {
            records.extend(self.bare.records(columns, "bare_time", seed));
            let ratio = stats::ratio(&self.back.0, &self.bare.0, stats::median, RESAMPLES, seed);
            records.push(columns.estimate("over_bare", "ratio", "ratio", ratio, self.deaths as usize));
        }
        let total = |metric, unit, count: u64| columns.value(metric, "total", unit, count as f64, self.deaths);
        let counts = [("deaths", self.deaths), ("calls_failed", self.failed), ("calls_unknown", self.unknown)];
        records.extend(counts.into_iter().map(|(metric, count)| total(metric, "count", count)));
        // Channels count what they repeat; gates have no memory to count in that a caller's domain could write.
        records.push(match columns.placement.starts_with("pkey") {
            false => total("calls_repeated", "count", self.repeated),
            true => columns.unavailable("calls_repeated", "total", "count", "gates do not count what they repeat"),
        });
        if let Some([lost, twice]) = self.audited {
            records.push(total("acknowledged_bytes_lost", "bytes", lost));
            records.push(total("executed_twice", "count", twice));
        }
        records.extend(self.others_interrupted.map(|count| total("other_apps_interrupted", "count", count)));
        records.extend(self.timeline.records(columns));
        records
    }
}
