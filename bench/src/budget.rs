//! Time budgets of the experiments, as data, so that the whole stays within its limit as it grows.

/// Seconds for one experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The experiment.
    pub experiment: &'static str,
    /// With `--quick`.
    pub quick: u64,
    /// Otherwise.
    pub full: u64,
}

/// All of them: together below 90 s quick and 10 minutes in full, with room for booting, analysis and rendering.
pub const BUDGETS: [Budget; 5] = [
    Budget { experiment: "primitives", quick: 8, full: 60 },
    Budget { experiment: "latency", quick: 22, full: 190 },
    Budget { experiment: "macro", quick: 11, full: 140 },
    Budget { experiment: "faults", quick: 20, full: 110 },
    Budget { experiment: "restart", quick: 10, full: 60 },
];

/// Boots of each configuration: the unit of replication.
pub const fn boots(quick: bool) -> usize {
    if quick { 5 } else { 10 }
}

/// An experiment's budget in seconds.
pub fn seconds(experiment: &str, quick: bool) -> u64 {
    let budget = BUDGETS.iter().find(|budget| budget.experiment == experiment);
    budget.map_or(0, |budget| if quick { budget.quick } else { budget.full })
}
