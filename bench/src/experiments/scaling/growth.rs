//! How many times its first point a point is, on the same kernel: the shape of a curve as figures.

use std::collections::BTreeMap;

use kd_report::schema::{Experiment, Record};
use kd_report::stats;

use crate::experiments::Plan;
use crate::experiments::latency::analyse;
use crate::experiments::latency::sample::Key;

/// Resamples of each bootstrap.
pub const RESAMPLES: usize = 2_000;

/// What the boots of each cell gave; empty for a boot that failed.
pub type Values = BTreeMap<Key, Vec<Vec<f64>>>;

/// A workload at a point: the workload, the unit, the point.
fn point(key: &Key) -> Option<(&str, &str, u64)> {
    let (workload, point) = key.workload.split_once('/')?;
    let (unit, point) = point.rsplit_once('_')?;
    Some((workload, unit, point.parse().ok()?))
}

/// The ratio of each cell to the first point of its workload, boots paired by block.
pub fn records(metric: &str, values: &Values, plan: &Plan) -> Vec<Record> {
    let same = |one: &Key, other: &Key| {
        let named = |key| point(key).map(|(workload, unit, _)| (workload, unit));
        (one.configuration, one.entry, one.cores) == (other.configuration, other.entry, other.cores)
            && named(one) == named(other)
    };
    let record = |(number, (key, boots)): (usize, (&Key, &Vec<Vec<f64>>))| {
        let first =
            values.keys().filter(|other| same(key, other)).min_by_key(|other| point(other).map(|(_, _, at)| at))?;
        let n = boots.iter().filter(|boot| !boot.is_empty()).count();
        if key.configuration.twin || key == first || n == 0 {
            return None;
        }
        let seed = plan.seed.wrapping_add(number as u64);
        let times = stats::ratio(boots, &values[first], stats::median, RESAMPLES, seed);
        Some(analyse::subject(Experiment::Scaling, key).estimate(metric, "median", "ratio", times, n))
    };
    values.iter().enumerate().filter_map(record).collect()
}

#[cfg(test)]
mod tests {
    use kd_boot::control::Entry;

    use super::*;
    use crate::experiments::latency::Configuration;

    #[test]
    fn a_point_stands_over_the_first_of_its_own_kernel_and_workload() {
        let key = |configuration, workload: &str, cores| {
            let workload = workload.into();
            Key { configuration, workload, user: 0, entry: Entry::Trap, cores }
        };
        let monolithic = Configuration::MONOLITHIC;
        let other = Configuration { twin: true, ..monolithic };
        let boots = |value: f64| vec![vec![value]; 3];
        let values: Values = [
            // In the order of names, 1000 comes before 20.
            (key(monolithic, "dir_stat/files_1000", 1), boots(600.0)),
            (key(monolithic, "dir_stat/files_20", 1), boots(200.0)),
            (key(monolithic, "tree_stat/files_10", 1), boots(1.0)),
            (key(monolithic, "dir_stat/files_10", 2), boots(1.0)),
            (key(other, "dir_stat/files_10", 1), boots(1.0)),
            (key(monolithic, "dir_stat/files_100", 1), vec![Vec::new(); 3]),
        ]
        .into();
        let plan = Plan::for_test(true, &[0, 1]);
        let found = records("growth", &values, &plan);
        let told: Vec<_> = found.iter().map(|r| (r.workload.as_str(), r.value, r.n)).collect();
        assert_eq!(told, [("dir_stat/files_1000", Some(3.0), Some(3))]);
    }
}
