//! What a process is left that executes the program anew: the memory that outlives processes, by descriptor, and the name of
//! its module's file, which it reads and checks itself.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use kd_api::Component;
use kd_machine::memory::Memory;
use kd_nucleus::process;
use serde::{Deserialize, Serialize};

use crate::devices::Link;
use crate::info::{self, Fixed};
use crate::log;
use crate::manifest::{Entry, Manifest, Source};
use crate::start::{BootError, Parts, Prepared, module_component};
use crate::version::Version;

/// The descriptor of a memory object, to be mentioned to whoever inherits it.
pub fn named(memory: &Memory) -> RawFd {
    memory.as_fd().as_raw_fd()
}

/// The memory object that was left by this name.
///
/// # Errors
/// The host's, if it is none.
pub fn memory(fd: RawFd) -> std::io::Result<Memory> {
    Memory::from_fd(process::inherit(fd))
}

/// What is left of one component.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Left {
    disk: Option<RawFd>,
    store: Option<RawFd>,
    /// Registers, frames, and the frames' address.
    device: Option<(RawFd, RawFd, usize)>,
    module: Option<(PathBuf, Vec<(String, u64)>)>,
}

impl Left {
    /// Of this one.
    pub fn of(prepared: &Prepared) -> Left {
        let device = prepared.link.as_ref().map(|link| {
            let (registers, frames, address) = link.driver_side();
            (named(registers), named(frames), address)
        });
        let module = prepared.version().map(|version| version.source());
        Left { disk: prepared.disk.as_ref().map(named), store: prepared.store.as_ref().map(named), device, module }
    }

    /// Its descriptors.
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        let device = self.device.map(|(registers, frames, _)| [registers, frames]);
        self.disk.into_iter().chain(self.store).chain(device.into_iter().flatten())
    }

    fn prepare(self, prepared: &mut Prepared) -> Result<(), BootError> {
        prepared.disk = self.disk.map(memory).transpose()?;
        prepared.store = self.store.map(memory).transpose()?;
        let Entry { name, disk, ring, .. } = &prepared.entry;
        if let (Some((registers, frames, address)), Some(ring)) = (self.device, ring) {
            prepared.link = Some(Link::inherited(name, ring, *disk, (memory(registers)?, memory(frames)?), address));
        }
        if let Some((file, parameters)) = self.module {
            let version = Version::find(name, Some(&file), &parameters)?;
            prepared.module = Some(Mutex::new(Arc::new(version)));
        }
        Ok(())
    }
}

/// What is left of the whole boot: its log, and what it knows of itself.
#[derive(Clone, Serialize, Deserialize)]
pub struct Boot {
    log: Option<RawFd>,
    info: Option<(Fixed, RawFd)>,
}

impl Boot {
    /// Of this one.
    pub fn of_this() -> Boot {
        let info = info::get().map(|info| (info.parts().0.clone(), named(info.parts().1)));
        Boot { log: log::memory().map(named), info }
    }

    /// Its descriptors.
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.log.into_iter().chain(self.info.as_ref().map(|(_, fd)| *fd))
    }

    /// Takes it over.
    ///
    /// # Errors
    /// The host's, if it has no room to map it.
    pub fn adopt(self) -> std::io::Result<()> {
        self.log.map(memory).transpose()?.into_iter().for_each(log::adopt);
        self.info.map_or(Ok(()), |(fixed, fd)| info::adopt(fixed, memory(fd)?))
    }
}

/// The components of a manifest, in a process that is left what `left` says of some: these can be started, the others called.
///
/// # Errors
/// A module's file that is not what it was; memory that the host does not have.
pub fn prepare(manifest: &Manifest, parts: &Parts, mut left: Vec<(usize, Left)>) -> Result<Vec<Prepared>, BootError> {
    let mut registered = (parts.components)();
    let mut component = |entry: &Entry| -> Result<Component, BootError> {
        let Source::Subsystem = entry.source else { return Ok(module_component(&entry.name)) };
        let found = registered.iter().position(|component| component.name == entry.name);
        Ok(registered.swap_remove(found.ok_or_else(|| BootError::Unknown(entry.name.clone()))?))
    };
    let mut all = Vec::new();
    for (number, entry) in manifest.entries.iter().enumerate() {
        let mut prepared = Prepared {
            entry: entry.clone(),
            placement: manifest.placement_of(entry),
            domain: manifest.domain_of(entry).into(),
            component: component(entry)?,
            module: None,
            disk: None,
            link: None,
            store: None,
            medium: OnceLock::new(),
        };
        if let Some(at) = left.iter().position(|(of, _)| *of == number) {
            left.swap_remove(at).1.prepare(&mut prepared)?;
        }
        all.push(prepared);
    }
    Ok(all)
}
