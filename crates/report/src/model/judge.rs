//! The model against measured times.
//!
//! Two predictions. One is from the parts: what a crossing and a byte cost alone, nothing fitted, so every workload may
//! judge it. The other has its costs fitted on one half of the workloads, and is judged on the other half alone; the halves
//! follow from the run's seed, group by group, so that either half has programs. Each judgement is on one placement with one
//! wait and one core budget, and rests on the median of its programs' errors.

use super::{Costs, Load, fit, loads, times, transport};
use crate::schema::{Kernel, Record, Results};
use crate::stats::{Random, median};
use std::collections::{BTreeMap, BTreeSet};

/// A prediction that is off by less than this share is called good.
pub const GOAL: f64 = 0.15;
/// The stream of random numbers that the halves are drawn from.
const STREAM: u64 = 0x6a75_6467;
/// The group that is judged.
const PROGRAMS: &str = "macro";

/// One workload in one placement.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What it asks.
    pub load: Load,
    /// Whether it is a program, or an operation on a disk.
    pub program: bool,
    /// Whether costs were fitted on it; if not, it judges them.
    pub fitted_on: bool,
    /// Nanoseconds that it took.
    pub measured: f64,
    /// What the parts predict.
    pub from_parts: Option<f64>,
    /// What the fitted costs predict.
    pub from_fit: Option<f64>,
}

/// The model on one placement.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The placement.
    pub placement: String,
    /// How its crossings wait.
    pub wait: String,
    /// Core budget.
    pub cores: u32,
    /// The fitted costs of a crossing and a byte, in nanoseconds.
    pub fitted: Option<(f64, f64)>,
    /// Every workload.
    pub cases: Vec<Case>,
}

/// How far a prediction is off, as a share of what was measured.
pub fn error(predicted: f64, measured: f64) -> f64 {
    (predicted - measured).abs() / measured
}

impl Judgement {
    /// The median error of what the parts predict, and over how many programs.
    pub fn error_from_parts(&self) -> Option<(f64, usize)> {
        self.error(|case| case.from_parts)
    }

    /// The median error of what was fitted, and over how many programs: those that nothing was fitted on.
    pub fn error_from_fit(&self) -> Option<(f64, usize)> {
        self.error(|case| case.from_fit.filter(|_| !case.fitted_on))
    }

    fn error(&self, of: impl Fn(&Case) -> Option<f64>) -> Option<(f64, usize)> {
        let own = self.cases.iter().filter(|case| case.program);
        let mut errors: Vec<f64> = own.filter_map(|case| Some(error(of(case)?, case.measured))).collect();
        (!errors.is_empty()).then(|| (median(&mut errors), errors.len()))
    }
}

/// The workloads that costs are fitted on: every second one of each group, in an order that follows from the seed.
fn halves(results: &Results, workloads: &BTreeSet<&str>) -> BTreeSet<String> {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for workload in workloads {
        let group = results.meta.groups.get(*workload).map_or("", String::as_str);
        groups.entry(group).or_default().push(workload);
    }
    let mut random = Random::new(results.meta.seed, STREAM);
    let mut chosen = BTreeSet::new();
    for names in groups.values_mut() {
        for last in (1..names.len()).rev() {
            names.swap(last, random.below(last + 1));
        }
        chosen.extend(names.iter().step_by(2).map(ToString::to_string));
    }
    chosen
}

/// Judges every placement that was measured and counted.
pub fn judge(results: &Results) -> Vec<Judgement> {
    let own = |r: &&Record| r.kernel == Kernel::Microkernel && r.value.is_some() && !r.workload.contains("/user_");
    let budgets: BTreeSet<u32> = results.records.iter().map(|r| r.cores).collect();
    let measured: Vec<&Record> = budgets.iter().flat_map(|&cores| times(results, cores)).filter(own).collect();
    let chosen = halves(results, &measured.iter().map(|r| r.workload.as_str()).collect());
    let columns: BTreeSet<(&str, &str, u32)> =
        measured.iter().map(|r| (r.placement.as_str(), r.wait.as_str(), r.cores)).collect();
    let one = |(placement, wait, cores): (&str, &str, u32)| {
        let costs = Costs::measured(results, transport(placement), wait, cores);
        let time = |load: &Load| {
            let here = |r: &&&Record| {
                (r.placement.as_str(), r.wait.as_str(), r.cores, &r.workload)
                    == (placement, wait, cores, &load.workload)
            };
            measured.iter().find(here)?.value.filter(|time| *time > 0.0)
        };
        let case = |load: Load| {
            let measured = time(&load)?;
            Some(Case {
                program: results.meta.groups.get(&load.workload).is_some_and(|group| group == PROGRAMS),
                fitted_on: chosen.contains(&load.workload),
                from_parts: costs.crossing(load.depth()).map(|crossing| load.time(crossing, costs.byte.unwrap_or(0.0))),
                from_fit: None,
                measured,
                load,
            })
        };
        let mut cases: Vec<Case> = loads(results, placement, cores).into_iter().filter_map(case).collect();
        let on: Vec<fit::Measured<'_>> =
            cases.iter().filter(|case| case.fitted_on).map(|case| (&case.load, case.measured)).collect();
        let fitted = fit::fit(&on);
        for case in &mut cases {
            case.from_fit = fitted.map(|(crossing, byte)| case.load.time(crossing, byte));
        }
        Judgement { placement: placement.into(), wait: wait.into(), cores, fitted, cases }
    };
    columns.into_iter().map(one).filter(|judgement| !judgement.cases.is_empty()).collect()
}
