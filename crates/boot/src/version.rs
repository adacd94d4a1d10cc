//! A driver module in one of its versions, and how another one takes its place while the kernel runs.
//!
//! A *version* is a module's file as it was read and checked, with the parameters that it is given. What a driver must not
//! lose lies on its device, so versions hand nothing else over; that both speak of the device in the same way is what the
//! version stamp says, which is compared before any code of the newcomer runs.
//!
//! A newcomer is asked for its health before anybody else may call it. Who fails that was never in service.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use kd_api::interfaces::block::{BlockDevice, SECTOR};
use kd_api::{Errno, Handle, OutBuf};
use kd_nucleus::module::{MappedModule, ModuleError, ModuleFile};
use serde::{Deserialize, Serialize};

/// What somebody wants in a module's place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrade {
    /// The component whose module it is.
    pub component: String,
    /// The new module's file; the one that a boot would take, read anew, unless said.
    pub file: Option<PathBuf>,
    /// The parameters that it is given, all of them.
    pub parameters: Vec<(String, u64)>,
}

/// Why a module stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// There is none of this name.
    #[error("no component `{0}` runs: `list` names them")]
    Unknown(String),
    /// It is no module.
    #[error("`{0}` is compiled into the program and cannot be replaced: upgrade a driver module")]
    NoModule(String),
    /// A boundary that it cannot be replaced behind.
    #[error(
        "`{0}` is placed {1} in a microkernel: only a driver alone in a process is replaced under load; use the placement \
         `process`, or `drivers-isolated`"
    )]
    Placement(String, &'static str),
    /// It has company.
    #[error("`{0}` shares its domain `{1}` with others, which would go with it: place it in a domain of its own")]
    Shared(String, String),
    /// Somebody holds it.
    #[error(
        "`{0}` is in use by `{1}` ({2}): as on Linux, files on its device are closed first, and those of a file system on it"
    )]
    InUse(String, String, Errno),
    /// It is dead, or being replaced.
    #[error("`{0}` is being restarted or replaced, or stays dead: try again when it answers")]
    NotUp(String),
    /// The newcomer cannot be loaded.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// The host refused.
    #[error("the host refused: {0}")]
    Host(#[from] std::io::Error),
    /// In the kernel's own process.
    #[error("{0}")]
    Within(String),
}

/// One version of a module.
pub struct Version {
    file: ModuleFile,
    parameters: Vec<(String, u64)>,
    /// Mapped but not run, for processes forked from this one.
    image: OnceLock<Arc<MappedModule>>,
}

impl Version {
    /// The module `name` from where a boot finds it, or from this file.
    ///
    /// # Errors
    /// What is wrong with the file or the parameters; none of its code has run.
    pub fn find(
        name: &str,
        file: Option<&std::path::Path>,
        parameters: &[(String, u64)],
    ) -> Result<Version, ModuleError> {
        let file = file.map_or_else(|| ModuleFile::find(name), ModuleFile::open)?;
        file.check(name, parameters)?;
        Ok(Version { file, parameters: parameters.to_vec(), image: OnceLock::new() })
    }

    /// Where its file was found, and what it is given.
    pub fn source(&self) -> (PathBuf, Vec<(String, u64)>) {
        (self.file.path().into(), self.parameters.clone())
    }

    /// Its module's file.
    pub fn file(&self) -> &ModuleFile {
        &self.file
    }

    /// What it is given.
    pub fn parameters(&self) -> Vec<(&str, u64)> {
        self.parameters.iter().map(|(name, value)| (name.as_str(), *value)).collect()
    }

    /// Maps it here, so that processes forked from this one need not: each has its own copy of what it writes.
    ///
    /// # Errors
    /// Those of mapping a module.
    pub fn warm_up(&self, name: &str) -> Result<(), ModuleError> {
        let image = Arc::new(self.file.map(name, &self.parameters)?);
        // Once for each version; who asks again finds the first.
        let _ = self.image.set(image);
        Ok(())
    }

    /// It as it is mapped here, or a new mapping.
    ///
    /// # Errors
    /// Those of mapping a module.
    pub fn mapped(&self, name: &str) -> Result<Arc<MappedModule>, ModuleError> {
        match self.image.get() {
            Some(image) => Ok(image.clone()),
            None => Ok(Arc::new(self.file.map(name, &self.parameters)?)),
        }
    }

    /// What an upgrade from it to another is called.
    pub fn to(&self, new: &Version) -> String {
        format!("from {} to {}", self.describe(), new.describe())
    }

    /// What people call it: its version, what it was told, and the beginning of its file's hash.
    fn describe(&self) -> String {
        let told: Vec<String> = self.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let told = if told.is_empty() { String::new() } else { format!(" with {}", told.join(" ")) };
        format!("version {}{told} ({})", self.file.info().version, &self.file.sha256()[..12])
    }
}

/// Bytes that every driver must be able to read at once: a page, as file systems ask for.
const PAGE: usize = 4096;

/// Asks a driver that just started what its users will ask: how large it is, for its first and last page, and for a flush.
///
/// # Errors
/// The question that it did not answer, and what it said.
pub fn check_health(handle: &Handle) -> Result<(), String> {
    let device = handle.get::<dyn BlockDevice>().map_err(|wrong| wrong.to_string())?;
    let failed = |what: &'static str| move |errno: Errno| format!("{what} failed: {errno}");
    let sectors = device.capacity().map_err(failed("asking its size"))?;
    let page = (PAGE / SECTOR) as u64;
    if sectors < page {
        return Err(format!("it has {sectors} sectors, less than a page"));
    }
    for sector in [0, sectors - page] {
        let mut bytes = [0; PAGE];
        let read = device.read(sector, &mut OutBuf::new(&mut bytes)).map_err(failed("reading a page"))?;
        if read != PAGE {
            return Err(format!("it read {read} bytes of a page"));
        }
    }
    device.flush().map_err(failed("a flush"))
}
