//! Which trials there are.
//!
//! A fault is drawn once and tried on every kernel, one trial after the other, so that kernels are compared fault by fault.
//! Components take turns, a component's kinds of fault do, and so do transient and permanent faults: whenever a
//! campaign is stopped, every cell has about as many trials as the others.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::trial::Trial;

/// A component that is made to fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Its name.
    pub name: String,
    /// The kinds of fault that it can have.
    pub kinds: Vec<String>,
}

/// A campaign's trials, without an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// From which faults are drawn.
    pub seed: u64,
    /// The kernels, by their layouts' names.
    pub kernels: Vec<String>,
    /// The components.
    pub subjects: Vec<Subject>,
}

impl Plan {
    /// The components' names.
    pub fn components(&self) -> Vec<&str> {
        self.subjects.iter().map(|subject| &subject.name[..]).collect()
    }

    /// The trial of a number; `None` if the plan has no kernel, or no component that can fail.
    pub fn trial(&self, id: u64) -> Option<Trial> {
        let kernels = self.kernels.len() as u64;
        let fault = id.checked_div(kernels)?;
        let kernel = self.kernels[(id % kernels) as usize].clone();
        let (turn, subject) = turn(fault, &self.subjects)?;
        let (turn, kind) = self::turn(turn, &subject.kinds)?;
        let (name, kind) = (subject.name.clone(), kind.clone());
        Some(Trial { id, kernel, subject: name, kind, number: turn / 2, permanent: turn % 2 == 1 })
    }

    /// The numbers of a shard's trials among the first `trials`.
    pub fn ids(&self, trials: u64, shard: Shard) -> impl Iterator<Item = u64> + use<> {
        let kernels = self.kernels.len().max(1) as u64;
        (0..trials).filter(move |id| shard.has(id / kernels))
    }

    /// Whether a trial belongs to a shard.
    pub fn is_of(&self, id: u64, shard: Shard) -> bool {
        shard.has(id / self.kernels.len().max(1) as u64)
    }
}

/// Whose turn it is, and how many turns it has had.
fn turn<T>(count: u64, all: &[T]) -> Option<(u64, &T)> {
    let turns = count.checked_div(all.len() as u64)?;
    Some((turns, &all[(count % all.len() as u64) as usize]))
}

/// A part of a campaign for one of several machines: every `of`-th fault, on all kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shard {
    /// Which part, from 0.
    pub index: u32,
    /// Of how many.
    pub of: u32,
}

impl Shard {
    /// The whole campaign.
    pub const WHOLE: Shard = Shard { index: 0, of: 1 };

    fn has(self, fault: u64) -> bool {
        fault % u64::from(self.of.max(1)) == u64::from(self.index)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let numbers = text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((index, of)) if index < of => Ok(Shard { index, of }),
            _ => Err(format!("`{text}` is no shard: write I/N with I from 0 to N - 1, such as 0/4")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn plan() -> Plan {
        let subject = |name: &str, kinds: &[&str]| Subject {
            name: name.into(),
            kinds: kinds.iter().map(|kind| kind.to_string()).collect(),
        };
        let kernels = ["monolithic", "process", "thread"].map(String::from).to_vec();
        Plan { seed: 1, kernels, subjects: vec![subject("disk", &["flip", "drop"]), subject("fs", &["flip"])] }
    }

    #[test]
    fn every_fault_is_tried_on_every_kernel() {
        let plan = plan();
        let mut kernels: BTreeMap<(String, String, u64, bool), BTreeSet<String>> = BTreeMap::new();
        for trial in (0..300).filter_map(|id| plan.trial(id)) {
            let fault = (trial.subject, trial.kind, trial.number, trial.permanent);
            assert!(kernels.entry(fault).or_default().insert(trial.kernel), "tried twice on a kernel");
        }
        assert!(kernels.values().all(|kernels| kernels.len() == 3));
    }

    #[test]
    fn a_stopped_campaign_is_balanced() {
        let plan = plan();
        let mut cells: BTreeMap<(String, String, bool), u64> = BTreeMap::new();
        for trial in (0..240).filter_map(|id| plan.trial(id)) {
            *cells.entry((trial.subject, trial.kind, trial.permanent)).or_default() += 1;
        }
        assert_eq!(cells.len(), 6);
        assert!(cells.iter().all(|((subject, ..), n)| *n == if subject == "disk" { 30 } else { 60 }), "{cells:?}");
    }

    #[test]
    fn a_plan_without_kernels_or_faults_has_no_trials() {
        assert_eq!(Plan { kernels: Vec::new(), ..plan() }.trial(0), None);
        assert_eq!(Plan { subjects: Vec::new(), ..plan() }.trial(0), None);
    }

    #[test]
    fn shards_are_written_as_fractions() {
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, of: 3 }));
        for bad in ["", "1", "3/3", "-1/2", "0/0", "a/b"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn shards_share_all_trials_and_keep_faults_whole(of in 1u32..7, trials in 0u64..200) {
            let plan = plan();
            let mut all = Vec::new();
            for index in 0..of {
                let ids: Vec<u64> = plan.ids(trials, Shard { index, of }).collect();
                prop_assert!(ids.iter().all(|id| id / 3 % u64::from(of) == u64::from(index)));
                all.extend(ids);
            }
            all.sort_unstable();
            prop_assert_eq!(all, (0..trials).collect::<Vec<u64>>());
        }
    }
}
