//! `debate list`: what there is to choose from, read from the registries and the module files themselves.

use std::io::{self, Write};

use clap::Args;
use kd_api::component::Interface;
use kd_api::interfaces::block::BlockDevice;
use kd_boot::manifest::{Entry, Kernel, Source};
use kd_boot::{Manifest, Placement};
use kd_nucleus::channel::Wait;
use kd_nucleus::module::ModuleFile;

use super::CommandError;
use crate::kernels::PARTS;
use crate::{budget, meta};

const EXAMPLES: &str = "\
Examples:
  cargo debate list                       all of it
  cargo debate list | grep ram0           the workloads on the RAM disk";

/// Its arguments: none.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {}

/// Runs it.
///
/// # Errors
/// A driver module that is missing or is none.
pub fn run(out: &mut dyn Write) -> Result<(), CommandError> {
    let modules = meta::modules()?;
    let words = |words: &[&str]| words.join(", ");
    let kernels = [Kernel::Monolithic, Kernel::Microkernel, Kernel::Linux].map(Kernel::name);
    writeln!(out, "Kernels      {}", words(&kernels))?;
    writeln!(out, "Placements   {} (microkernel)", words(&Placement::APART.map(Placement::name)))?;
    writeln!(out, "Waits        {}\n", words(&Wait::ALL.map(Wait::name)))?;
    components(out)?;
    writeln!(out, "\nModules")?;
    modules.iter().try_for_each(|file| module(file, out))?;
    writeln!(out, "\nWorkloads")?;
    for workload in kd_workloads::workloads() {
        writeln!(out, "  {:<14} {}", workload.name(), workload.about())?;
    }
    writeln!(out, "\nTime budgets in seconds (quick, full)")?;
    for budget in budget::BUDGETS {
        writeln!(out, "  {:<14} {:>4} {:>6}", budget.experiment, budget.quick, budget.full)?;
    }
    writeln!(out, "  {:<14} {:>4} {:>6}", "boots", budget::boots(true), budget::boots(false))?;
    Ok(())
}

fn components(out: &mut dyn Write) -> io::Result<()> {
    let registered = (PARTS.components)();
    let interface = |entry: &Entry| match entry.source {
        // Drivers are block devices so far; a module's border knows no other interface.
        Source::Module(_) => <dyn BlockDevice as Interface>::info().name,
        Source::Subsystem => {
            registered.iter().find(|component| component.name == entry.name).map_or("", |found| found.interface.name)
        }
    };
    writeln!(out, "Components")?;
    let manifest = Manifest::standard(Kernel::Monolithic, Placement::Direct, &registered);
    for entry in &manifest.entries {
        let mut line = format!("  {:<14} {}", entry.name, interface(entry));
        if !entry.imports.is_empty() {
            line += &format!(", calls {}", entry.imports.join(", "));
        }
        if entry.apps {
            line += ", open to apps";
        }
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn module(file: &ModuleFile, out: &mut dyn Write) -> io::Result<()> {
    let info = file.info();
    writeln!(out, "  {:<14} {} {}, {}", info.name, info.version, info.license, info.description)?;
    writeln!(out, "  {:<14} SHA-256 {}", "", file.sha256())?;
    info.parameters.iter().try_for_each(|parameter| {
        let kd_nucleus::module::Parameter { name, default, least, most, text } = parameter;
        writeln!(out, "  {:<14} {name}={default} ({least} to {most}): {text}", "")
    })
}
