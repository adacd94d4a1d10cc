//! Time budgets of the experiments, as data, so that the whole stays within its limit as it grows.

use crate::experiments::Plan;

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

/// All of them: together below two minutes quick and 10 minutes in full, with room for booting, analysis and rendering.
pub const BUDGETS: [Budget; 10] = [
    Budget { experiment: "ipc", quick: 4, full: 20 },
    Budget { experiment: "primitives", quick: 7, full: 35 },
    // Within `primitives`.
    Budget { experiment: "payload", quick: 2, full: 10 },
    Budget { experiment: "latency", quick: 13, full: 92 },
    Budget { experiment: "macro", quick: 7, full: 75 },
    Budget { experiment: "scaling", quick: 4, full: 25 },
    Budget { experiment: "faults", quick: 11, full: 55 },
    Budget { experiment: "campaign", quick: 3, full: 20 },
    Budget { experiment: "restart", quick: 14, full: 52 },
    Budget { experiment: "crash", quick: 2, full: 10 },
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

/// Seconds that a long run takes. Of `restart`: what a full one does, 600 kills a second apart, and 10,000 at random moments.
const RESTART_LONG: u64 = 840;
/// Of `primitives`: four times the rounds.
const PRIMITIVES_LONG: u64 = 180;

/// An experiment's budget in seconds under a plan.
pub fn of(plan: &Plan, experiment: &str) -> u64 {
    match experiment {
        "restart" if plan.long => RESTART_LONG,
        "primitives" if plan.long => PRIMITIVES_LONG,
        _ => seconds(experiment, plan.quick),
    }
}
