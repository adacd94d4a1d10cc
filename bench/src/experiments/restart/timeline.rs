//! Completed rounds of each millisecond around a kill, averaged over kills.

use std::collections::BTreeMap;

use kd_boot::board::Board;
use kd_report::schema::Record;

use crate::experiments::records::Subject as Columns;

/// Milliseconds shown before and after the kill: the next one comes later.
const BEFORE: i64 = 20;
const AFTER: i64 = 40;

/// The average of many.
#[derive(Debug, Default)]
pub struct Timeline {
    completed: BTreeMap<i64, u64>,
    kills: u64,
}

impl Timeline {
    /// Adds what a board shows around one kill.
    pub fn add(&mut self, board: &Board, killed_at: u64) {
        let kill = (killed_at.saturating_sub(board.timeline_start()) / 1_000_000) as i64;
        let timeline = board.timeline();
        for ms in -BEFORE..AFTER {
            let completed = usize::try_from(kill + ms).ok().and_then(|ms| timeline.get(ms)).copied().unwrap_or(0);
            *self.completed.entry(ms).or_default() += completed;
        }
        self.kills += 1;
    }

    /// One record for each millisecond.
    pub fn records(&self, columns: &Columns) -> Vec<Record> {
        let kills = self.kills;
        let record = |(ms, completed): (&i64, &u64)| {
            columns.value("completed", &format!("at_{ms}"), "1/ms", *completed as f64 / kills as f64, kills)
        };
        self.completed.iter().map(record).collect()
    }
}
