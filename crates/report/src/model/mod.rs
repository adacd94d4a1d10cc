//! The cost model: what a program takes in a placement, from what it takes without boundaries and what it crosses.
//!
//! ```text
//! time = monolithic time + crossings x cost of a crossing + bytes x cost of a byte
//! ```
//!
//! Everything in it is a record of the same run: the time of the monolithic kernel, crossings and bytes as counted in the
//! placement, and what a crossing and a byte cost alone. It knows nothing of what the model leaves out: caches and
//! predictors that a crossing disturbs, servers that work while their clients do, queues. How far off that makes it is
//! [`judge`]d against the times that were measured; what others' crossings would make of it is [`published`].

pub mod fit;
pub mod judge;
pub mod published;

use crate::schema::{Entry, Experiment, Kernel, Record, Results};
use std::collections::BTreeMap;

/// What one operation of a workload asks of a placement.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// The workload.
    pub workload: String,
    /// Nanoseconds that it takes in the monolithic kernel.
    pub monolithic: f64,
    /// Crossings, and those of them that apps made.
    pub crossings: f64,
    /// See `crossings`.
    pub entries: f64,
    /// Bytes copied into windows and out of them.
    pub bytes: f64,
}

impl Load {
    /// How many servers wait for one another at most, on average: a call that meets no further server is 1 deep.
    pub fn depth(&self) -> f64 {
        if self.entries > 0.0 { (self.crossings / self.entries).max(1.0) } else { 1.0 }
    }

    /// What it takes with such costs.
    pub fn time(&self, crossing: f64, byte: f64) -> f64 {
        self.monolithic + self.crossings * crossing + self.bytes * byte
    }
}

/// What stands between the domains of a placement: a hybrid is between processes unless its name says otherwise.
pub fn transport(placement: &str) -> &str {
    match placement {
        "direct" | "thread" | "process" | "pkey" => placement,
        "pkey-integrity" => "pkey",
        hybrid => hybrid.rsplit_once('/').map_or("process", |(_, transport)| transport),
    }
}

/// The placement whose counts hold for this one: edges are the same whatever stands between domains, so they are counted
/// between processes alone.
pub fn counted(placement: &str) -> &str {
    match placement {
        "thread" | "pkey" | "pkey-integrity" => "process",
        hybrid => hybrid.split_once('/').map_or(hybrid, |(layout, _)| layout),
    }
}

/// The loads of a placement on a core budget: programs and operations on a disk, without user computation, in the order of
/// measurement. What was not counted, or has no time in the monolithic kernel, is left out.
pub fn loads(results: &Results, placement: &str, cores: u32) -> Vec<Load> {
    // (crossings, entries, bytes) by workload
    let mut counts: BTreeMap<&str, [f64; 3]> = BTreeMap::new();
    let own = |r: &&Record| r.experiment == Experiment::Macro && r.placement == counted(placement);
    for r in results.records.iter().filter(own) {
        let Some(value) = r.value else { continue };
        match r.metric.as_str() {
            // So that a workload which crosses nothing has its place.
            "crossings" => drop(counts.entry(&r.workload).or_default()),
            "edge_crossings" => {
                let count = counts.entry(&r.workload).or_default();
                count[0] += value;
                count[1] += if r.statistic.starts_with("app>") { value } else { 0.0 };
            }
            "edge_bytes" => counts.entry(&r.workload).or_default()[2] += value,
            _ => {}
        }
    }
    let load = |r: &&Record| {
        let &[crossings, entries, bytes] = counts.get(r.workload.as_str())?;
        Some(Load { workload: r.workload.clone(), monolithic: r.value?, crossings, entries, bytes })
    };
    times(results, cores).filter(|r| r.kernel == Kernel::Monolithic).filter_map(|r| load(&r)).collect()
}

/// The measured times of the experiment on a core budget.
fn times(results: &Results, cores: u32) -> impl Iterator<Item = &Record> {
    results.records.iter().filter(move |r| {
        let time = r.metric == "latency" && r.statistic == "median";
        r.experiment == Experiment::Macro && time && r.cores == cores && r.entry == Entry::Trap
    })
}

/// What a transport costs alone, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Costs {
    /// A crossing, by the number of servers in the chain.
    chains: Vec<(u32, f64)>,
    /// A byte that is copied.
    pub byte: Option<f64>,
}

impl Costs {
    /// As the experiment `primitives` measured them.
    pub fn measured(results: &Results, transport: &str, wait: &str, cores: u32) -> Costs {
        let own = |r: &&Record| {
            r.experiment == Experiment::Primitives
                && r.placement == transport
                && r.cores == cores
                && r.statistic == "median"
        };
        let (mut costs, mut alone) = (Costs::default(), None);
        for r in results.records.iter().filter(own) {
            let Some(value) = r.value else { continue };
            let chain = r.workload.rsplit_once("_chain_").and_then(|(_, servers)| servers.parse::<u32>().ok());
            match (r.metric.as_str(), chain) {
                // The copies of a byte do not depend on how a crossing waits.
                ("byte_cost", _) => costs.byte = Some(value.max(0.0)),
                ("round_trip", Some(servers)) if r.wait == wait && servers > 0 => {
                    costs.chains.push((servers, value / f64::from(servers)));
                }
                // For a transport without chains: what one crossing costs.
                ("round_trip", None) if r.wait == wait && r.kernel == Kernel::Microkernel => alone = Some((1, value)),
                _ => {}
            }
        }
        if costs.chains.is_empty() {
            costs.chains.extend(alone);
        }
        costs.chains.sort_by_key(|chain| chain.0);
        costs
    }

    /// A crossing in a chain of so many servers: between the measured chains, in a straight line.
    pub fn crossing(&self, depth: f64) -> Option<f64> {
        let at = |chain: &&(u32, f64)| f64::from(chain.0) <= depth;
        let below = self.chains.iter().rev().find(at).or(self.chains.first())?;
        let above = self.chains.iter().find(|chain| f64::from(chain.0) > depth).unwrap_or(below);
        if above.0 == below.0 {
            return Some(below.1);
        }
        let share = ((depth - f64::from(below.0)) / f64::from(above.0 - below.0)).clamp(0.0, 1.0);
        Some(below.1 + share * (above.1 - below.1))
    }
}
