//! Checks results files: `cargo run -p kd-report --example check FILE...`.
//!
//! Each must fit the JSON Schema, hold the rules between fields, and have figures of all experiments. For CI: a program
//! that reads a report uses [`Results::read`], which does all but the first and the last.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use kd_report::schema::Experiment;
use kd_report::{RESULTS_SCHEMA, Results, missing_experiments};

fn main() -> ExitCode {
    let mut files = std::env::args().skip(1).peekable();
    if files.peek().is_none() {
        eprintln!("error: name the results files to check");
        return ExitCode::FAILURE;
    }
    match files.try_for_each(|file| check(&file)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn check(file: &str) -> Result<(), Box<dyn Error>> {
    let results = Results::read(Path::new(file))?;
    let schema = jsonschema::validator_for(&serde_json::from_str(RESULTS_SCHEMA)?)?;
    let json = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    schema.validate(&json).map_err(|error| format!("{file}: {error}"))?;
    let missing: Vec<&str> = missing_experiments(&results).into_iter().map(Experiment::word).collect();
    if !missing.is_empty() {
        return Err(format!("{file}: no figures of {}", missing.join(", ")).into());
    }
    println!("{file}: {} figures of all experiments, as the schema says", results.records.len());
    Ok(())
}
