//! The names in a directory, by name for look-up and by age for listing.
//!
//! Each entry has a position that is never used again in its directory, so a listing that was interrupted goes on
//! where it stopped whatever came or went meanwhile. Positions 0 and 1 are `.` and `..`.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use kd_api::interfaces::fs::Kind;
use kd_api::{Errno, Ino, OutBuf, Result};

use super::check_name;
use super::inode::Inode;
use super::kept::{Lead, NameAccount, NameWords, note_name};
use crate::dirent;
use crate::hash::HashMap;

/// What tmpfs says an empty directory weighs, and each name in it.
const EMPTY: u64 = 40;
const PER_NAME: u64 = 20;
const FIRST: u64 = 2;

/// The names.
pub struct Directory {
    own: Ino,
    names: HashMap<Arc<str>, Entry>,
    order: BTreeMap<u64, Listed>,
    next: u64,
    /// It was removed: nothing can be made in it any more.
    removed: bool,
}

/// One of them.
struct Entry {
    position: u64,
    inode: Arc<Inode>,
    account: Option<NameAccount>,
}

struct Listed {
    name: Arc<str>,
    ino: Ino,
    kind: Kind,
}

fn words(directory: Ino, name: &str, position: u64, (ino, kind): Lead) -> NameWords<'_> {
    NameWords { directory, position, ino, kind, name: name.as_bytes() }
}

impl Directory {
    /// None, of this directory.
    pub fn new(own: Ino) -> Directory {
        Directory { own, names: HashMap::default(), order: BTreeMap::new(), next: 0, removed: false }
    }

    pub fn get(&self, name: &str) -> Option<&Arc<Inode>> {
        self.names.get(name).map(|entry| &entry.inode)
    }

    pub fn size(&self) -> u64 {
        EMPTY + PER_NAME * self.names.len() as u64
    }

    /// Adds a name that is not there; from here on it is noted in its account, if it has one.
    pub fn insert(&mut self, name: &str, inode: Arc<Inode>, mut account: Option<NameAccount>) {
        let position = FIRST + self.next;
        if let Some(account) = &mut account {
            note_name(account, &words(self.own, name, position, (inode.ino, inode.kind())));
        }
        self.restore(name, position, inode, account);
    }

    /// Adds a name that is noted already.
    pub fn restore(&mut self, name: &str, position: u64, inode: Arc<Inode>, account: Option<NameAccount>) {
        let name: Arc<str> = name.into();
        self.next = self.next.max(position.saturating_sub(FIRST) + 1);
        self.order.insert(position, Listed { name: name.clone(), ino: inode.ino, kind: inode.kind() });
        self.names.insert(name, Entry { position, inode, account });
    }

    /// Takes a name away, with its account: it is noted until that is dropped, or put under another name.
    pub fn remove(&mut self, name: &str) -> Option<(Arc<Inode>, Option<NameAccount>)> {
        let Entry { position, inode, account } = self.names.remove(name)?;
        self.order.remove(&position);
        Some((inode, account))
    }

    /// Where a name is noted, if it is.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.names.get(name)?.account.as_ref().map(NameAccount::place)
    }

    /// Has a name that is there lead elsewhere.
    pub fn lead(&mut self, name: &str, inode: Arc<Inode>) {
        let Some(entry) = self.names.get_mut(name) else { return };
        let (position, lead) = (entry.position, (inode.ino, inode.kind()));
        if let Some(listed) = self.order.get_mut(&position) {
            (listed.ino, listed.kind) = lead;
        }
        entry.inode = inode;
        if let Some(account) = &mut entry.account {
            note_name(account, &words(self.own, name, position, lead));
        }
    }

    /// Whether a name can be made: `EEXIST`, and what [`check_name`] and [`Directory::check_alive`] say.
    pub fn check_free(&self, name: &str) -> Result<()> {
        match check_name(name) {
            Err(Errno::EBUSY) => return Err(Errno::EEXIST),
            checked => checked?,
        }
        if self.names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        self.check_alive()
    }

    /// `ENOENT` in a removed directory.
    pub fn check_alive(&self) -> Result<()> {
        if self.removed { Err(Errno::ENOENT) } else { Ok(()) }
    }

    /// Marks it removed; `ENOTEMPTY`.
    pub fn retire(&mut self) -> Result<()> {
        if !self.names.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.removed = true;
        Ok(())
    }

    /// Lists from position `cursor` on.
    pub fn list(&self, own: Ino, parent: Ino, cursor: u64, out: &mut OutBuf<'_>) -> Result<(u64, usize)> {
        self.check_alive()?;
        let dots = [(0, own, "."), (1, parent, "..")]
            .into_iter()
            .skip(cursor.min(FIRST) as usize)
            .map(|(at, ino, name)| dirent::Entry { ino: ino.0, next: at + 1, kind: Kind::Directory, name });
        let names = self.order.range(cursor..).map(|(at, listed)| dirent::Entry {
            ino: listed.ino.0,
            next: at + 1,
            kind: listed.kind,
            name: &listed.name,
        });
        dirent::write(cursor, dots.chain(names), out)
    }
}
