//! From records to counts.

use std::collections::{BTreeMap, BTreeSet};

use kd_report::campaign::{Class, Count, Inapplicable, Notice, Reach};

use crate::plan::Plan;
use crate::trial::Record;

/// The counts of a campaign, by kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// See [`Summary::cells`](kd_report::campaign::Summary::cells).
    pub cells: Vec<Count>,
    /// See [`Summary::inapplicable`](kd_report::campaign::Summary::inapplicable).
    pub inapplicable: Vec<Inapplicable>,
    /// See [`Summary::reach`](kd_report::campaign::Summary::reach).
    pub reach: Vec<Reach>,
    /// See [`Summary::notice`](kd_report::campaign::Summary::notice).
    pub notice: Vec<Notice>,
}

/// Steps of the survival curve in a factor of ten.
const STEPS: f64 = 10.0;

/// Counts what the trials of a plan came to, whatever their order.
pub fn summarise(plan: &Plan, records: &[Record]) -> Counts {
    let mut cells: BTreeMap<(String, String, String, bool), BTreeMap<Class, u64>> = BTreeMap::new();
    let mut reach: BTreeMap<(String, String), (u64, BTreeMap<String, u64>)> = BTreeMap::new();
    let mut inapplicable = BTreeSet::new();
    let mut notice: BTreeMap<String, (u64, BTreeMap<u64, u64>)> = BTreeMap::new();
    for record in records {
        let Some(trial) = plan.trial(record.trial) else { continue };
        if record.class == Class::NotApplicable {
            let (kernel, subject, kind) = (trial.kernel.clone(), trial.subject.clone(), trial.kind.clone());
            inapplicable.insert(Inapplicable { kind, reason: record.detail.clone(), kernel, subject });
        }
        let cell = (trial.kernel.clone(), trial.subject.clone(), trial.kind, trial.permanent);
        *cells.entry(cell).or_default().entry(record.class).or_default() += 1;
        if !record.class.is_activated() {
            continue;
        }
        let (activated, hit) = reach.entry((trial.kernel.clone(), trial.subject)).or_default();
        *activated += 1;
        for name in &record.hit {
            *hit.entry(name.clone()).or_default() += 1;
        }
        if record.class == Class::Masked {
            continue;
        }
        let (faults, noticed) = notice.entry(trial.kernel).or_default();
        *faults += 1;
        if let Some(ns) = record.notice_ns {
            *noticed.entry(step(ns)).or_default() += 1;
        }
    }
    let count = |((kernel, subject, kind, permanent), classes)| Count { kernel, subject, kind, permanent, classes };
    let reach_of = |((kernel, subject), (activated, hit))| Reach { kernel, subject, activated, hit };
    let notice_of = |(kernel, (faults, noticed)): (String, (u64, BTreeMap<u64, u64>))| Notice {
        kernel,
        faults,
        noticed: noticed.into_iter().collect(),
    };
    Counts {
        cells: cells.into_iter().map(count).collect(),
        inapplicable: inapplicable.into_iter().collect(),
        reach: reach.into_iter().map(reach_of).collect(),
        notice: notice.into_iter().map(notice_of).collect(),
    }
}

/// The end of the step that a time falls into, in nanoseconds.
fn step(ns: u64) -> u64 {
    let exponent = ((ns.max(1) as f64).log10() * STEPS - 1e-9).ceil() / STEPS;
    10f64.powf(exponent).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Subject;

    fn record(trial: u64, class: Class) -> Record {
        Record { trial, class, notice_ns: None, timed: false, hit: Vec::new(), detail: String::new() }
    }

    #[test]
    fn steps_end_behind_their_times() {
        assert_eq!([step(0), step(1), step(1000), step(1001)], [1, 1, 1000, 1259]);
        assert!((1..100_000u64).all(|ns| step(ns) >= ns && (step(ns) as f64) < ns as f64 * 1.26 + 1.0));
    }

    #[test]
    fn trials_are_counted_by_class_whom_they_hit_and_when_they_were_noticed() {
        let subjects = vec![Subject { name: "disk".into(), kinds: vec!["flip".into()] }];
        let plan = Plan { seed: 1, kernels: vec!["a".into(), "b".into()], subjects };
        let records = [
            Record { hit: vec!["canary".into()], notice_ns: Some(900), ..record(0, Class::Spread) },
            record(1, Class::Masked),
            record(2, Class::NotActivated),
            Record { detail: "no message".into(), ..record(5, Class::NotApplicable) },
            Record { notice_ns: Some(1000), ..record(3, Class::RestartedUnaware) },
        ];
        let counts = summarise(&plan, &records);
        assert_eq!(counts.cells.len(), 4, "each kernel, transient and permanent");
        let reach: Vec<u64> = counts.reach.iter().map(|reach| reach.activated).collect();
        assert_eq!(reach, [1, 2]);
        assert_eq!(counts.reach[0].hit, BTreeMap::from([("canary".to_string(), 1)]));
        let reasons: Vec<_> = counts.inapplicable.iter().map(|one| (&one.kernel[..], &one.reason[..])).collect();
        assert_eq!(reasons, [("b", "no message")]);
        assert_eq!(counts.notice[0].noticed, [(1000, 1)]);
        assert_eq!((counts.notice[1].faults, &counts.notice[1].noticed[..]), (1, &[(1000, 1)][..]));
    }
}
