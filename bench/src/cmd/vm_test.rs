//! `debate vm-test`: test programs in a guest whose processor has protection keys.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Args;

use super::CommandError;
use crate::vm::Guest;

const EXAMPLES: &str = "\
Examples:
  cargo debate vm-test                                         every test that needs protection keys
  cargo debate vm-test target/debug/deps/gate-0123456789abcdef -- --nocapture

It needs the packages qemu-system-x86, busybox-static and linux-image-cloud-amd64; the last may also lie unpacked in
target/vm.";

/// The test targets that need protection keys: package, target, and what it is told.
const TESTS: [(&str, &str, &[&str]); 2] =
    [("kd-nucleus", "pkey", &[]), ("kernel-debate", "kernels", &["pkey::", "--test-threads=1", "--nocapture"])];

/// Its arguments.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Programs to run in the guest instead
    #[arg(value_name = "PROGRAM")]
    programs: Vec<PathBuf>,
    /// Arguments for each of them
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
    /// The guest's kernel (a Linux bzImage)
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Seconds after which the guest is stopped
    #[arg(long, value_name = "N", default_value_t = 1200)]
    limit: u64,
}

/// Runs it.
///
/// # Errors
/// A program that failed in the guest; no emulator, no kernel; a guest that was too slow.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), CommandError> {
    let target = target_folder()?;
    let folder = target.join("vm");
    let mut guest = Guest::new(arguments.kernel.as_deref(), &folder)?;
    let programs = match arguments.programs.as_slice() {
        [] => build()?,
        given => given.iter().map(|program| (program.clone(), arguments.arguments.clone())).collect(),
    };
    for (program, arguments) in &programs {
        guest.program(program, arguments)?;
    }
    let statuses = guest.run(&folder, Duration::from_secs(arguments.limit), out)?;
    let failed: Vec<String> = statuses
        .iter()
        .zip(&programs)
        .filter(|(status, _)| **status != 0)
        .map(|(status, (program, _))| format!("{} ended with status {status}", program.display()))
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(CommandError::Ended(format!("in the guest, {}", failed.join("; ")))) }
}

/// Where cargo puts what it builds: this program is in a folder of it.
fn target_folder() -> Result<PathBuf, CommandError> {
    let program = std::env::current_exe()?;
    Ok(program.ancestors().nth(2).unwrap_or(Path::new(".")).to_path_buf())
}

/// Has cargo build the tests that need keys, and tell where they are.
fn build() -> Result<Vec<(PathBuf, Vec<String>)>, CommandError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["test", "--no-run", "--message-format=json"]).stderr(Stdio::inherit());
    for (package, test, _) in TESTS {
        build.args(["--package", package, "--test", test]);
    }
    let told = build.output()?;
    if !told.status.success() {
        return Err(CommandError::Ended("cargo could not build the tests: see its output above".into()));
    }
    let program = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let (_, _, words) = TESTS.iter().find(|(_, test, _)| message["target"]["name"] == *test)?;
        let program = message["executable"].as_str()?.into();
        Some((program, words.iter().map(ToString::to_string).collect()))
    };
    Ok(String::from_utf8_lossy(&told.stdout).lines().filter_map(program).collect())
}
