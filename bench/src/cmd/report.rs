//! `debate report`: the page and the picture made anew from a results file, by today's rendering.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::CommandError;
use crate::suite;

const EXAMPLES: &str = "\
Examples:
  cargo debate report reports/latest
  cargo debate report reports/reference";

/// Its arguments.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The folder with a `results.json`; its `index.html` and `headline.svg` are written anew
    pub dir: PathBuf,
}

/// Runs it.
///
/// # Errors
/// A file that cannot be read or written.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), CommandError> {
    let path = suite::report(&arguments.dir)?;
    writeln!(out, "Report: {}", path.display())?;
    Ok(())
}
