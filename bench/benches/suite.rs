//! The main job of `cargo bench`, beside criterion's benches, with which it shares its command line.
//!
//! Cargo hands the same arguments to every bench target: options of criterion are let through and mean nothing here,
//! except `--quick`. A filter that does not ask for the suite asks for something else, and then this does nothing.

use std::io::stdout;
use std::process::ExitCode;

use clap::{Arg, ArgAction, Args, Command, FromArgMatches};
use kernel_debate::{cmd::bench::Arguments, suite};

/// Criterion's options without a value ...
const FLAGS: [&str; 12] = [
    "noplot",
    "verbose",
    "quiet",
    "discard-baseline",
    "exact",
    "nocapture",
    "no-capture",
    "show-output",
    "ignored",
    "include-ignored",
    "list",
    "test",
];
/// ... and with one.
const VALUES: [&str; 16] = [
    "color",
    "save-baseline",
    "baseline",
    "baseline-lenient",
    "load-baseline",
    "sample-size",
    "warm-up-time",
    "measurement-time",
    "nresamples",
    "noise-threshold",
    "confidence-level",
    "significance-level",
    "profile-time",
    "output-format",
    "plotting-backend",
    "format",
];
/// Letters that stand for some of them.
const SHORT: [(&str, char); 5] =
    [("noplot", 'n'), ("verbose", 'v'), ("color", 'c'), ("save-baseline", 's'), ("baseline", 'b')];

fn usage() -> Command {
    let hidden = |name: &'static str| {
        let short = SHORT.into_iter().find(|(long, _)| *long == name);
        Arg::new(name).long(name).short(short.map(|(_, letter)| letter)).hide(true)
    };
    let usage = Arguments::augment_args(Command::new("suite").bin_name("cargo bench --"))
        .about("Runs every experiment and writes reports/latest/index.html")
        .args_override_self(true)
        .arg(hidden("bench").action(ArgAction::SetTrue))
        .args(FLAGS.map(|name| hidden(name).action(ArgAction::SetTrue)))
        .args(VALUES.map(|name| hidden(name).num_args(1)));
    usage.arg(Arg::new("filter").num_args(0..).help("Run the benches that match; the main job is `suite`")).after_help(
        "Examples:\n  cargo bench -- --quick                   everything, in a minute and a half\n  \
         cargo bench -- direct_call               one bench of criterion's\n  \
         cargo bench --bench suite -- --seed 7    the main job alone, with a seed",
    )
}

fn main() -> ExitCode {
    let matches = usage().get_matches();
    if matches.get_flag("list") {
        println!("suite: benchmark");
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = matches.get_many("filter").into_iter().flatten().collect();
    let asked = filters.is_empty() || filters.iter().any(|filter| *filter == "suite");
    // Without `--bench` this is `cargo test --benches`, which is to run nothing long.
    if !asked || !matches.get_flag("bench") || matches.get_flag("test") {
        return ExitCode::SUCCESS;
    }
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let typed = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let command = ["cargo bench --".to_owned()].into_iter().chain(typed).collect::<Vec<_>>().join(" ");
    match suite::run_and_tell(&arguments.options(true, command), &mut stdout()) {
        Err(error) if !error.is_broken_pipe() => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
