//! What the records allow to be said, before any words: latency verdicts, containment, return after a fault.
//!
//! Sentences, the text table and the picture all rest on these, so they can't disagree. A cell whose figure or A/A
//! pair is unstable gets no verdict; it is counted instead.

use super::faults::{count, is_outcome};
use super::series::{Series, all_settings, group, pick, representative, share};
use crate::schema::{Entry, Experiment, Kernel, Record, Results, Status};
use crate::stats::{Interval, TOLERANCE, Verdict, geometric_mean, more_than_chance, stability, verdict, wilson};
use std::collections::{BTreeMap, BTreeSet};

/// Verdicts on one core budget and entry.
pub struct Latency {
    /// Core budget.
    pub cores: u32,
    /// Entry.
    pub entry: Entry,
    /// Workloads on which the microkernel was slower, faster, neither.
    pub slower: usize,
    /// See `slower`.
    pub faster: usize,
    /// See `slower`.
    pub same: usize,
    /// Workloads that were measured but held no still.
    pub unstable: usize,
    /// Workloads without a figure.
    pub unavailable: usize,
    /// Geometric mean of the judged ratios.
    pub mean: Option<f64>,
}

impl Latency {
    /// Workloads with a verdict.
    pub fn judged(&self) -> usize {
        self.slower + self.faster + self.same
    }
}

/// The latency ratios of the series that stands for the microkernel, on single calls.
pub fn ratios(results: &Results) -> (Option<Series>, Vec<&Record>) {
    ratios_of(results, Experiment::Latency)
}

fn ratios_of(results: &Results, experiment: Experiment) -> (Option<Series>, Vec<&Record>) {
    let is_ratio =
        |r: &Record| r.metric == "latency_ratio" && r.statistic == "median" && r.kernel == Kernel::Microkernel;
    let mut records = pick(results, experiment, is_ratio);
    let measured: Vec<&Record> = records.iter().filter(|r| r.value.is_some()).copied().collect();
    let series = representative(&measured).or_else(|| representative(&records));
    records.retain(|r| series.as_ref() == Some(&Series::of(r)));
    (series, records)
}

/// The A/A pairs that exclude 1, with the reason.
fn unsteady(results: &Results) -> Vec<(&Record, String)> {
    let pairs = aa_pairs(results).into_iter().filter_map(|r| {
        let own = (r.status == Status::Unstable).then(|| r.reason.clone().unwrap_or_default());
        let ends = r.ci_low.zip(r.ci_high).map(|(low, high)| Interval { low, high });
        own.or_else(|| stability(ends?).err()).map(|reason| (r, reason))
    });
    pairs.collect()
}

/// What the A/A pairs that exclude 1 say of a run.
pub struct Unrest<'a> {
    /// Whether the run did not hold still: they are more than there would be by chance.
    pub is_real: bool,
    /// How many, of how many.
    pub count: String,
    /// The first.
    pub first: &'a Record,
    /// What it says.
    pub reason: String,
}

/// That, if there are any.
pub fn unrest(results: &Results) -> Option<Unrest<'_>> {
    let (unsteady, all) = (unsteady(results), aa_pairs(results).len());
    let is_real = more_than_chance(unsteady.len(), all);
    let exclude = if unsteady.len() == 1 { "pair excludes" } else { "pairs exclude" };
    let by_chance = all as f64 * 0.05;
    let count = format!("{} of {all} A/A {exclude} 1 (about {by_chance:.0} would by chance)", unsteady.len());
    unsteady.into_iter().next().map(|(first, reason)| Unrest { is_real, count, first, reason })
}

/// All A/A pairs with a figure.
pub fn aa_pairs(results: &Results) -> Vec<&Record> {
    let of = |experiment| pick(results, experiment, |r| r.metric == "aa_ratio" && r.value.is_some());
    [of(Experiment::Latency), of(Experiment::Macro), of(Experiment::Scaling)].concat()
}

/// Whether an unsteady A/A pair spoils a ratio: the same core budget, workload (whatever its share of user computation)
/// and entry. A pair over something that
/// isn't a workload of its own (such as `all`) spoils every workload.
fn spoils(aa: &Record, r: &Record, workloads: &[&str]) -> bool {
    let entry = aa.entry == r.entry || matches!(aa.entry, Entry::None) || r.entry == Entry::Once;
    let workload = aa.workload == share(r).0 || !workloads.contains(&aa.workload.as_str());
    aa.experiment == r.experiment && aa.cores == r.cores && entry && workload
}

