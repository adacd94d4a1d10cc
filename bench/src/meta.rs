//! The circumstances of a run: machine, source, plan. What the host doesn't tell is said to be unknown.
//!
//! Collected before anything is measured, so that what is missing (a driver module, say) is known before minutes have
//! passed; length and stolen time are added at the end.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use kd_boot::manifest::{Kernel, Source};
use kd_boot::{Manifest, Placement};
use kd_nucleus::module::{ModuleError, ModuleFile};
use kd_report::Meta;
use kd_report::schema::{Mode, SCHEMA_VERSION};

use crate::budget;
use crate::experiments::Plan;
use crate::experiments::macros::on_host;
use crate::kernels::PARTS;

/// Features that decide what a boundary or a copy costs, by Linux's names.
const FEATURES: [&str; 14] = [
    "constant_tsc",
    "nonstop_tsc",
    "hypervisor",
    "pcid",
    "invpcid",
    "fsgsbase",
    "pku",
    "ospke",
    "smap",
    "erms",
    "fsrm",
    "avx2",
    "avx512f",
    "waitpkg",
];

/// A run that has begun.
pub struct Begun {
    meta: Meta,
    at: Instant,
    cpu: Option<CpuTime>,
}

/// The driver modules that kernels load, in the manifest's order, then that of a disk on the host.
///
/// # Errors
/// One that is missing or is none.
pub fn modules() -> Result<Vec<ModuleFile>, ModuleError> {
    let manifest = Manifest::standard(Kernel::Monolithic, Placement::Direct, &(PARTS.components)());
    let mut on_host = manifest.clone();
    on_host.put_disk_in(Path::new(""));
    let more = on_host.entries.iter().filter(|one| manifest.entries.iter().all(|entry| entry.name != one.name));
    let is_module = |entry: &&kd_boot::manifest::Entry| matches!(entry.source, Source::Module(_));
    let find = |entry: &kd_boot::manifest::Entry| {
        let file = ModuleFile::find(&entry.name)?;
        file.check(&entry.name, &[("", 0); 0])?;
        Ok(file)
    };
    manifest.entries.iter().chain(more).filter(is_module).map(find).collect()
}

/// Collects what is known before a run; `command` is what the user typed.
///
/// # Errors
/// A driver module that is missing or is none.
pub fn begin(plan: &Plan, command: String) -> Result<Begun, ModuleError> {
    let hash = |module: ModuleFile| (module.info().name.clone(), module.sha256());
    let seconds = |budget: &budget::Budget| budget::of(plan, budget.experiment) as f64;
    let meta = Meta {
        schema_version: SCHEMA_VERSION,
        seed: plan.seed,
        date: now(),
        commit: commit(),
        modules: modules()?.into_iter().map(hash).collect(),
        cpu: cpuinfo("model name").unwrap_or_else(|| "unknown".into()),
        cpu_features: features(&cpuinfo("flags").unwrap_or_default()),
        mitigations: mitigations(),
        host_kernel: format!("{} {}", read("/proc/sys/kernel/ostype"), read("/proc/sys/kernel/osrelease")),
        cores: plan.cores.len() as u32,
        governor: governor(),
        clock_source: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        command_line: command,
        duration_seconds: 0.0,
        mode: match (plan.long, plan.quick) {
            (true, _) => Mode::Long,
            (false, true) => Mode::Quick,
            (false, false) => Mode::Full,
        },
        boots: budget::boots(plan.quick) as u32,
        budgets: budget::BUDGETS.iter().map(|budget| (budget.experiment.to_owned(), seconds(budget))).collect(),
        groups: kd_workloads::workloads()
            .iter()
            .map(|workload| (workload.name().to_owned(), workload.group().name().to_owned()))
            .chain(on_host::names().map(|name| (name, on_host::GROUP.to_owned())))
            .collect(),
        host_file_system: plan.host_disk.as_ref().ok().map(|disk| disk.file_system.clone()),
        stolen_percent: None,
    };
    Ok(Begun { meta, at: Instant::now(), cpu: CpuTime::now() })
}

impl Begun {
    /// The run is over.
    pub fn end(self) -> Meta {
        let stolen = self.cpu.zip(CpuTime::now()).and_then(|(before, after)| before.stolen_percent(&after));
        Meta { duration_seconds: self.at.elapsed().as_secs_f64(), stolen_percent: stolen, ..self.meta }
    }
}

/// This machine in a few words.
pub fn machine() -> String {
    let cpu = cpuinfo("model name").unwrap_or_else(|| "unknown processor".into());
    format!("{cpu}, {} cores, {}", cores().len(), read("/proc/sys/kernel/osrelease"))
}

