//! What others published of their crossings, and what programs would take with them.
//!
//! The figures are those of one data file, each with its source. They are nobody's here: a report shows them as published,
//! and turns cycles into time by the frequency of this machine's time-stamp counter.

use super::Load;
use serde::Deserialize;

/// The data file.
const FILE: &str = include_str!("../../data/published.json");

/// One published figure.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Published {
    /// The system.
    pub name: String,
    /// What stands between its domains.
    pub boundary: String,
    /// Cycles as published ...
    pub cycles: u32,
    /// ... of which a call and its reply take so many.
    pub ipcs: u32,
    /// What was measured.
    pub measures: String,
    /// Where it stands.
    pub source: String,
}

#[derive(Deserialize)]
struct File {
    crossings: Vec<Published>,
}

/// All figures, the cheapest crossing first.
pub fn all() -> Vec<Published> {
    let File { mut crossings } = serde_json::from_str(FILE).expect("a test reads it");
    crossings.sort_by_key(Published::round_trip);
    crossings
}

impl Published {
    /// Cycles of a call and its reply.
    pub fn round_trip(&self) -> u32 {
        self.cycles * self.ipcs
    }

    /// The same in nanoseconds, on a machine whose counter ticks so many million times a second.
    pub fn nanoseconds(&self, megahertz: f64) -> f64 {
        f64::from(self.round_trip()) * 1e3 / megahertz
    }
}

/// What a load takes longer than in the monolithic kernel, as a share of that.
pub fn overhead(load: &Load, crossing: f64, byte: f64) -> f64 {
    load.time(crossing, byte) / load.monolithic - 1.0
}

/// The cost of a crossing at which the overhead is just this share; `None` where copied bytes alone exceed it, and where
/// nothing crosses, so that no crossing matters.
pub fn matters_from(load: &Load, share: f64, byte: f64) -> Option<f64> {
    let room = share * load.monolithic - load.bytes * byte;
    (load.crossings > 0.0 && room >= 0.0).then(|| room / load.crossings)
}
