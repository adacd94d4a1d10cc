//! Unloading a driver module and loading another version, as Linux does it in a kernel without boundaries: everybody lets go of
//! it first, and while it is gone its device is not there. Who has a file open on it is in the way (`EBUSY`), be it one of a
//! file system on it, which is unmounted.
//!
//! A component that cannot let go, as the queue before a disk, goes with what it holds: its own users let go of it, and it
//! is started anew when that is there again, and before they are told.
//!
//! What is unloaded is called by nobody any more; its text stays mapped, which Linux would free.

use std::sync::{Arc, Mutex, PoisonError};

use kd_api::hotplug::{Hotplug, Offers};
use kd_api::{Errno, Handle};

use super::kernel::Kernel;
use crate::Placement;
use crate::log;
use crate::start::{BootError, Started};
use crate::version::{Upgrade, UpgradeError, Version, check_health};

/// Who let go of what.
enum Released {
    /// Of a component: somebody who can have it again.
    Import(usize, Arc<dyn Hotplug>),
    /// A component of what it imports, by going.
    Whole(usize),
}

/// Components by their numbers.
type Numbered = Vec<(usize, Arc<dyn Hotplug>)>;

/// Those components that can let go of an import.
#[derive(Clone, Default)]
pub struct Holders(Arc<Mutex<Numbered>>);

impl Holders {
    /// What a component is handed to say so.
    pub fn offers_of(&self, number: usize) -> Offers {
        let holders = self.0.clone();
        Arc::new(move |holder| holders.lock().unwrap_or_else(PoisonError::into_inner).push((number, holder)))
    }

    fn of(&self, number: usize) -> Option<Arc<dyn Hotplug>> {
        let holders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        holders.iter().find(|(other, _)| *other == number).map(|(_, holder)| holder.clone())
    }
}

impl Kernel {
    /// Puts another version of a module in its place; from which to which.
    pub fn upgrade(&mut self, upgrade: &Upgrade) -> Result<String, UpgradeError> {
        let name = &upgrade.component;
        let number = self.prepared.iter().position(|prepared| prepared.entry.name == *name);
        let number = number.ok_or_else(|| UpgradeError::Unknown(name.clone()))?;
        let prepared = &self.prepared[number];
        let old = prepared.version().ok_or_else(|| UpgradeError::NoModule(name.clone()))?;
        if prepared.placement != Placement::Direct {
            return Err(UpgradeError::Placement(name.clone(), prepared.placement.name()));
        }
        let new = Arc::new(Version::find(name, upgrade.file.as_deref(), &upgrade.parameters)?);
        let what = old.to(&new);
        let mut released = Vec::new();
        if let Err(error) = self.let_go(number, &mut released) {
            self.take_back(released);
            return Err(error);
        }
        prepared.exchange(new.clone());
        let loaded = self.load(number);
        self.handles[number] = loaded.as_ref().ok().cloned().or_else(|| {
            // What the newcomer did to the device is put right by the old version's own start.
            prepared.exchange(old.clone());
            self.load(number).ok()
        });
        self.take_back(released);
        loaded.map_err(|error| UpgradeError::Within(error.to_string()))?;
        log::say(&format!("{name}: upgraded {what}"));
        Ok(what)
    }

    /// Has everybody let go of a component, and notes who did, in that order; also when somebody does not.
    fn let_go(&mut self, number: usize, released: &mut Vec<Released>) -> Result<(), UpgradeError> {
        let name = &self.prepared[number].entry.name;
        let importers = self.prepared.iter().enumerate().filter(|(_, other)| other.entry.imports.contains(name));
        for (importer, other) in importers {
            match self.holders.of(importer) {
                Some(holder) => {
                    let in_use = |errno| UpgradeError::InUse(name.clone(), other.entry.name.clone(), errno);
                    holder.unplug(name).map_err(in_use)?;
                    released.push(Released::Import(number, holder));
                }
                // Apps hold it for as long as the kernel runs.
                None if other.entry.apps => {
                    return Err(UpgradeError::InUse(name.clone(), other.entry.name.clone(), Errno::EBUSY));
                }
                None => {
                    self.let_go(importer, released)?;
                    self.handles[importer] = None;
                    released.push(Released::Whole(importer));
                }
            }
        }
        Ok(())
    }

    /// Everybody has again what was let go of, the last one first.
    fn take_back(&mut self, released: Vec<Released>) {
        for one in released.into_iter().rev() {
            match one {
                Released::Import(number, holder) => {
                    let (name, handle) = (&self.prepared[number].entry.name, &self.handles[number]);
                    handle.iter().for_each(|handle| holder.plug(name, handle));
                }
                Released::Whole(number) => match self.start(number) {
                    Ok(started) => self.handles[number] = Some(started.handle),
                    Err(error) => log::say(&format!("{error}")),
                },
            }
        }
    }

    /// Loads a module in the version that is next, and asks it for its health.
    fn load(&self, number: usize) -> Result<Handle, BootError> {
        let Started { handle, patch } = self.start(number)?;
        check_health(&handle).map_err(|why| BootError::Unhealthy(self.prepared[number].entry.name.clone(), why))?;
        patch.into_iter().for_each(|patch| self.page.set_patch(number, patch));
        Ok(handle)
    }
}
