//! `debate bench`: the experiments of `cargo bench` without criterion's part.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use kd_report::schema::Experiment;

use super::CommandError;
use crate::suite::{self, Options};

const EXAMPLES: &str = "\
Examples:
  cargo debate bench --quick              everything, in under two minutes
  cargo debate bench --only restart       one experiment
  cargo debate bench --only restart --long        14 minutes: 600 kills a second apart, and 10,000 at random moments
  cargo debate bench --quick --seed 7     the same faults in the same order as any other run with seed 7
  cargo debate bench --out reports/mine   another output folder";

/// Its arguments.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Fewer boots and shorter budgets: under two minutes
    #[arg(long)]
    pub quick: bool,
    /// With `--only restart`: 600 kills a second apart, and 10,000 at random moments, in about 14 minutes; with `--only
    /// primitives`: four times the rounds, in about 3. Into `reports/long/EXPERIMENT` unless `--out` says otherwise. Ctrl-C ends
    /// it at any moment and leaves that folder as it was
    #[arg(long, conflicts_with = "quick")]
    pub long: bool,
    /// One experiment alone
    #[arg(long, value_name = "EXPERIMENT", value_parser = experiment())]
    pub only: Option<Experiment>,
    /// The number from which every random choice follows [default: a fresh one]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// The output folder [default: reports/latest]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

fn experiment() -> impl TypedValueParser<Value = Experiment> {
    PossibleValuesParser::new(Experiment::ALL.iter().map(|experiment| experiment.word())).map(|word| {
        let named = Experiment::ALL.iter().copied().find(|experiment| experiment.word() == word);
        named.expect("the parser lets nothing else through")
    })
}

impl Arguments {
    /// As options of the suite.
    pub fn options(self, primitives: bool, command: String) -> Options {
        let out = self.out.or_else(|| self.only.filter(|_| self.long).map(suite::long_out));
        Options { quick: self.quick, long: self.long, only: self.only, seed: self.seed, out, primitives, command }
    }
}

/// Runs it.
///
/// # Errors
/// The suite's.
pub fn run(arguments: Arguments, out: &mut dyn Write) -> Result<(), CommandError> {
    let command = ["cargo debate".to_owned()].into_iter().chain(std::env::args().skip(1));
    suite::run_and_tell(&arguments.options(false, command.collect::<Vec<_>>().join(" ")), out)
}
