//! `debate run --upgrade`: another version of a driver module while a workload runs.
//!
//! In the microkernel that is one request, and the workload is not asked. In the monolithic kernel the workload's files are in the
//! way, which the kernel says; then they are closed, the module is exchanged, and the workload begins again.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kd_boot::manifest::Kernel;
use kd_boot::version::Upgrade;

use super::CommandError;
use super::run::Watch;

/// When the upgrade is asked for: the workload runs by then.
pub const AFTER: Duration = Duration::from_secs(1);
/// How long a workload may take to put its files away.
const PATIENCE: Duration = Duration::from_secs(5);

/// What to replace by what.
#[derive(Args, Clone, Debug)]
pub struct Replacement {
    /// Replace this driver module after a second, while the workload runs
    #[arg(long, value_name = "MODULE")]
    upgrade: Option<String>,
    /// The file of the new version; the module's own, loaded anew, unless said
    #[arg(long, value_name = "FILE", requires = "upgrade")]
    upgrade_file: Option<PathBuf>,
    /// A parameter of the new version; may be given several times
    #[arg(long, value_name = "NAME=VALUE", requires = "upgrade", value_parser = parameter)]
    upgrade_with: Vec<(String, u64)>,
}

fn parameter(text: &str) -> Result<(String, u64), String> {
    let wrong = || format!("`{text}` is no parameter: write name=number, as in max_kb=64");
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    Ok((name.into(), value.parse().map_err(|_| wrong())?))
}

impl Replacement {
    /// What is asked for, if anything is.
    pub fn wanted(&self) -> Option<Upgrade> {
        let (file, parameters) = (self.upgrade_file.clone(), self.upgrade_with.clone());
        Some(Upgrade { component: self.upgrade.clone()?, file, parameters })
    }
}

/// Asks for it.
///
/// # Errors
/// What cannot be replaced, or not by this.
pub fn ask(wanted: &Upgrade, kernel: Kernel, watch: &Watch, out: &mut dyn Write) -> Result<(), CommandError> {
    let Upgrade { component, .. } = wanted;
    watch.tell(out, &format!("asking for another version of {component}"))?;
    let asked = watch.boot.upgrade(wanted);
    let Err(refused) = asked else { return Ok(()) };
    if kernel != Kernel::Monolithic {
        return Err(refused.into());
    }
    watch.tell(out, &format!("refused: {refused}"))?;
    watch.tell(out, "having the workload close its files, and asking again")?;
    if !watch.app.send_away(PATIENCE) {
        return Err(CommandError::Ended("the workload did not close its files".into()));
    }
    let asked = watch.boot.upgrade(wanted);
    watch.app.call_back();
    Ok(asked?)
}