/// Those of the ratios that may not be relied on: unstable themselves, or beside an unsteady A/A pair.
pub fn spoilt<'a>(results: &Results, records: &[&'a Record]) -> Vec<&'a Record> {
    let workloads: Vec<&str> = records.iter().map(|r| r.workload.as_str()).collect();
    let unsteady = unsteady(results);
    let is_spoilt =
        |r: &&&Record| r.status == Status::Unstable || unsteady.iter().any(|(aa, _)| spoils(aa, r, &workloads));
    records.iter().filter(is_spoilt).copied().collect()
}

/// Verdicts for each core budget and entry.
pub fn latency(results: &Results) -> Vec<Latency> {
    let (_, records) = ratios(results);
    let spoilt = spoilt(results, &records);
    let one = |(cores, entry)| {
        let mut l = Latency { cores, entry, slower: 0, faster: 0, same: 0, unstable: 0, unavailable: 0, mean: None };
        let mut judged = Vec::new();
        for r in records.iter().filter(|r| (r.cores, r.entry) == (cores, entry)) {
            let ends = r.ci_low.zip(r.ci_high).map(|(low, high)| Interval { low, high });
            match (r.value, ends) {
                (Some(_), _) if spoilt.contains(r) => l.unstable += 1,
                (Some(value), Some(ends)) => {
                    judged.push(value);
                    match verdict(ends, TOLERANCE) {
                        Verdict::Slower => l.slower += 1,
                        Verdict::Faster => l.faster += 1,
                        Verdict::NoDifference => l.same += 1,
                    }
                }
                // A ratio without an interval says nothing.
                _ => l.unavailable += 1,
            }
        }
        l.mean = geometric_mean(&judged);
        l
    };
    all_settings(&records).into_iter().map(one).collect()
}

/// What a boundary costs whole programs with a share of user computation.
pub struct Overhead {
    /// Kernel, placement, wait.
    pub series: Series,
    /// Core budget.
    pub cores: u32,
    /// Share of user computation in percent.
    pub user: u32,
    /// Geometric mean of the ratios that may be relied on, and how many they are.
    pub mean: f64,
    /// See `mean`.
    pub judged: usize,
    /// The least and the greatest of them.
    pub range: (f64, f64),
}

/// The overhead of the series that stands for the microkernel, by core budget and share.
pub fn overhead(results: &Results) -> Vec<Overhead> {
    let (Some(series), mut records) = ratios_of(results, Experiment::Macro) else { return Vec::new() };
    let spoilt = spoilt(results, &records);
    records.retain(|r| group(results, r) == "macro" && r.value.is_some() && !spoilt.contains(r));
    let settings: BTreeSet<(u32, u32)> = records.iter().map(|r| (r.cores, share(r).1)).collect();
    // Means over different programs could not be compared: only those count that have every share.
    let shares = |cores: u32, of: &str| {
        records.iter().filter(|r| r.cores == cores && share(r).0 == of).map(|r| share(r).1).collect::<BTreeSet<_>>()
    };
    let whole = |r: &&&Record| {
        let all = settings.iter().filter(|(cores, _)| *cores == r.cores).count();
        shares(r.cores, share(r).0).len() == all
    };
    let records: Vec<&Record> = records.iter().filter(whole).copied().collect();
    let one = |(cores, user)| {
        let own = records.iter().filter(|r| (r.cores, share(r).1) == (cores, user));
        let values: Vec<f64> = own.filter_map(|r| r.value).collect();
        let range = values.iter().fold((f64::INFINITY, 0.0f64), |(low, high), v| (low.min(*v), high.max(*v)));
        let mean = geometric_mean(&values)?;
        Some(Overhead { series: series.clone(), cores, user, mean, judged: values.len(), range })
    };
    settings.into_iter().filter_map(one).collect()
}

/// How many activated faults stayed inside the faulty component, over all faults.
pub struct Containment {
    /// Kernel, placement, wait.
    pub series: Series,
    /// Core budget.
    pub cores: u32,
    /// Trials in which nobody else was harmed (an error told to the app is no harm).
    pub contained: u64,
    /// Trials in which the app was told that data of the faulty component itself is gone.
    pub lost: u64,
    /// Trials in which an app got wrong data without an error.
    pub silent: u64,
    /// Trials in which the fault took place.
    pub activated: u64,
    /// Whether a figure behind it is unstable.
    pub unstable: bool,
}

