//! `debate list`: what there is to choose from, read from the registries and the module files themselves.

use std::io::{self, Write};

use clap::Args;
use kd_api::component::Interface;
use kd_api::interfaces::block::BlockDevice;
use kd_boot::layout::Layout;
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
  cargo debate list placements            which components share a domain in each
  cargo debate list | grep ram0           the workloads on the RAM disk";

/// Its arguments.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Tell of these alone
    #[arg(value_name = "WHAT", value_enum)]
    what: Option<What>,
}

/// What can be listed alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// The shipped placements.
    Placements,
}

/// Runs it.
///
/// # Errors
/// A driver module that is missing or is none.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), CommandError> {
    if arguments.what == Some(What::Placements) {
        return placements(out);
    }
    let modules = meta::modules()?;
    let words = |words: &[&str]| words.join(", ");
    let kernels = [Kernel::Monolithic, Kernel::Microkernel, Kernel::Linux].map(Kernel::name);
    writeln!(out, "Kernels      {}", words(&kernels))?;
    let boundaries: Vec<&str> = Placement::ALL[1..].iter().map(|placement| placement.name()).collect();
    writeln!(out, "Boundaries   {} (microkernel)", words(&boundaries))?;
    writeln!(out, "Waits        {}\n", words(&Wait::ALL.map(Wait::name)))?;
    components(out)?;
    writeln!(out)?;
    placements(out)?;
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

/// The shipped layouts; a component that is not named has a domain of its own.
fn placements(out: &mut dyn Write) -> Result<(), CommandError> {
    writeln!(out, "Placements")?;
    for layout in Layout::shipped()? {
        writeln!(out, "  {:<16} {}", layout.name, layout.about())?;
        let manifest = layout.manifest(&(PARTS.components)())?;
        let domains = layout.domains(&manifest)?;
        let (shared, alone): (Vec<_>, Vec<_>) = domains.iter().partition(|domain| domain.members.len() > 1);
        for domain in &shared {
            let names: Vec<&str> =
                domain.members.iter().map(|&member| manifest.entries[member].name.as_str()).collect();
            writeln!(out, "  {:<16} {}: {}", "", domain.name, names.join(", "))?;
        }
        if !alone.is_empty() {
            let names: Vec<&str> = alone.iter().map(|domain| domain.name.as_str()).collect();
            writeln!(out, "  {:<16} alone: {}", "", names.join(", "))?;
        }
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
