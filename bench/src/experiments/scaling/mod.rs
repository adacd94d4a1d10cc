//! How time grows: with the number of files in a directory and in a tree, with the size of a file, with the number of apps.
//!
//! The method is latency's (boots, interleaving, intervals, A/A pair), with the entry `trap` alone, and of the waits the
//! default. A point of a scale stands in the workload's name: `dir_stat/files_1000`, `disk_file_read/mib_128`,
//! `read_4k/apps_2`.
//!
//! | file | what |
//! | --- | --- |
//! | this one | files and sizes: which points there are |
//! | [`image`] | a disk that is made ready once, and that every boot begins with |
//! | [`apps`] | several apps at once |
//! | [`growth`] | ratios to the first point |

mod apps;
mod growth;
pub mod image;

use std::time::Duration;

use kd_boot::control::Entry;
use kd_boot::manifest::Kernel;
use kd_boot::{Manifest, Placement};
use kd_nucleus::channel::Wait;
use kd_report::schema::{Experiment, Record};

use super::latency::sample::{Design, Key, Samples, Table, Wanted, want};
use super::latency::{Configuration, analyse};
use super::{Plan, Progress};
use crate::boot::BootFailure;
use crate::budget;
use image::Image;

/// Numbers of files.
const FILES: [u64; 5] = [10, 100, 1_000, 10_000, 100_000];
/// Sizes of a file in MiB.
const SIZES: [u64; 4] = [1, 16, 128, 1_024];
/// What a quick run keeps of both.
const QUICK_FILES: [u64; 2] = [10, 1_000];
const QUICK_SIZES: [u64; 2] = [1, 32];
/// Bytes of the disk, of which the upper half is the file system's, with an inode for each 16 KiB: room for 262,144, and in a
/// quick run for 16,384.
const DISK: usize = 8 << 30;
const QUICK_DISK: usize = 512 << 20;

/// Workloads over the number of files, on the root and on the disk.
const ON_ROOT: [&str; 2] = ["dir_stat", "tree_stat"];
const ON_DISK: [&str; 2] = ["disk_dir_stat", "disk_tree_stat"];
/// Workloads over the size of a file.
const SIZED: [&str; 2] = ["disk_file_read", "disk_file_write"];

/// The shares of the budget that the disk, the root and the apps take.
const SHARES: [f64; 3] = [0.25, 0.3, 0.45];

/// Boots of each configuration: fewer than elsewhere, for the sake of more points ...
const fn boots(quick: bool) -> usize {
    if quick { 3 } else { 5 }
}

/// ... and fewest where each has to make its files.
const BOOTS_ON_ROOT: usize = 3;

/// Runs the experiment.
pub fn run(plan: &Plan, progress: Progress<'_>) -> Result<Vec<Record>, BootFailure> {
    let time = Duration::from_secs(budget::seconds("scaling", plan.quick));
    let mut samples = Table::new();
    let [disk, root, apps] = SHARES;
    progress(0.0, "making a disk ready");
    let image = Image::make(if plan.quick { QUICK_DISK } else { DISK }, &on_disk(plan))?;
    let on_disk = Stage {
        manifest: &|configuration| image.manifest(configuration),
        workloads: on_disk(plan),
        cores: if plan.quick { &[1] } else { &[1, 2] },
        boots: boots(plan.quick),
        time: time.mul_f64(disk),
        stream: 6,
    };
    on_disk.take(plan, &mut samples, &mut |share, what| progress(share * disk, what))?;
    drop(image);
    let on_root = Stage {
        manifest: &|configuration| configuration.manifest(),
        workloads: on_root(plan),
        cores: &[1],
        boots: BOOTS_ON_ROOT,
        time: time.mul_f64(root),
        stream: 7,
    };
    on_root.take(plan, &mut samples, &mut |share, what| progress(disk + share * root, what))?;
    let mut records = analyse::records(Experiment::Scaling, &samples, plan);
    let latency = samples.iter().map(|(key, cell)| (key.clone(), cell.latency.clone())).collect();
    records.extend(growth::records("growth", &latency, plan));
    let mut progress = |share: f64, what: &str| progress(disk + root + share * apps, what);
    records.extend(apps::records(plan, time.mul_f64(apps), &mut progress)?);
    Ok(records)
}

/// What takes part: of the waits the default alone.
fn configurations(quick: bool) -> impl Iterator<Item = Configuration> {
    let takes_part = move |one: &Configuration| {
        one.wait.is_none_or(|wait| wait == Wait::Adaptive.name()) && (!quick || one.is_quick())
    };
    Configuration::all().into_iter().filter(takes_part)
}

