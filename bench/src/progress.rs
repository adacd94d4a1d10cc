//! Progress of a run, on standard error: which experiment, how far, how long it may still take.
//!
//! A terminal gets one line that is written over; anything else gets plain lines, at most one every few seconds and
//! one for each start and end. What is left is taken from the budgets, and from the pace so far once that says more.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use crate::budget;
use crate::experiments::Plan;

/// Between two plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(5);
/// Between two updates of a terminal's line.
const TERMINAL_EVERY: Duration = Duration::from_millis(100);
/// Columns of a terminal's line; a longer one would wrap and could not be written over.
const COLUMNS: usize = 79;

/// Shows how far a run is.
pub struct Display {
    terminal: bool,
    plan: Plan,
    begin: Instant,
    current: &'static str,
    started: Instant,
    waiting: Vec<&'static str>,
    shown: Option<Instant>,
}

impl Display {
    /// For a run of these experiments, in their order.
    pub fn new(experiments: impl IntoIterator<Item = &'static str>, plan: &Plan) -> Display {
        let now = Instant::now();
        let waiting = experiments.into_iter().collect();
        let (terminal, plan) = (stderr().is_terminal(), plan.clone());
        Display { terminal, plan, begin: now, current: "", started: now, waiting, shown: None }
    }

    /// The next experiment begins.
    pub fn start(&mut self, experiment: &'static str) {
        self.waiting.retain(|&waiting| waiting != experiment);
        (self.current, self.started) = (experiment, Instant::now());
        if !self.terminal {
            self.print(&format!("{experiment}: started, {} left in all", time(self.left(0.0))));
        }
        self.shown = None;
    }

    /// The experiment is this far, 0 to 1, and does this.
    pub fn step(&mut self, share: f64, what: &str) {
        let every = if self.terminal { TERMINAL_EVERY } else { PLAIN_EVERY };
        if self.shown.is_some_and(|shown| shown.elapsed() < every) {
            return;
        }
        self.shown = Some(Instant::now());
        let (passed, left) = (time(self.begin.elapsed()), time(self.left(share)));
        self.print(&format!("{}: {:3.0} %, {passed} passed, {left} left, {what}", self.current, share * 100.0));
    }

    /// The experiment is done.
    pub fn end(&mut self, records: usize) {
        let line = format!("{}: {records} figures in {}", self.current, time(self.started.elapsed()));
        self.print(&line);
        if self.terminal {
            let _ = writeln!(stderr());
        }
    }

    fn left(&self, share: f64) -> Duration {
        let budget = |experiment: &&str| Duration::from_secs(budget::of(&self.plan, experiment));
        let later: Duration = self.waiting.iter().map(budget).sum();
        left(budget(&self.current), self.started.elapsed(), share) + later
    }

    fn print(&self, line: &str) {
        // Progress that nobody can see is no reason to end a run.
        let _ = if self.terminal {
            let line: String = line.chars().take(COLUMNS).collect();
            write!(stderr(), "\r\x1b[K{line}").and_then(|()| stderr().flush())
        } else {
            writeln!(stderr(), "{line}")
        };
    }
}

/// What is left of an experiment: of its budget at first, then what its own pace foretells.
fn left(budget: Duration, elapsed: Duration, share: f64) -> Duration {
    // Below a tenth the pace is mostly that of the first boot.
    if share < 0.1 { budget.saturating_sub(elapsed) } else { elapsed.mul_f64((1.0 / share - 1.0).max(0.0)) }
}

/// A length of time for people: `42 s`, `3 min 05 s`.
fn time(length: Duration) -> String {
    let seconds = length.as_secs_f64().round() as u64;
    if seconds < 60 { format!("{seconds} s") } else { format!("{} min {:02} s", seconds / 60, seconds % 60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_comes_from_the_budget_and_then_from_the_pace() {
        let s = Duration::from_secs;
        assert_eq!(left(s(30), s(0), 0.0), s(30));
        assert_eq!(left(s(30), s(10), 0.05), s(20));
        assert_eq!(left(s(30), s(40), 0.05), s(0), "over its budget, and nothing known");
        assert_eq!(left(s(30), s(10), 0.5), s(10));
        assert_eq!(left(s(30), s(10), 1.0), s(0));
        assert_eq!(left(s(30), s(40), 1.5), s(0), "an experiment that is slower than it thought");
    }

    #[test]
    fn times_are_for_people() {
        let text = [0.4, 59.4, 59.6, 185.0].map(|seconds| time(Duration::from_secs_f64(seconds)));
        assert_eq!(text, ["0 s", "59 s", "1 min 00 s", "3 min 05 s"]);
    }

    #[test]
    fn later_experiments_count_with_their_budgets() {
        let mut display = Display::new(["latency", "restart"], &Plan::for_test(true, &[0]));
        display.start("latency");
        assert_eq!(display.waiting, ["restart"]);
        let later = Duration::from_secs(budget::seconds("restart", true));
        assert!(display.left(1.0) >= later && display.left(1.0) < later + Duration::from_secs(1));
    }
}
