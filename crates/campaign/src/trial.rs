//! A trial, what came of it, and who makes it.

use kd_report::campaign::Class;
use serde::{Deserialize, Serialize};

/// One fault in one component of one kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Its number in the campaign.
    pub id: u64,
    /// The kernel, by its layout's name.
    pub kernel: String,
    /// The component that fails.
    pub subject: String,
    /// The kind of fault.
    pub kind: String,
    /// Which fault of this kind: the `number`-th that the seed draws from the component's file.
    pub number: u64,
    /// Whether the fault outlives a restart of the component.
    pub permanent: bool,
}

/// What came of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The trial.
    #[serde(rename = "t")]
    pub trial: u64,
    /// The outcome.
    #[serde(rename = "c")]
    pub class: Class,
    /// Nanoseconds from the fault's first execution to its notice, if anybody noticed.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub notice_ns: Option<u64>,
    /// Whether the class hangs on time (a hang limit was reached), so that another run may see another one.
    #[serde(rename = "w", default, skip_serializing_if = "std::ops::Not::not")]
    pub timed: bool,
    /// What was hit that was not faulty: components and apps.
    #[serde(rename = "h", default, skip_serializing_if = "Vec::is_empty")]
    pub hit: Vec<String>,
    /// What was seen, in some words.
    #[serde(rename = "d", default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Makes trials, one after the other. Each job has one of its own.
pub trait Runner: Send {
    /// Makes one. A trial that cannot be made is asked for once more; after that the campaign stops.
    ///
    /// # Errors
    /// Why it could not be made: nothing is known of its outcome then.
    fn run(&mut self, trial: &Trial) -> Result<Record, String>;
}
