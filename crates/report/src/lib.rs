//! Results, statistics and the report: the two later stages of measure -> analyse -> render.
//!
//! The harness measures and hands over plain numbers; [`stats`] turns samples into estimates with intervals;
//! [`model`] says what follows from them for placements and crossings that nobody measured;
//! [`schema`] is the JSON between the stages (one tidy table, one record for each figure); [`render`] turns it
//! into one self-contained HTML page, a short text table and a picture. Nothing here knows a kernel: every
//! sentence and colour of the page is computed from records, and a metric or workload that this crate has never
//! heard of still appears.
#![forbid(unsafe_code)]

pub mod availability;
pub mod campaign;
pub mod model;
pub mod render;
pub mod schema;
pub mod stats;
mod store;

pub use render::{headline_svg, restart_svg, summary_table, write_report};
pub use schema::{Meta, Record, Results};
pub use store::{Broken, ReportError, check, missing_experiments};

/// The JSON Schema of a results file, as committed beside this crate.
pub const RESULTS_SCHEMA: &str = include_str!("../schema/results.schema.json");
