//! Making records: the columns that a group of figures shares are written once.

use kd_report::schema::{Entry, Experiment, Kernel, Record, Status};
use kd_report::stats::{Estimate, wilson};

/// The columns that say what was measured.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The experiment.
    pub experiment: Experiment,
    /// The kernel.
    pub kernel: Kernel,
    /// What stands between its components.
    pub placement: &'static str,
    /// How crossings wait.
    pub wait: &'static str,
    /// How calls enter.
    pub entry: Entry,
    /// Core budget.
    pub cores: u32,
    /// What was done.
    pub workload: String,
}

impl Subject {
    fn record(&self, metric: &str, statistic: &str, unit: &str) -> Record {
        Record {
            experiment: self.experiment,
            kernel: self.kernel,
            placement: self.placement.into(),
            wait: self.wait.into(),
            entry: self.entry,
            cores: self.cores,
            workload: self.workload.clone(),
            metric: metric.into(),
            statistic: statistic.into(),
            unit: unit.into(),
            value: None,
            ci_low: None,
            ci_high: None,
            n: None,
            status: Status::Ok,
            reason: None,
        }
    }

    /// A figure with its interval; unavailable, for want of boots, if there is no estimate.
    pub fn estimate(&self, metric: &str, statistic: &str, unit: &str, estimate: Option<Estimate>, n: usize) -> Record {
        match estimate {
            Some(estimate) => Record {
                value: Some(estimate.value),
                ci_low: Some(estimate.interval.low),
                ci_high: Some(estimate.interval.high),
                n: Some(n as u64),
                ..self.record(metric, statistic, unit)
            },
            None => self.unavailable(metric, statistic, unit, "fewer than two boots gave a figure"),
        }
    }

    /// A figure without an interval: a count, or one of which nothing was sampled.
    pub fn value(&self, metric: &str, statistic: &str, unit: &str, value: f64, n: u64) -> Record {
        Record { value: Some(value), n: Some(n), ..self.record(metric, statistic, unit) }
    }

    /// A share of trials, with its Wilson interval; unavailable without trials.
    pub fn share(&self, metric: &str, successes: u64, trials: u64) -> Record {
        if trials == 0 {
            return self.unavailable(metric, "rate", "share", "no trial");
        }
        let interval = wilson(successes, trials);
        Record {
            value: Some(successes as f64 / trials as f64),
            ci_low: Some(interval.low),
            ci_high: Some(interval.high),
            n: Some(trials),
            ..self.record(metric, "rate", "share")
        }
    }

    /// A figure that cannot be had here, and why.
    pub fn unavailable(&self, metric: &str, statistic: &str, unit: &str, reason: &str) -> Record {
        Record { status: Status::Unavailable, reason: Some(reason.into()), ..self.record(metric, statistic, unit) }
    }
}

/// The same figure, not to be relied on.
pub fn unstable(record: Record, reason: String) -> Record {
    Record { status: Status::Unstable, reason: Some(reason), ..record }
}
