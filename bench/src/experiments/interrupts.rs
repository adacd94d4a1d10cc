//! The way back of one request: from the device's interrupt to the driver, and from the driver to the app. It is the path
//! on which a driver that is a process of its own pays most: it is woken by the device, and its callers by it.
//!
//! Boots of their own, since clocks are read on that path: what a reading costs is in these times, and in no others.

use std::collections::BTreeMap;
use std::time::Duration;

use kd_boot::control::Task;
use kd_boot::manifest::Kernel;
use kd_nucleus::channel::Wait;
use kd_report::schema::{Entry, Experiment, Record};
use kd_report::stats::{self, Random, Statistic};

use super::latency::Configuration;
use super::records::Subject;
use super::{Plan, Progress, shuffle};
use crate::app::interrupts::Interrupts;
use crate::boot::{Boot, BootFailure};

/// Requests of one page, one at a time.
const WORKLOAD: &str = "vda_read_4k";
/// Requests of each boot on each core budget.
const OPERATIONS: u64 = 400;
/// Boots of each configuration.
const fn boots(quick: bool) -> usize {
    if quick { 2 } else { 10 }
}
/// Resamples of each bootstrap.
const RESAMPLES: usize = 2_000;
/// An app that writes nothing for this long has hung.
const SILENCE: Duration = Duration::from_secs(20);
/// What was looked at, and by which statistics.
const METRICS: [&str; 2] = ["interrupt_to_driver", "driver_to_app"];
const STATISTICS: [(&str, Statistic); 2] = [("median", stats::median), ("p99", stats::p99)];

/// What the boots of one configuration and core budget gave.
#[derive(Default)]
struct Samples {
    times: [Vec<Vec<f64>>; 2],
    unneeded: u64,
    requests: u64,
    failed: Option<String>,
}

/// Measures, and makes records of it.
///
/// # Errors
/// A kernel that does not boot.
pub fn records(plan: &Plan, progress: Progress<'_>) -> Result<Vec<Record>, BootFailure> {
    let burns = |wait: &str| wait == Wait::Spin.name() || wait == Wait::Yield.name();
    let ours = |c: &Configuration| c.kernel != Kernel::Linux && !c.twin && !c.wait.is_some_and(burns);
    let compared = Configuration::all().into_iter().filter(|one| ours(one) && (!plan.quick || one.is_quick()));
    let (configurations, missing): (Vec<_>, Vec<_>) = compared.partition(|one| one.unavailable().is_none());
    let mut samples: BTreeMap<(Configuration, usize), Samples> = BTreeMap::new();
    for (one, cores) in missing.into_iter().flat_map(|one| budgets(plan).map(move |cores| (one, cores))) {
        samples.insert((one, cores), Samples { failed: one.unavailable(), ..Samples::default() });
    }
    let mut random = Random::new(plan.seed, 9);
    for boot in 0..boots(plan.quick) {
        let mut order = configurations.clone();
        shuffle(&mut order, &mut random);
        for configuration in order {
            progress(0.0, &format!("interrupts, boot {} of {}", boot + 1, boots(plan.quick)));
            for found in measure(configuration, plan)? {
                samples.entry((configuration, found.cores)).or_default().add(found);
            }
        }
    }
    Ok(samples
        .iter()
        .flat_map(|((configuration, cores), samples)| samples.records(*configuration, *cores, plan))
        .collect())
}

/// Numbers of cores.
fn budgets(plan: &Plan) -> std::ops::RangeInclusive<usize> {
    1..=plan.cores.len().min(2)
}

fn measure(configuration: Configuration, plan: &Plan) -> Result<Vec<Interrupts>, BootFailure> {
    let mut manifest = configuration.manifest();
    manifest.trace = true;
    let boot = Boot::new(&manifest)?;
    let budgets: Vec<Vec<usize>> = budgets(plan).map(|cores| plan.cores[..cores].to_vec()).collect();
    let wanted = budgets.len();
    let task = Task::Interrupts { workload: WORKLOAD.into(), budgets, operations: OPERATIONS };
    let mut app = boot.start(1, configuration.apps_apart(), task)?;
    let line = |number| match app.line_within::<Interrupts>(SILENCE) {
        Ok(Some(found)) => found,
        Ok(None) => Interrupts { cores: number, failed: Some("the app ended early".into()), ..Interrupts::default() },
        Err(error) => Interrupts { cores: number, failed: Some(error.to_string()), ..Interrupts::default() },
    };
    Ok((1..=wanted).map(line).collect())
}

impl Samples {
    fn add(&mut self, found: Interrupts) {
        self.requests += found.unneeded + found.to_driver.len() as u64;
        self.unneeded += found.unneeded;
        self.failed = self.failed.take().or(found.failed);
        for (all, of_boot) in self.times.iter_mut().zip([found.to_driver, found.to_app]) {
            all.push(of_boot);
        }
    }

    fn records(&self, configuration: Configuration, cores: usize, plan: &Plan) -> Vec<Record> {
        let subject = Subject {
            experiment: Experiment::Macro,
            kernel: configuration.kernel_word(),
            placement: configuration.placement_word(),
            wait: configuration.wait_word(),
            entry: Entry::Call,
            cores: cores as u32,
            workload: WORKLOAD.into(),
        };
        let mut records = Vec::new();
        for (metric, times) in METRICS.into_iter().zip(&self.times) {
            for (name, statistic) in STATISTICS {
                let boots = times.iter().filter(|boot| !boot.is_empty()).count();
                records.push(match &self.failed {
                    Some(why) => subject.unavailable(metric, name, "ns", why),
                    None => {
                        let estimate = stats::estimate(times, statistic, RESAMPLES, plan.seed);
                        subject.estimate(metric, name, "ns", estimate, boots)
                    }
                });
            }
        }
        if self.failed.is_none() {
            records.push(subject.share("interrupt_unneeded", self.unneeded, self.requests));
        }
        records
    }
}
