//! Completed rounds of each millisecond around a death, averaged over deaths.

use std::collections::BTreeMap;
use std::time::Duration;

use kd_boot::board::Board;
use kd_machine::clock;
use kd_report::schema::Record;

use crate::experiments::records::Subject as Columns;

/// Milliseconds shown before and after the death: the next one comes later.
const BEFORE: i64 = 20;
const AFTER: i64 = 40;

/// The average of many.
#[derive(Debug, Default)]
pub struct Timeline {
    completed: BTreeMap<i64, u64>,
    kills: u64,
}

impl Timeline {
    /// Adds what the boards of one load show around one death: of several apps if the first did not live on.
    pub fn add(&mut self, boards: &[&Board], died_at: u64) {
        for board in boards {
            let death = (died_at as i64 - board.timeline_start() as i64).div_euclid(1_000_000);
            let timeline = board.timeline();
            for ms in -BEFORE..AFTER {
                let completed = usize::try_from(death + ms).ok().and_then(|ms| timeline.get(ms)).copied().unwrap_or(0);
                *self.completed.entry(ms).or_default() += completed;
            }
        }
        self.kills += 1;
    }

    /// Waits until all that is shown of a death has happened.
    pub fn wait_for_its_end(died_at: u64) {
        let left = (died_at + AFTER as u64 * 1_000_000).saturating_sub(clock::now());
        std::thread::sleep(Duration::from_nanos(left));
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
