//! The descriptors of one app: the lowest free number from 3 upwards; 0 to 2 are the console's.
//!
//! The lock is held to find or change a slot and never while a file is used or dropped. A number is reserved before the
//! file is opened, as Linux does, so an app without a free one changes nothing.

use alloc::sync::Arc;
use alloc::vec::Vec;

use kd_api::interfaces::vfs::OPEN_MAX;
use kd_api::{Errno, Fd, Result};
use kd_sync::RwLock;

use super::open_file::OpenFile;
use crate::records::Record;

const FIRST: usize = 3;

/// The table.
#[derive(Default)]
pub struct Descriptors(RwLock<Slots>);

#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    /// No slot below it is free.
    lowest: usize,
    /// The app is gone: a call of its that is still under way finds no place any more.
    exited: bool,
}

enum Slot {
    Free,
    Reserved,
    /// Its note is erased before the file is dropped.
    Open {
        file: Arc<OpenFile>,
        _note: Option<Record>,
    },
    /// It led to a file that a VFS before this one had open, and that could not be taken over.
    Lost {
        _note: Option<Record>,
    },
}

/// A number that is taken and leads nowhere yet; given back unless a file is installed.
pub struct Reserved<'a> {
    table: &'a Descriptors,
    index: usize,
}

fn index(fd: Fd) -> Result<usize> {
    usize::try_from(fd.0).ok().and_then(|fd| fd.checked_sub(FIRST)).ok_or(Errno::EBADF)
}

impl Descriptors {
    /// The file behind a descriptor; `EIO` if it was lost.
    pub fn get(&self, fd: Fd) -> Result<Arc<OpenFile>> {
        match self.0.read().slots.get(index(fd)?) {
            Some(Slot::Open { file, .. }) => Ok(file.clone()),
            Some(Slot::Lost { .. }) => Err(Errno::EIO),
            _ => Err(Errno::EBADF),
        }
    }

    /// Takes the lowest free number; `EMFILE`.
    pub fn reserve(&self) -> Result<Reserved<'_>> {
        let mut table = self.0.write();
        let start = table.lowest;
        let free = table.slots[start..].iter().position(|slot| matches!(slot, Slot::Free));
        let index = free.map_or(table.slots.len(), |after| start + after);
        if table.exited || index + FIRST >= OPEN_MAX {
            return Err(Errno::EMFILE);
        }
        if index == table.slots.len() {
            table.slots.push(Slot::Free);
        }
        table.slots[index] = Slot::Reserved;
        table.lowest = index + 1;
        Ok(Reserved { table: self, index })
    }

    /// Frees a descriptor; the file is the caller's to drop, if it was not lost.
    pub fn close(&self, fd: Fd) -> Result<Option<Arc<OpenFile>>> {
        let index = index(fd)?;
        let mut table = self.0.write();
        match table.slots.get_mut(index) {
            Some(slot @ (Slot::Open { .. } | Slot::Lost { .. })) => {
                let closed = core::mem::replace(slot, Slot::Free);
                table.lowest = table.lowest.min(index);
                match closed {
                    Slot::Open { file, .. } => Ok(Some(file)),
                    _ => Ok(None),
                }
            }
            _ => Err(Errno::EBADF),
        }
    }

    /// A descriptor as a VFS that died noted it; `None` for a file that was lost.
    pub fn restore(&self, fd: Fd, file: Option<Arc<OpenFile>>, note: Option<Record>) {
        let Some(index) = index(fd).ok().filter(|index| index + FIRST < OPEN_MAX) else { return };
        let mut table = self.0.write();
        let length = table.slots.len().max(index + 1);
        table.slots.resize_with(length, || Slot::Free);
        if matches!(table.slots[index], Slot::Free) {
            table.slots[index] = match file {
                Some(file) => Slot::Open { file, _note: note },
                None => Slot::Lost { _note: note },
            };
        }
    }

    /// Closes the table for good; the files are the caller's to drop.
    pub fn exit(&self) -> impl Iterator<Item = Arc<OpenFile>> + use<> {
        let mut table = self.0.write();
        table.exited = true;
        let slots = core::mem::take(&mut table.slots);
        table.lowest = 0;
        slots.into_iter().filter_map(|slot| match slot {
            Slot::Open { file, .. } => Some(file),
            _ => None,
        })
    }
}

impl Reserved<'_> {
    /// The number.
    pub fn fd(&self) -> Fd {
        Fd((self.index + FIRST) as i32)
    }

    /// Puts a file behind the number, with what is noted of that.
    pub fn install(self, file: Arc<OpenFile>, note: Option<Record>) -> Result<Fd> {
        let fd = self.fd();
        let mut table = self.table.0.write();
        match table.slots.get_mut(self.index) {
            Some(slot @ Slot::Reserved) => {
                *slot = Slot::Open { file, _note: note };
                core::mem::forget(self);
                Ok(fd)
            }
            // The app went meanwhile. The file goes after the lock: the guard was made later than it.
            _ => Err(Errno::EBADF),
        }
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut table = self.table.0.write();
        if let Some(slot @ Slot::Reserved) = table.slots.get_mut(self.index) {
            *slot = Slot::Free;
            table.lowest = table.lowest.min(self.index);
        }
    }
}
