//! What a restart is to reach, and whether this run shows that it does: verdicts from intervals, never from a point alone.

use super::html::{Cell, Group, Notes, table};
use super::number::show;
use super::series::pick;
use crate::schema::{Experiment, Record, Results, Status};

/// Kills at random moments after which "nothing is lost" counts as shown.
const KILLS: u64 = 10_000;
/// Kills a second apart after which "nothing leaks" does: ten minutes.
const SECONDS: u64 = 600;

/// A limit: which figures it is of, and what they may be.
struct Target {
    what: &'static str,
    metric: &'static str,
    statistic: &'static str,
    /// What the workload ends with.
    of: &'static str,
    limit: Limit,
    /// Deaths that it is to hold for.
    deaths: u64,
}

#[derive(Clone, Copy)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
    /// No interval above 1: what grows shows there.
    NoGrowth,
}

const fn none(what: &'static str, metric: &'static str, of: &'static str, deaths: u64) -> Target {
    Target { what, metric, statistic: "total", of, limit: Limit::AtMost(0.0), deaths }
}

const fn ratio(what: &'static str, metric: &'static str, of: &'static str, limit: Limit, deaths: u64) -> Target {
    Target { what, metric, statistic: "ratio", of, limit, deaths }
}

const fn answer(what: &'static str, of: &'static str, limit: f64) -> Target {
    Target { what, metric: "first_call_time", statistic: "median", of, limit: Limit::AtMost(limit), deaths: 0 }
}

const TARGETS: [Target; 11] = [
    none("acknowledged bytes lost", "acknowledged_bytes_lost", "/random_kills/warm", KILLS),
    none("executed twice", "executed_twice", "/random_kills/warm", KILLS),
    ratio("warm: from kill to answer, over a bare kill and fork", "over_bare", "/kill/warm", Limit::AtMost(1.5), 0),
    answer("standby: first call answered after a fault", "/null_dereference/standby", 150.0),
    answer("behind a key: first call answered after a fault", "/null_dereference", 20.0),
    ratio("a kill each second: throughput", "throughput_ratio", "/each_second/standby", Limit::AtLeast(0.95), SECONDS),
    ratio(
        "a kill each second: way back, second half over first",
        "restart_drift",
        "/each_second/standby",
        Limit::NoGrowth,
        SECONDS,
    ),
    none("a kill each second: processes left", "leaked_processes", "/each_second/standby", SECONDS),
    none("a kill each second: threads left", "leaked_threads", "/each_second/standby", SECONDS),
    none("a kill each second: descriptors left", "leaked_descriptors", "/each_second/standby", SECONDS),
    none("a kill each second: memory objects left", "leaked_memory_objects", "/each_second/standby", SECONDS),
];

impl Target {
    fn is_of(&self, r: &Record) -> bool {
        // Keys have one way back, which no workload names.
        let keyed = r.placement.starts_with("pkey");
        let fits = r.workload.ends_with(self.of) && keyed == (self.of == "/null_dereference");
        fits && r.metric == self.metric
            && r.statistic == self.statistic
            && r.kernel != crate::schema::Kernel::Monolithic
    }

    fn limit(&self, unit: &str) -> String {
        match self.limit {
            Limit::AtMost(limit) => format!("at most {}", show(limit, unit)),
            Limit::AtLeast(limit) => format!("at least {}", show(limit, unit)),
            Limit::NoGrowth => "no interval above 1".into(),
        }
    }

    /// In words, and the class of the style sheet.
    fn verdict(&self, r: &Record) -> (String, &'static str) {
        let Some(value) = r.value else { return ("not measured".into(), "none") };
        if r.status == Status::Unstable {
            return ("no verdict: unstable".into(), "hurt");
        }
        let (low, high) = (r.ci_low.unwrap_or(value), r.ci_high.unwrap_or(value));
        let (met, missed) = match self.limit {
            Limit::AtMost(limit) => (high <= limit, low > limit),
            Limit::AtLeast(limit) => (low >= limit, high < limit),
            Limit::NoGrowth => (low <= 1.0, low > 1.0),
        };
        let deaths = r.n.unwrap_or(0);
        match (met, missed) {
            (true, _) if deaths < self.deaths => {
                (format!("✓ so far: {deaths} of {} deaths", show(self.deaths as f64, "count")), "neutral")
            }
            (true, _) => ("✓ met".into(), "good"),
            (_, true) => ("✗ missed".into(), "bad"),
            _ => ("! not shown: the interval holds the limit".into(), "hurt"),
        }
    }
}

/// The table; nothing where a run has none of the figures.
pub fn table_of(results: &Results) -> String {
    let mut notes = Notes::default();
    let mut rows = Vec::new();
    for target in &TARGETS {
        for r in pick(results, Experiment::Restart, |r| target.is_of(r)) {
            let who = r.workload.split('/').next().unwrap_or_default().replace('+', " and ");
            let (verdict, class) = target.verdict(r);
            let verdict = Cell { html: Cell::text(&verdict).html, class };
            let cells = vec![verdict, Cell::figure(Some(r), &mut notes), Cell::text(&target.limit(&r.unit))];
            rows.push((format!("{}, {who}", target.what), cells));
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    let heads = ["target", "verdict", "this run", "limit"].map(str::to_owned);
    table("Targets, and what this run shows of them", &heads, &[Group { head: String::new(), rows }], &notes)
}
