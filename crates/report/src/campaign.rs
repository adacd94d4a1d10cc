//! The summary of a fault campaign, `campaign.json`: counts, and no rate that they do not give.
//!
//! Beside it lies the campaign's log, with a line for each trial; the summary is made from that and can be made again.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::store::{ReportError, write_whole};

/// Version of the layout below; a file of another version is refused.
pub const SUMMARY_VERSION: u32 = 1;
/// The summary's file name, beside `results.json`.
pub const FILE: &str = "campaign.json";

/// What came of a trial: the worst that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The fault cannot be made in this kernel: it has no such part.
    NotApplicable,
    /// The faulty instruction was never executed, or the faulty byte never lay there: counted, and in no rate.
    NotActivated,
    /// Nobody saw anything: no error, every byte right.
    Masked,
    /// The app that uses the component was told of an error, and goes on; the component lives.
    ErrorReturned,
    /// The component died and was started again; no app saw anything.
    RestartedUnaware,
    /// The component died and was started again; its app was told of an error, and goes on.
    RestartedAware,
    /// The component made no progress, and that was noticed and ended.
    HangNoticed,
    /// The app that uses the component got wrong data without an error.
    WrongData,
    /// Data that had been acknowledged as stable is gone, or was changed on the disk.
    DataLost,
    /// The app that uses the component was killed, or gets nothing but errors from then on.
    AppKilled,
    /// The component makes no progress, and nobody notices.
    HangUnnoticed,
    /// The component read what was not its own: another component's memory or an app's bytes that it was never given.
    SecretRead,
    /// A component or an app was hit that has nothing to do with the faulty one.
    Spread,
    /// The kernel went down, and every app with it.
    KernelDead,
}

impl Class {
    /// All of them, from best to worst.
    pub const ALL: [Class; 14] = [
        Class::NotApplicable,
        Class::NotActivated,
        Class::Masked,
        Class::ErrorReturned,
        Class::RestartedUnaware,
        Class::RestartedAware,
        Class::HangNoticed,
        Class::WrongData,
        Class::DataLost,
        Class::AppKilled,
        Class::HangUnnoticed,
        Class::SecretRead,
        Class::Spread,
        Class::KernelDead,
    ];

    /// Whether the fault happened: only such trials count in rates.
    pub fn is_activated(self) -> bool {
        !matches!(self, Class::NotApplicable | Class::NotActivated)
    }

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Class::NotApplicable => "not_applicable",
            Class::NotActivated => "not_activated",
            Class::Masked => "masked",
            Class::ErrorReturned => "error_returned",
            Class::RestartedUnaware => "restarted_unaware",
            Class::RestartedAware => "restarted_aware",
            Class::HangNoticed => "hang_noticed",
            Class::WrongData => "wrong_data",
            Class::DataLost => "data_lost",
            Class::AppKilled => "app_killed",
            Class::HangUnnoticed => "hang_unnoticed",
            Class::SecretRead => "secret_read",
            Class::Spread => "spread",
            Class::KernelDead => "kernel_dead",
        }
    }

    /// What it is called on the page.
    pub const fn title(self) -> &'static str {
        match self {
            Class::NotApplicable => "not applicable",
            Class::NotActivated => "not activated",
            Class::Masked => "masked",
            Class::ErrorReturned => "error returned",
            Class::RestartedUnaware => "restarted, app unaware",
            Class::RestartedAware => "restarted, app saw an error",
            Class::HangNoticed => "hang noticed",
            Class::WrongData => "silent wrong data",
            Class::DataLost => "acknowledged data lost",
            Class::AppKilled => "app killed",
            Class::HangUnnoticed => "hang not noticed",
            Class::SecretRead => "secret read",
            Class::Spread => "spread",
            Class::KernelDead => "kernel dead",
        }
    }
}

/// A campaign in counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// [`SUMMARY_VERSION`] of the writer.
    pub version: u32,
    /// From which faults were drawn.
    pub seed: u64,
    /// Commit of the source.
    pub commit: String,
    /// SHA-256 of the program.
    pub build: String,
    /// Driver modules: name to SHA-256.
    pub modules: BTreeMap<String, String>,
    /// The machine: processor and cores.
    pub machine: String,
    /// Day on which it ended, RFC 3339.
    pub date: String,
    /// Kernels in the order of trials.
    pub kernels: Vec<String>,
    /// Kernels that this machine cannot run, with the reason.
    pub unavailable: BTreeMap<String, String>,
    /// Trials made.
    pub trials: u64,
    /// Seconds that the last run of the campaign took, and trials that it made: its rate.
    pub seconds: f64,
    /// Trials of that run.
    pub trials_in_seconds: u64,
    /// Counts by kernel, component, kind of fault, and whether it outlives a restart.
    pub cells: Vec<Count>,
    /// Faults that a kernel has no counterpart of, with the reason.
    #[serde(default)]
    pub inapplicable: Vec<Inapplicable>,
    /// Trials in which somebody who was not faulty was hit or read, by kernel and faulty component: whom, and how often.
    pub reach: Vec<Reach>,
    /// When activated faults were noticed, by kernel.
    pub notice: Vec<Notice>,
    /// Where wild pointers went, by kernel.
    pub wild: Vec<Wild>,
    /// A worked example for each class that one was found for.
    pub examples: Vec<Example>,
    /// What came of trials that were made once more, if any were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recheck: Option<Recheck>,
}

