//! Servers that do not die by themselves but do wrong: one whose answer is noise, and one that takes memory until its limit. When
//! somebody notices, and whether.
//!
//! They are the campaign's trials of two kinds, drawn anew for each, in placement `process`: the deed is really done, by the
//! component itself. A client sees an answer that no honest server gives and counts it where the supervisor looks; a server whose
//! memory is used up dies of the next piece that it needs, and one that needs none goes on.

use kd_boot::control::What;
use kd_campaign::Trial;
use kd_report::schema::Record;

use super::{Times, columns};
use crate::boot::BootFailure;
use crate::campaign::trial::TrialRunner;
use crate::experiments::Plan;
use crate::experiments::faults::configurations;

/// Who does what: a driver, which has bytes and little else, and a server that makes objects all the time.
const CASES: [(&str, &str); 4] =
    [("ramdisk", "message_garbage"), ("ramfs", "message_garbage"), ("ramdisk", "leak"), ("ramfs", "leak")];
/// How often each is tried.
const TRIALS: u64 = 40;
const TRIALS_QUICK: u64 = 6;

/// What one of them gave.
#[derive(Default)]
struct Case {
    notice: Times,
    back: Times,
    done: u64,
    noticed: u64,
    obstacle: Option<String>,
}

/// Tries all of them.
///
/// # Errors
/// A program without code to change, or a host without memory for it.
pub fn run(plan: &Plan) -> Result<Vec<Record>, BootFailure> {
    let runner = TrialRunner::new(plan.seed, Vec::new());
    let mut runner = runner.map_err(|error| BootFailure::App(error.to_string()))?;
    let trials = if plan.quick { TRIALS_QUICK } else { TRIALS };
    let mut records = Vec::new();
    for (component, kind) in CASES {
        let mut case = Case::default();
        for number in 0..trials {
            case.attempt(&mut runner, component, kind, number);
        }
        records.extend(case.records(component, kind, plan));
    }
    Ok(records)
}

impl Case {
    fn attempt(&mut self, runner: &mut TrialRunner, component: &str, kind: &str, number: u64) {
        let (kernel, subject, kind) = ("process".into(), component.into(), kind.into());
        let trial = Trial { id: number, kernel, subject, kind, number, permanent: false };
        let (seen, notes) = match runner.observe(&trial) {
            Ok(Ok((_, seen, notes))) => (seen, notes),
            Ok(Err(why)) => return self.obstacle = Some(why.into()),
            Err(why) => return self.obstacle = Some(why.to_string()),
        };
        // What the load does not come to is not done.
        if !seen.activated {
            return;
        }
        self.done += 1;
        let at = |of: fn(&What) -> bool| {
            let ours = notes.events.iter().filter(|event| event.who == component && event.at >= notes.activated_at);
            ours.clone().find(|event| of(&event.what)).map(|event| event.at - notes.activated_at)
        };
        let noticed = at(|what| matches!(what, What::Died(_) | What::Hung(_) | What::Violated));
        if let Some(after) = noticed {
            self.noticed += 1;
            self.notice.new_boot();
            self.notice.push(after);
        }
        if let (Some(_), Some(after)) = (noticed, at(|what| *what == What::Restarted)) {
            self.back.new_boot();
            self.back.push(after);
        }
    }

    fn records(&self, component: &str, kind: &str, plan: &Plan) -> Vec<Record> {
        let columns = columns(configurations()[2], component, kind, plan);
        if self.done == 0 {
            let why = self.obstacle.as_deref().unwrap_or("the load never came to it");
            return vec![columns.unavailable("notice_time", "median", "us", why)];
        }
        let total = |metric, count: u64| columns.value(metric, "total", "count", count as f64, self.done);
        let mut records = vec![total("misdeeds", self.done), total("noticed", self.noticed)];
        records.extend(self.notice.records(&columns, "notice_time", plan.seed));
        records.extend(self.back.records(&columns, "back_time", plan.seed));
        records
    }
}
