//! Reading, writing and checking a results file.
//!
//! A file is written beside its name and renamed, so that nobody finds half of one. What can't be read gives one
//! error that names the file and the remedy: old, truncated and foreign files are told apart. [`check`] holds the
//! rules between fields that neither types nor the JSON Schema can express.

use crate::schema::{Experiment, Record, Results, SCHEMA_VERSION, Status};
use std::{fs, io, path::Path, path::PathBuf};
use thiserror::Error;

/// Why a results file or a report could not be read or written.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The host refused to read.
    #[error("{path}: {source}; check the path, or make a results file with `cargo bench`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
    /// The host refused to write.
    #[error("{path}: {source}; choose an output folder that can be written, with `--out DIR`")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
    /// The file ends in the middle.
    #[error("{path}: the results file is truncated ({detail}); run `cargo bench` again")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Where it ends.
        detail: String,
    },
    /// The file was written by another version of the suite.
    #[error(
        "{path}: results of schema version {found}, this build reads {SCHEMA_VERSION}; run `cargo bench` again, \
             or read it with the commit that wrote it"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version that it claims.
        found: u64,
    },
    /// The file is something else.
    #[error("{path}: not a results file of this suite ({detail}); name a `results.json` that `cargo bench` wrote")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What doesn't fit.
        detail: String,
    },
    /// The file is no summary of a fault campaign.
    #[error("{path}: not a fault campaign's summary ({detail}); make it again with `cargo debate campaign`")]
    ForeignCampaign {
        /// The file.
        path: PathBuf,
        /// What doesn't fit.
        detail: String,
    },
    /// Figures that contradict themselves were about to be written: a defect of what measured them.
    #[error("the results are inconsistent, nothing was written: {0}")]
    Inconsistent(#[from] Broken),
    /// A chart could not be drawn.
    #[error("the chart of {what} could not be drawn: {detail}")]
    Chart {
        /// Which chart.
        what: String,
        /// What the drawing library said.
        detail: String,
    },
}

/// A record that breaks a rule of the schema.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("record {index} ({name}): {rule}")]
pub struct Broken {
    /// Position in the table.
    pub index: usize,
    /// The record's parameters.
    pub name: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

impl Results {
    /// Reads a results file.
    ///
    /// # Errors
    /// One [`ReportError`] for a file that is missing, truncated, of another version, foreign, or inconsistent.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let here = || path.to_path_buf();
        let text = fs::read(path).map_err(|source| ReportError::Read { path: here(), source })?;
        let foreign = |detail: String| ReportError::Foreign { path: here(), detail };
        let json: serde_json::Value = serde_json::from_slice(&text).map_err(|e| match e.is_eof() {
            true => ReportError::Truncated { path: here(), detail: e.to_string() },
            false => foreign(e.to_string()),
        })?;
        // The version comes first: an old file would otherwise be reported as a missing field.
        match json.pointer("/meta/schema_version").and_then(serde_json::Value::as_u64) {
            Some(found) if found == u64::from(SCHEMA_VERSION) => {}
            Some(found) => return Err(ReportError::Version { path: here(), found }),
            None => return Err(foreign("no meta.schema_version".into())),
        }
        let results: Self = serde_json::from_value(json).map_err(|e| foreign(e.to_string()))?;
        check(&results).map_err(|e| foreign(e.to_string()))?;
        Ok(results)
    }

    /// Writes the results, whole or not at all, and makes the folder where there is none.
    ///
    /// # Errors
    /// [`ReportError::Write`] when the host refuses, [`ReportError::Inconsistent`] when [`check`] does.
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        check(self)?;
        let mut json = serde_json::to_string_pretty(self).expect("string keys and finite numbers always serialise");
        json.push('\n');
        write_whole(path, &json)
    }
}

/// Writes beside `path`, then renames.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<(), ReportError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
        fs::write(&temporary, text)?;
        fs::rename(&temporary, path)
    });
    written.map_err(|source| {
        // Best effort: the first error is the one that matters.
        let _ = fs::remove_file(&temporary);
        ReportError::Write { path: path.to_path_buf(), source }
    })
}

/// Checks the rules between fields.
///
/// # Errors
/// The first record that breaks one: a value is there unless unavailable, a reason unless `ok`; numbers are finite;
/// an interval has both ends and holds its value.
pub fn check(results: &Results) -> Result<(), Broken> {
    for (index, record) in results.records.iter().enumerate() {
        if let Err(rule) = check_record(record) {
            let r = record;
            let name = format!(
                "{} {} {} {} {} {} cores, {} {} {}",
                r.experiment, r.kernel, r.placement, r.wait, r.entry, r.cores, r.workload, r.metric, r.statistic
            );
            return Err(Broken { index, name, rule });
        }
    }
    Ok(())
}

fn check_record(r: &Record) -> Result<(), &'static str> {
    let numbers = [r.value, r.ci_low, r.ci_high];
    let interval_holds = match (r.value, r.ci_low, r.ci_high) {
        (_, None, None) => true,
        (Some(value), Some(low), Some(high)) => low <= value && value <= high,
        _ => false,
    };
    if numbers.iter().flatten().any(|x| !x.is_finite()) {
        Err("numbers must be finite")
    } else if r.value.is_some() == (r.status == Status::Unavailable) {
        Err("a value must be there if, and only if, the status isn't `unavailable`")
    } else if r.reason.is_some() == (r.status == Status::Ok) {
        Err("a reason must be there if, and only if, the status isn't `ok`")
    } else if !interval_holds {
        Err("an interval must have both ends and hold its value")
    } else {
        Ok(())
    }
}

/// Experiments without a single record; a complete run has none.
pub fn missing_experiments(results: &Results) -> Vec<Experiment> {
    let has = |e: Experiment| results.records.iter().any(|r| r.experiment == e);
    Experiment::ALL.iter().copied().filter(|e| !has(*e)).collect()
}