impl Containment {
    /// Wilson's interval of the share.
    pub fn interval(&self) -> Interval {
        wilson(self.contained, self.activated)
    }
}

/// Containment for each kernel and core budget, over all faults: of hybrids, in which only drivers were tried, none.
pub fn containment(results: &Results) -> Vec<Containment> {
    containment_of(results, |r| !Series::of(r).is_hybrid())
}

/// The same over the faults of drivers alone, for every placement that was tried.
pub fn driver_containment(results: &Results) -> Vec<Containment> {
    let is_driver =
        |r: &Record| r.workload.split('/').next().is_some_and(|name| results.meta.modules.contains_key(name));
    containment_of(results, is_driver)
}

fn containment_of(results: &Results, of: impl Fn(&Record) -> bool) -> Vec<Containment> {
    let mut cells: BTreeMap<(Series, u32), BTreeMap<&str, Vec<&Record>>> = BTreeMap::new();
    for r in pick(results, Experiment::Faults, |r| is_outcome(r) && r.value.is_some() && of(r)) {
        cells.entry((Series::of(r), r.cores)).or_default().entry(&r.workload).or_default().push(r);
    }
    let pool = |((series, cores), faults): ((Series, u32), BTreeMap<&str, Vec<&Record>>)| {
        let mut c = Containment { series, cores, contained: 0, lost: 0, silent: 0, activated: 0, unstable: false };
        for records in faults.values() {
            let of = |metric: &str| records.iter().filter(|r| r.metric == metric).map(|r| count(r)).sum::<u64>();
            // Every outcome of a cell states the number of its trials.
            let trials = records.iter().filter_map(|r| r.n).max().unwrap_or(0);
            c.contained += of("contained") + of("app_saw_error");
            c.lost += of("data_lost");
            c.silent += of("silent_wrong_data");
            c.activated += trials.saturating_sub(of("not_activated"));
            c.unstable |= records.iter().any(|r| r.status == Status::Unstable);
        }
        c
    };
    cells.into_iter().map(pool).collect()
}

/// What a kernel needed to serve again after its driver died.
pub struct Return<'a> {
    /// Kernel, placement, wait.
    pub series: Series,
    /// Core budget.
    pub cores: u32,
    /// Component and cause.
    pub workload: &'a str,
    /// Time to the first good answer.
    pub answer: &'a Record,
    /// Acknowledged bytes lost, calls failed.
    pub lost: Option<f64>,
    /// See `lost`.
    pub failed: Option<f64>,
}

/// The return that stands for a kernel: after a kill of a component, or for the monolith after its reboot.
pub fn returned(results: &Results, kernel: Kernel) -> Option<Return<'_>> {
    let answers = pick(results, Experiment::Restart, |r| {
        r.kernel == kernel && r.metric == "first_answer_time" && r.statistic == "median" && r.value.is_some()
    });
    let series = match kernel {
        Kernel::Microkernel => representative(&answers)?,
        _ => Series::of(answers.first()?),
    };
    let own: Vec<&Record> = answers.into_iter().filter(|r| Series::of(r) == series).collect();
    let wanted = |r: &&&Record| match kernel {
        Kernel::Microkernel => ["/kill", "/kill/warm"].iter().any(|end| r.workload.ends_with(end)),
        _ => r.workload.contains("reboot"),
    };
    let answer = own.iter().find(wanted).or(own.first()).copied()?;
    let total = |metric: &str| {
        let same = |r: &Record| {
            Series::of(r) == series && r.cores == answer.cores && r.workload == answer.workload && r.metric == metric
        };
        pick(results, Experiment::Restart, |r| same(r) && r.statistic == "total").first().and_then(|r| r.value)
    };
    let (lost, failed) = (total("acknowledged_bytes_lost"), total("calls_failed"));
    Some(Return { cores: answer.cores, workload: &answer.workload, answer, lost, failed, series })
}

/// Probes that still worked in the monolith after the fault without a reboot: worked, tried.
pub fn still_works(results: &Results, kernel: Kernel) -> (usize, usize) {
    let probes = pick(results, Experiment::Restart, |r| {
        r.kernel == kernel && r.metric == "still_works" && r.value.is_some() && !r.workload.contains("reboot")
    });
    (probes.iter().filter(|r| r.value >= Some(1.0)).count(), probes.len())
}