/// Trials of the log, chosen by chance and made once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recheck {
    /// How many.
    pub trials: u64,
    /// Those that came out otherwise.
    pub otherwise: Vec<Otherwise>,
}

/// A trial that came out otherwise when it was made once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Otherwise {
    /// Its number.
    pub trial: u64,
    /// What is on file.
    pub before: Class,
    /// What it was then.
    pub after: Class,
    /// Whether a hang limit was reached in either, which says that it hangs on time.
    pub timed: bool,
    /// How often it came out how when it was made many times more, under the same load.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub again: BTreeMap<Class, u64>,
}

impl Otherwise {
    /// Whether what is on file has come out again beside something else: the same fault in the same code has one outcome or
    /// another by who ran when.
    pub fn varies(&self) -> bool {
        self.again.len() > 1 && self.again.contains_key(&self.before)
    }
}

/// How it came out, each time.
impl fmt::Display for Otherwise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trial {}: {}, then {}", self.trial, self.before.title(), self.after.title())?;
        if self.timed {
            f.write_str("; a limit of time was reached")?;
        }
        if !self.again.is_empty() {
            write!(f, "; made {} times more", self.again.values().sum::<u64>())?;
        }
        for (number, (class, count)) in self.again.iter().enumerate() {
            write!(f, "{} {} {count}", if number == 0 { ":" } else { "," }, class.title())?;
        }
        Ok(())
    }
}

/// Counts of one cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// The kernel, by its layout's name.
    pub kernel: String,
    /// The component.
    pub subject: String,
    /// The kind of fault.
    pub kind: String,
    /// Whether it outlives a restart.
    pub permanent: bool,
    /// Trials by class.
    pub classes: BTreeMap<Class, u64>,
}

/// Faults of a kind that a kernel has no counterpart of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inapplicable {
    /// The kind.
    pub kind: String,
    /// Why.
    pub reason: String,
    /// The kernel.
    pub kernel: String,
    /// The component.
    pub subject: String,
}

/// Whom the faults of a component reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// The kernel.
    pub kernel: String,
    /// The faulty component.
    pub subject: String,
    /// Activated trials.
    pub activated: u64,
    /// Who was hit, and in how many of them.
    pub hit: BTreeMap<String, u64>,
}

/// A survival curve: faults that nobody has noticed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// The kernel.
    pub kernel: String,
    /// Activated faults that had something to notice: neither masked nor without effect.
    pub faults: u64,
    /// Upper end of a span of time in nanoseconds, and how many were noticed within it; the rest nobody noticed.
    pub noticed: Vec<(u64, u64)>,
}

/// Where spoiled addresses pointed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wild {
    /// The kernel.
    pub kernel: String,
    /// Addresses that were looked at.
    pub pointers: u64,
    /// Those that lay in a page which the faulty component could write.
    pub mapped: u64,
}

/// One trial told in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// Its number, for `--replay`.
    pub trial: u64,
    /// The kernel.
    pub kernel: String,
    /// The component.
    pub subject: String,
    /// The kind of fault.
    pub kind: String,
    /// What came of it.
    pub class: Class,
    /// The function that was changed, if one was.
    pub function: String,
    /// The instruction before and after, or what was done instead.
    pub before: String,
    /// See `before`.
    pub after: String,
    /// What was seen.
    pub story: String,
}

impl Summary {
    /// Reads a summary.
    ///
    /// # Errors
    /// One [`ReportError`] for a file that is missing, truncated, of another version, or something else.
    pub fn read(path: &Path) -> Result<Summary, ReportError> {
        let here = || path.to_path_buf();
        let text = std::fs::read(path).map_err(|source| ReportError::Read { path: here(), source })?;
        let foreign = |detail: String| ReportError::ForeignCampaign { path: here(), detail };
        let json: serde_json::Value = serde_json::from_slice(&text).map_err(|error| foreign(error.to_string()))?;
        match json.get("version").and_then(serde_json::Value::as_u64) {
            Some(found) if found == u64::from(SUMMARY_VERSION) => {}
            Some(found) => return Err(foreign(format!("version {found}, this build reads {SUMMARY_VERSION}"))),
            None => return Err(foreign("no version".into())),
        }
        serde_json::from_value(json).map_err(|error| foreign(error.to_string()))
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// The host refused.
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        let mut json = serde_json::to_string_pretty(self).expect("string keys and finite numbers always serialise");
        json.push('\n');
        write_whole(path, &json)
    }

    /// Counts by class over all cells that `of` picks.
    pub fn count(&self, of: impl Fn(&Count) -> bool) -> BTreeMap<Class, u64> {
        Summary::total(&self.cells, of)
    }

    /// The same over cells.
    pub fn total(cells: &[Count], of: impl Fn(&Count) -> bool) -> BTreeMap<Class, u64> {
        let mut sum = BTreeMap::new();
        for cell in cells.iter().filter(|cell| of(cell)) {
            for (&class, n) in &cell.classes {
                *sum.entry(class).or_default() += n;
            }
        }
        sum
    }
}

/// Trials in which the fault happened.
pub fn activated(classes: &BTreeMap<Class, u64>) -> u64 {
    classes.iter().filter(|(class, _)| class.is_activated()).map(|(_, n)| n).sum()
}
