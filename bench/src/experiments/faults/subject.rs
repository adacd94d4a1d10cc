//! The components that are made to fail: each that has a workload which checks its bytes and names an operation.

use kd_faults::{InjectError, Site};
use kd_nucleus::module::ModuleFile;

use crate::boot::{Boot, BootFailure};
use crate::kernels::PARTS;

/// A component, the load on it, and the function that fails.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The component.
    pub name: String,
    /// The load.
    pub workload: String,
    /// By what its function is found among the symbols.
    symbol: String,
    /// Whether it is a driver module; otherwise it is compiled in.
    module: bool,
    /// Whether the function returns through memory.
    returns_in_memory: bool,
}

/// All subjects: one for each component, by the first workload that fits it. A quick run takes one driver module, the
/// first: its time goes into every fault and every component of another kind.
pub fn subjects(quick: bool) -> Vec<Subject> {
    let components = (PARTS.components)();
    let mut subjects: Vec<Subject> = Vec::new();
    for workload in kd_workloads::workloads() {
        let Some(operation) = workload.faulty_operation() else { continue };
        if subjects.iter().any(|subject| subject.name == workload.subject()) {
            continue;
        }
        let component = components.iter().find(|component| component.name == workload.subject());
        if quick && component.is_none() && subjects.iter().any(|subject| subject.module) {
            continue;
        }
        let symbol = match component {
            Some(component) => format!("<{} as {}>::{operation}", component.type_name, component.interface.path),
            None => operation.into(),
        };
        let operations = component.map_or(&[][..], |component| component.interface.operations);
        let wide = operations.iter().find(|of| of.name == operation).is_some_and(|of| of.result > size_of::<usize>());
        subjects.push(Subject {
            name: workload.subject().into(),
            workload: workload.name().into(),
            symbol,
            module: component.is_none(),
            returns_in_memory: wide,
        });
    }
    subjects
}

/// Why there is no site.
#[derive(Debug, thiserror::Error)]
pub enum NoSite {
    /// The boot could not be asked.
    #[error(transparent)]
    Boot(#[from] BootFailure),
    /// The function cannot be found or changed.
    #[error(transparent)]
    Inject(#[from] InjectError),
    /// The module's file cannot be read.
    #[error(transparent)]
    Module(#[from] kd_nucleus::module::ModuleError),
    /// The component has no patch room.
    #[error("`{0}` has no patch room: the host does not say where its code lies")]
    NoRoom(String),
}

/// Where a subject fails in one boot: its process, its function, its patch room.
pub struct Target {
    /// The process.
    pub pid: i32,
    /// The function.
    pub site: Site,
    /// The patch room.
    pub room: kd_faults::Room,
}

impl Subject {
    /// Whether it is a driver, which is the smallest domain of every layout.
    pub fn is_driver(&self) -> bool {
        self.module
    }

    /// Finds the function in a running kernel.
    pub fn target(&self, boot: &Boot) -> Result<Target, NoSite> {
        let status = boot.component(&self.name)?;
        let patch = status.patch.ok_or_else(|| NoSite::NoRoom(self.name.clone()))?;
        let room = kd_faults::Room { code: patch.code, data: patch.data };
        let site = if self.module {
            Site::in_file(ModuleFile::find(&self.name)?.bytes(), patch.base, &self.symbol)?
        } else {
            program_site(patch.base, &self.symbol)?
        };
        let site = if self.returns_in_memory { site.returning_in_memory() } else { site };
        Ok(Target { pid: status.pid, site, room })
    }
}

/// A function of this program, which every kernel process is a fork of: its file is read once.
fn program_site(base: usize, symbol: &str) -> Result<Site, InjectError> {
    static PROGRAM: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let program = PROGRAM.get_or_init(|| std::fs::read("/proc/self/exe").unwrap_or_default());
    Site::in_file(program, base, symbol)
}
