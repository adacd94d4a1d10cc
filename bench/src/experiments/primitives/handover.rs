//! How criterion's figures reach the report.
//!
//! A figure counts only if this very run produced it: estimates that criterion left behind earlier are told by their
//! age.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use kd_report::schema::Record;
use serde::{Deserialize, Serialize};

use super::parts::{TIMED, Timed};
use crate::handover;

/// One of criterion's medians, in nanoseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Figure {
    pub id: String,
    pub median: f64,
    pub low: f64,
    pub high: f64,
    /// Samples it rests on.
    pub samples: u64,
}

/// What is read of criterion's `estimates.json` ...
#[derive(Deserialize)]
struct Estimates {
    median: Median,
}

#[derive(Deserialize)]
struct Median {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

/// ... and of its `sample.json`.
#[derive(Deserialize)]
struct Samples {
    times: Vec<f64>,
}

/// Where criterion is told to keep its files: where it would by itself, but known to us without asking cargo. The
/// executable lies in `<target>/<profile>/deps`.
pub fn criterion_home() -> io::Result<PathBuf> {
    if let Some(home) = std::env::var_os("CRITERION_HOME") {
        return Ok(home.into());
    }
    let executable = std::env::current_exe()?;
    Ok(executable.ancestors().nth(3).unwrap_or(Path::new("target")).join("criterion"))
}

/// Hands over what criterion has measured since `begun`.
///
/// # Errors
/// The host's, writing the file.
pub fn publish(home: &Path, begun: SystemTime) -> io::Result<()> {
    let figures: Vec<Figure> = TIMED.iter().filter_map(|timed| figure(home, timed.id(), begun)).collect();
    // `cargo test` and `--list` measure nothing.
    if figures.is_empty() {
        return Ok(());
    }
    handover::publish("primitives", &figures)
}

/// One estimate, unless it is older than the run or missing.
pub(super) fn figure(home: &Path, id: String, begun: SystemTime) -> Option<Figure> {
    let folder = home.join(&id).join("new");
    let estimates = folder.join("estimates.json");
    if fs::metadata(&estimates).and_then(|file| file.modified()).ok()? < begun {
        return None;
    }
    let Median { point_estimate: median, confidence_interval: Interval { lower_bound: low, upper_bound: high } } =
        serde_json::from_slice::<Estimates>(&fs::read(estimates).ok()?).ok()?.median;
    let samples = serde_json::from_slice::<Samples>(&fs::read(folder.join("sample.json")).ok()?).ok()?.times.len();
    Some(Figure { id, median, low, high, samples: samples as u64 })
}

/// Criterion's figures of this `cargo bench`; without intervals if `quick`, where criterion takes two points. Parts
/// that it did not measure are unavailable.
pub fn records(quick: bool) -> Vec<Record> {
    let figures: Vec<Figure> = handover::take("primitives").unwrap_or_default();
    TIMED.iter().map(|timed| record(timed, &figures, quick)).collect()
}

pub(super) fn record(timed: &Timed, figures: &[Figure], quick: bool) -> Record {
    let (subject, metric) = timed.subject();
    let Some(figure) = figures.iter().find(|figure| figure.id == timed.id()) else {
        return subject.unavailable(metric, "median", "ns", "the bench `primitives` did not measure it in this run");
    };
    let record = subject.value(metric, "median", "ns", figure.median, figure.samples);
    if quick {
        return record;
    }
    // The interval is a bootstrap's: rounding may leave the median just outside a very narrow one.
    Record { ci_low: Some(figure.low.min(figure.median)), ci_high: Some(figure.high.max(figure.median)), ..record }
}