/// Workloads at each of their points.
fn points(workloads: &[&str], unit: &str, points: &[u64]) -> Vec<String> {
    workloads.iter().flat_map(|workload| points.iter().map(move |point| format!("{workload}/{unit}_{point}"))).collect()
}

fn on_disk(plan: &Plan) -> Vec<String> {
    let (files, sizes): (&[u64], &[u64]) = if plan.quick { (&QUICK_FILES, &QUICK_SIZES) } else { (&FILES, &SIZES) };
    [points(&ON_DISK, "files", files), points(&SIZED, "mib", sizes)].concat()
}

fn on_root(plan: &Plan) -> Vec<String> {
    if plan.quick { points(&ON_ROOT[..1], "files", &QUICK_FILES) } else { points(&ON_ROOT, "files", &FILES) }
}

/// Files on the root that a kernel is asked to make at most. Each takes several messages where there are any, and more
/// would take longer than everything else together.
fn most_files(configuration: Configuration) -> u64 {
    match configuration.placement {
        Placement::Direct => u64::MAX,
        Placement::Process | Placement::Pkey | Placement::PkeyIntegrity => 10_000,
        Placement::Thread => 1_000,
    }
}

/// Why a kernel is not asked for a point, if it is not.
fn excludes(configuration: Configuration, workload: &str) -> Option<String> {
    if configuration.kernel == Kernel::Linux && workload.starts_with("disk_") {
        return Some(
            "n/a: what the host's kernel has at /mnt is memory, which each boot would have to fill anew".into(),
        );
    }
    let (base, files) = workload.split_once("/files_")?;
    let most = most_files(configuration);
    let many = ON_ROOT.contains(&base) && files.parse::<u64>().is_ok_and(|files| files > most);
    many.then(|| format!("n/a: to make more than {most} files by messages would take longer than all other points"))
}

/// Points that are measured in the same boots.
struct Stage<'a> {
    manifest: &'a dyn Fn(Configuration) -> Manifest,
    workloads: Vec<String>,
    cores: &'a [usize],
    boots: usize,
    time: Duration,
    stream: u64,
}

impl Stage<'_> {
    fn take(&self, plan: &Plan, samples: &mut Table, progress: Progress<'_>) -> Result<(), BootFailure> {
        let cells = |configuration: Configuration| {
            let mut cells = Vec::new();
            for name in &self.workloads {
                let workload = kd_workloads::find(name).map_err(|error| BootFailure::App(error.to_string()))?;
                for &cores in self.cores {
                    let key = Key { configuration, workload: name.clone(), user: 0, entry: Entry::Trap, cores };
                    match excludes(configuration, name) {
                        Some(why) => drop(samples.insert(key, Samples { reason: Some(why), ..Samples::default() })),
                        None => want(&mut cells, Wanted { key, compute: 0 }, &*workload, plan, samples),
                    }
                }
            }
            Ok((configuration, cells))
        };
        let cells = configurations(plan.quick).map(cells).collect::<Result<_, BootFailure>>()?;
        let design = Design {
            manifest: self.manifest,
            cells,
            boots: self.boots,
            enough: self.boots,
            time: self.time,
            stream: self.stream,
        };
        design.take(plan, samples, progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(quick: bool) -> Plan {
        Plan::for_test(quick, &[0, 1])
    }

    #[test]
    fn every_point_is_a_workloads() {
        for quick in [false, true] {
            for name in [on_disk(&plan(quick)), on_root(&plan(quick))].concat() {
                let found = kd_workloads::find(&name);
                assert!(found.is_ok_and(|found| name.starts_with(&format!("{}/", found.name()))), "{name}");
            }
        }
        assert_eq!((on_disk(&plan(false)).len(), on_disk(&plan(true)).len()), (2 * 5 + 2 * 4, 2 * 2 + 2 * 2));
        assert_eq!((on_root(&plan(false)).len(), on_root(&plan(true)).len()), (2 * 5, 2));
        assert!(on_root(&plan(false)).contains(&"tree_stat/files_100000".to_owned()));
        assert!(on_disk(&plan(false)).contains(&"disk_file_read/mib_1024".to_owned()));
    }

    #[test]
    fn microkernels_are_spared_on_the_root_and_the_hosts_on_the_disk() {
        let spared = |name: &str| configurations(false).filter(|one| excludes(*one, name).is_some()).count();
        assert_eq!(["dir_stat/files_100000", "tree_stat/files_10000", "dir_stat/files_1000"].map(spared), [4, 1, 0]);
        assert_eq!(["disk_dir_stat/files_100000", "disk_file_read/mib_1024"].map(spared), [1, 1]);
        assert_eq!((configurations(false).count(), configurations(true).count()), (7, 6));
    }
}
