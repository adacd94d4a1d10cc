//! Unloading a driver module and loading another version, as Linux does it in a kernel without boundaries: everybody lets go of
//! it first, and while it is gone its device is not there. Who has a file open on it is in the way (`EBUSY`).
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

/// Those components that can let go of an import, by their numbers.
#[derive(Clone, Default)]
pub struct Holders(Arc<Mutex<Vec<(usize, Arc<dyn Hotplug>)>>>);

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
        let holders = self.let_go(number)?;
        prepared.exchange(new.clone());
        let loaded = self.load(number);
        let handle = loaded.as_ref().ok().cloned().or_else(|| {
            // What the newcomer did to the device is put right by the old version's own start.
            prepared.exchange(old.clone());
            self.load(number).ok()
        });
        self.handles[number] = handle;
        if let Some(handle) = &self.handles[number] {
            holders.iter().for_each(|holder| holder.plug(name, handle));
        }
        loaded.map_err(|error| UpgradeError::Within(error.to_string()))?;
        log::say(&format!("{name}: upgraded {what}"));
        Ok(what)
    }

    /// Has everybody let go of a component, or nobody.
    fn let_go(&self, number: usize) -> Result<Vec<Arc<dyn Hotplug>>, UpgradeError> {
        let name = &self.prepared[number].entry.name;
        let mut holders: Vec<Arc<dyn Hotplug>> = Vec::new();
        let importers = self.prepared.iter().enumerate().filter(|(_, other)| other.entry.imports.contains(name));
        for (importer, other) in importers {
            let holder = self.holders.of(importer);
            let refused = holder.as_ref().map_or(Err(Errno::EBUSY), |holder| holder.unplug(name));
            if let Err(errno) = refused {
                if let Some(handle) = &self.handles[number] {
                    holders.iter().for_each(|holder| holder.plug(name, handle));
                }
                return Err(UpgradeError::InUse(name.clone(), other.entry.name.clone(), errno));
            }
            holders.extend(holder);
        }
        Ok(holders)
    }

    /// Loads a module in the version that is next, and asks it for its health.
    fn load(&self, number: usize) -> Result<Handle, BootError> {
        let Started { handle, patch } = self.start(number)?;
        check_health(&handle).map_err(|why| BootError::Unhealthy(self.prepared[number].entry.name.clone(), why))?;
        patch.into_iter().for_each(|patch| self.page.set_patch(number, patch));
        Ok(handle)
    }
}
