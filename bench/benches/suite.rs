//! The main job of `cargo bench`, beside the other benches, with which it shares its command line.

use std::io::stdout;
use std::process::ExitCode;

use kernel_debate::cmd::target::{Asked, asked};
use kernel_debate::suite;

fn main() -> ExitCode {
    let about = "Runs every experiment and writes reports/latest/index.html";
    let arguments = match asked("suite", about, std::env::args_os()).unwrap_or_else(|error| error.exit()) {
        Asked::Measure(arguments) => arguments,
        Asked::Name => {
            println!("suite: benchmark");
            return ExitCode::SUCCESS;
        }
        Asked::Nothing | Asked::Test => return ExitCode::SUCCESS,
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
