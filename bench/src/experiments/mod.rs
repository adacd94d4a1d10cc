//! The experiments: each asks its question, of kernels that it boots but for `crash`, and returns records. None of them
//! draws a conclusion.

pub mod campaign;
pub mod crash;
pub mod faults;
mod interrupts;
pub mod ipc;
pub mod latency;
pub mod macros;
mod placements;
pub mod primitives;
pub mod records;
pub mod restart;
pub mod scaling;

use crate::host_disk::{HostDisk, NoHostDisk};

/// How a run goes about its experiments.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Fewer boots and shorter budgets.
    pub quick: bool,
    /// What an experiment can do at length, as long as it takes: for `restart`.
    pub long: bool,
    /// From which every random choice of the run follows.
    pub seed: u64,
    /// Cores the run may use; experiments on two cores are unavailable with one.
    pub cores: Vec<usize>,
    /// Where disks can be files of the host.
    pub host_disk: Result<HostDisk, NoHostDisk>,
}

#[cfg(test)]
impl Plan {
    /// That of a test, on a host without a disk.
    pub fn for_test(quick: bool, cores: &[usize]) -> Plan {
        let nowhere = NoHostDisk::Memory { folder: "/somewhere".into(), kind: "tmpfs".into() };
        Plan { quick, long: false, seed: 1, cores: cores.to_vec(), host_disk: Err(nowhere) }
    }
}

/// Told how far an experiment is (0 to 1) and what it does.
pub type Progress<'a> = &'a mut dyn FnMut(f64, &str);

/// Why nothing behind protection keys can run here, if it cannot.
pub fn no_keys() -> Option<String> {
    let why = "this machine has no protection keys: /proc/cpuinfo has no flag `ospke`";
    kd_nucleus::pkey::available().is_err().then(|| why.into())
}

/// Puts items in random order (Fisher and Yates).
fn shuffle<T>(items: &mut [T], random: &mut kd_report::stats::Random) {
    for last in (1..items.len()).rev() {
        items.swap(last, random.below(last + 1));
    }
}
