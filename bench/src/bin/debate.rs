//! The command line: parses, and hands over to one file of `cmd` for each command.

use std::io::stdout;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use kernel_debate::cmd;

/// Two kernels, one API: what a protection boundary between subsystems costs, and what it buys
#[derive(Parser)]
#[command(
    name = "debate",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  cargo debate bench --quick
  cargo debate run --kernel microkernel --workload ram0_read_4k
  cargo debate list"
)]
struct Usage {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the experiments and write a report
    Bench(cmd::bench::Arguments),
    /// Run one workload on one kernel, to watch, profile or kill it
    Run(cmd::run::Arguments),
    /// Check the file system after power failures at any moment
    Crashcheck(cmd::crashcheck::Arguments),
    /// Let thousands of faults happen in components of every kernel, and see what they reach
    Campaign(cmd::campaign::Arguments),
    /// Run tests in a guest whose processor has protection keys
    VmTest(cmd::vm_test::Arguments),
    /// Render a folder's results again
    Report(cmd::report::Arguments),
    /// Tell which kernels, components, modules and workloads there are
    List(cmd::list::Arguments),
}

fn main() -> ExitCode {
    let out = &mut stdout();
    let done = match Usage::parse().command {
        Command::Bench(arguments) => cmd::bench::run(arguments, out),
        Command::Run(arguments) => cmd::run::run(&arguments, out),
        Command::Crashcheck(arguments) => cmd::crashcheck::run(&arguments, out),
        Command::Campaign(arguments) => cmd::campaign::run(&arguments, out),
        Command::VmTest(arguments) => cmd::vm_test::run(&arguments, out),
        Command::Report(arguments) => cmd::report::run(&arguments, out),
        Command::List(arguments) => cmd::list::run(&arguments, out),
    };
    match done {
        Err(error) if !error.is_broken_pipe() => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
