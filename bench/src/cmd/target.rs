//! The command line of a bench target that is not criterion's, as far as it shares criterion's.
//!
//! Cargo hands the same arguments to every bench target: options of criterion are let through and mean nothing here,
//! except `--quick`. A filter that does not name the target asks for something else.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Args, Command, FromArgMatches};

use super::bench::Arguments;

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

/// What a target is asked to do.
#[derive(Debug)]
pub enum Asked {
    /// To say what it is called (`--list`).
    Name,
    /// Nothing: the filter names another one.
    Nothing,
    /// To do nothing long: this is `cargo test`.
    Test,
    /// To measure.
    Measure(Arguments),
}

/// The command line of the target `name`, which does what `about` says.
pub fn usage(name: &'static str, about: &'static str) -> Command {
    let hidden = |name: &'static str| {
        let short = SHORT.into_iter().find(|(long, _)| *long == name);
        Arg::new(name).long(name).short(short.map(|(_, letter)| letter)).hide(true)
    };
    let usage = Arguments::augment_args(Command::new(name).bin_name("cargo bench --"))
        .about(about)
        .args_override_self(true)
        .arg(hidden("bench").action(ArgAction::SetTrue))
        .args(FLAGS.map(|name| hidden(name).action(ArgAction::SetTrue)))
        .args(VALUES.map(|name| hidden(name).num_args(1)));
    usage.arg(Arg::new("filter").num_args(0..).help("Run the benches that match; the main job is `suite`")).after_help(
        "Examples:\n  cargo bench -- --quick                   everything, in under two minutes\n  \
         cargo bench -- direct_call               one bench of criterion's\n  \
         cargo bench --bench ipc -- --quick       the same exchange by other means alone, without a report\n  \
         cargo bench --bench suite -- --seed 7    the main job alone, with a seed",
    )
}

/// What the arguments ask of it.
///
/// # Errors
/// What clap says of arguments that nobody understands, and of `--help`.
pub fn asked(
    name: &'static str,
    about: &'static str,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Asked, clap::Error> {
    let matches = usage(name, about).try_get_matches_from(arguments)?;
    if matches.get_flag("list") {
        return Ok(Asked::Name);
    }
    let filters: Vec<&String> = matches.get_many("filter").into_iter().flatten().collect();
    if !filters.is_empty() && filters.iter().all(|filter| *filter != name) {
        return Ok(Asked::Nothing);
    }
    // Without `--bench` this is `cargo test`.
    if !matches.get_flag("bench") || matches.get_flag("test") {
        return Ok(Asked::Test);
    }
    Arguments::from_arg_matches(&matches).map(Asked::Measure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(line: &str) -> Result<Asked, clap::Error> {
        asked("ipc", "", line.split(' ').map(OsString::from))
    }

    #[test]
    fn criterions_options_pass_and_filters_choose() {
        assert!(matches!(ask("ipc --bench --quick --noplot -c always"), Ok(Asked::Measure(of)) if of.quick));
        assert!(matches!(ask("ipc --bench ipc"), Ok(Asked::Measure(_))));
        assert!(matches!(ask("ipc --bench direct_call"), Ok(Asked::Nothing)));
        assert!(matches!(ask("ipc --bench --list"), Ok(Asked::Name)));
        assert!(matches!(ask("ipc"), Ok(Asked::Test)));
        assert!(ask("ipc --bench --faster").is_err());
    }
}