/// Now, by RFC 3339.
pub fn now() -> String {
    date(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// The SHA-256 of the program that runs.
///
/// # Errors
/// It cannot be read.
pub fn program() -> io::Result<String> {
    Ok(kd_nucleus::module::sha256(&fs::read(std::env::current_exe()?)?))
}

/// The folder of the source that this program was built from; the current one where that is gone.
pub fn workspace() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().filter(|folder| folder.is_dir());
    source.unwrap_or(Path::new(".")).into()
}

/// The cores that this process may use.
pub fn cores() -> Vec<usize> {
    let status = read("/proc/self/status");
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.map_or_else(|| vec![0], |list| core_list(list.trim()))
}

/// A seed for a run that was given none: small enough for readers of JSON that know nothing but doubles.
pub fn fresh_seed() -> u64 {
    u64::from(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos()))
}

/// The host's list format: `0-2,5`.
fn core_list(text: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
}

fn cpuinfo(key: &str) -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let pair = |line: &str| line.split_once(':').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
    info.lines().filter_map(pair).find(|(found, _)| found == key).map(|(_, value)| value)
}

fn features(flags: &str) -> Vec<String> {
    let flags: Vec<&str> = flags.split_whitespace().collect();
    FEATURES.into_iter().filter(|feature| flags.contains(feature)).map(str::to_owned).collect()
}

fn mitigations() -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else { return BTreeMap::new() };
    let pair = |entry: fs::DirEntry| Some((entry.file_name().into_string().ok()?, read(entry.path().to_str()?)));
    entries.flatten().filter_map(pair).collect()
}

fn governor() -> String {
    let governor = fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    governor.map_or_else(|_| "unknown (no cpufreq)".into(), |text| text.trim().to_owned())
}

/// The commit of the source, with `-dirty` where it was changed.
pub fn commit() -> String {
    // `--exclude=*` leaves the bare hash, whatever tags there are.
    let describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"];
    let output = Command::new("git").arg("-C").arg(workspace()).args(describe).output();
    let hash = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let hash = hash.map(|hash| String::from_utf8_lossy(&hash).trim().to_owned());
    hash.filter(|hash| !hash.is_empty()).unwrap_or_else(|| "unknown".into())
}

/// RFC 3339 of seconds since 1970, in UTC: days to a date as in Howard Hinnant's "chrono-compatible low-level date
/// algorithms" (`civil_from_days`), where years begin in March.
fn date(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// CPU time of the whole machine, in ticks: all of it, and what the hypervisor gave to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CpuTime {
    all: u64,
    stolen: u64,
}

impl CpuTime {
    fn now() -> Option<CpuTime> {
        CpuTime::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal (see proc(5)).
    fn parse(stat: &str) -> Option<CpuTime> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = line.split_whitespace().take(8).filter_map(|tick| tick.parse().ok()).collect();
        Some(CpuTime { all: ticks.iter().sum(), stolen: *ticks.get(7)? })
    }

    fn stolen_percent(&self, later: &CpuTime) -> Option<f64> {
        let all = later.all.checked_sub(self.all).filter(|&all| all > 0)?;
        Some(later.stolen.saturating_sub(self.stolen) as f64 * 100.0 / all as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let known = [0, 951_782_399, 951_782_400, 1_709_251_199, 4_102_444_800].map(date);
        let expected = ["1970-01-01T00:00:00Z", "2000-02-28T23:59:59Z", "2000-02-29T00:00:00Z"];
        assert_eq!(known[..3], expected);
        assert_eq!(known[3..], ["2024-02-29T23:59:59Z", "2100-01-01T00:00:00Z"]);
    }

    #[test]
    fn stolen_time_is_a_share_of_what_passed() {
        let at = |text| CpuTime::parse(text).expect("it has eight numbers");
        let (before, after) = (at("cpu  10 0 5 80 0 0 0 5 0 0\ncpu0 1"), at("cpu  20 0 5 160 0 0 0 15 0 0"));
        assert_eq!(before.stolen_percent(&after), Some(10.0));
        assert_eq!(before.stolen_percent(&before), None);
        assert_eq!(CpuTime::parse("cpu  1 2 3 4"), None, "a host that tells nothing of stolen time");
        assert_eq!(CpuTime::parse("intr 1"), None);
    }

    #[test]
    fn core_lists_are_read_as_the_host_writes_them() {
        assert_eq!(core_list("0-2,5"), [0, 1, 2, 5]);
        assert_eq!(core_list("7"), [7]);
        assert!(!cores().is_empty());
    }

    #[test]
    fn features_are_whole_words() {
        assert_eq!(features("fpu avx2 pku2 erms"), ["erms", "avx2"]);
    }
}
