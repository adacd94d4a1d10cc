//! A file system out of what a predecessor left in the store.
//!
//! What is believed has a seal that fits and makes sense: a file's page sums up to what its account says, an inode has a
//! name or is held, a name is in a directory that can be reached from the root. Steps that a dying server left undone are done
//! or undone here (see [`kept`](super::kept)) and nobody is told; what was spoiled is dropped, counted, and told of:
//!
//! | spoiled | what becomes of it |
//! | --- | --- |
//! | bytes of a page | reading them is `EIO` until the page is overwritten as a whole or cut off |
//! | a page's account | the file's holes are `EIO`, since one of them may be none, until it is cut to nothing |
//! | an inode | a directory belongs to the superuser, names and all; else its name stays, and all but removing it is `EIO` |
//! | a name | it is gone (`ENOENT`), and its inode with it unless it has another one or is held |
//!
//! A number that was an inode's before and is none now is `EIO` then, and an `fsync` of what was open fails once, since the
//! instance is another one.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::sync::atomic::Ordering::Relaxed;

use kd_api::interfaces::fs::{Kind, Owner, ROOT};
use kd_api::{Ino, Result, Store};
use kd_sync::{RwLock, log};

use super::directory::Directory;
use super::file::{PAGE, Pages, SIZE_MAX};
use super::inode::{Body, Inode};
use super::kept::{self, Found, InodeAccount, InodeWords, Kept, NameAccount, NameWords};
use super::page::Frame;
use super::{ROOT_OWNER, RamFs};

/// Whose a directory is whose attributes are spoiled.
const NOBODYS: Owner = Owner { uid: 0, gid: 0, mode: 0o700 };

/// What was spoiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    pub inodes: usize,
    pub names: usize,
    pub pages: usize,
}

/// A name that was found.
struct Name {
    account: NameAccount,
    position: u64,
    ino: Ino,
    kind: Kind,
    name: String,
}

/// What is there, and not yet a part of the file system.
struct Recovery {
    kept: Arc<Kept>,
    inodes: BTreeMap<u64, (InodeAccount, InodeWords)>,
    /// Of each directory.
    names: BTreeMap<u64, Vec<Name>>,
    /// Of each file, by number.
    frames: BTreeMap<u64, BTreeMap<u64, Frame>>,
    made: BTreeMap<u64, Arc<Inode>>,
    lost: Lost,
    /// Accounts that are not there, which may be some of those that are spoiled.
    inodes_missing: usize,
    pages_missing: usize,
}

/// Opens the file system in a store, or a new one; inodes are counted from `first` on, or later.
pub fn open(store: Store, first: u64) -> Result<RamFs> {
    let (fs, lost) = recover(Kept::open(store), first)?;
    if lost != Lost::default() {
        let Lost { inodes, names, pages } = lost;
        log(&alloc::format!(
            "ramfs: its predecessor spoiled {inodes} inodes, {names} names and {pages} pages: dropped"
        ));
    }
    Ok(fs)
}

/// The same, and what was spoiled.
pub fn recover(found: Found, first: u64) -> Result<(RamFs, Lost)> {
    let (instance, new) = (found.instance, found.new);
    let spoiled = [found.inodes.spoiled, found.names.spoiled, found.frames.spoiled];
    let mut recovery = Recovery::new(found);
    recovery.root(new)?;
    recovery.reach();
    recovery.keep_held();
    let Recovery { kept, made, names, mut lost, .. } = recovery;
    lost.inodes += spoiled[0].max(recovery.inodes_missing);
    lost.names += spoiled[1] + names.values().map(Vec::len).sum::<usize>();
    lost.pages += spoiled[2].max(recovery.pages_missing);
    let last = made.keys().next_back().copied().unwrap_or(ROOT.0);
    let first = first.max(last).max(instance.unwrap_or(0)) + 1;
    let instance = instance.filter(|_| lost == Lost::default()).unwrap_or(first);
    kept.set_instance(instance);
    let inodes: Vec<_> = made.into_values().collect();
    Ok((RamFs::of(&inodes, first, instance, Some(kept), lost != Lost::default()), lost))
}

impl Recovery {
    fn new(found: Found) -> Recovery {
        let Found { kept, inodes, names, frames, exchanges, .. } = found;
        let kept = Arc::new(kept);
        let mut recovery = Recovery {
            kept: kept.clone(),
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            frames: BTreeMap::new(),
            made: BTreeMap::new(),
            lost: Lost::default(),
            inodes_missing: 0,
            pages_missing: 0,
        };
        for (account, words) in inodes.found {
            match InodeWords::of(words) {
                Some(words) if words.size <= SIZE_MAX => drop(recovery.inodes.insert(words.ino.0, (account, words))),
                _ => recovery.lost.inodes += 1,
            }
        }
        // Their accounts go when names lead to where they say.
        let leads: BTreeMap<_, _> = exchanges.found.iter().flat_map(|(_, words)| kept::leads(*words)).collect();
        for (account, words) in names.found {
            let mut name = String::new();
            match NameWords::of(words, &mut name) {
                Some(words) => recovery.take_name(account, &words, &leads),
                None => recovery.lost.names += 1,
            }
        }
        for (account, words) in frames.found {
            let (ino, number) = Frame::owner(words);
            // One without a file goes with it.
            let Some((_, file)) = recovery.inodes.get(&ino.0) else { continue };
            let end = file.size.saturating_sub(number.saturating_mul(PAGE as u64)).min(PAGE as u64) as usize;
            let frame = Frame::restore(&kept, account, words, end);
            recovery.frames.entry(ino.0).or_default().insert(number, frame);
        }
        recovery
    }

    /// A name, where an exchange that was under way has it lead.
    fn take_name(
        &mut self,
        mut account: NameAccount,
        words: &NameWords<'_>,
        leads: &BTreeMap<usize, Option<kept::Lead>>,
    ) {
        let mut words = words.clone();
        if let Some(Some(lead)) = leads.get(&account.place()) {
            (words.ino, words.kind) = *lead;
            kept::note_name(&mut account, &words);
        }
        let NameWords { directory, position, ino, kind, name } = words;
        // It was checked when it was read.
        let name = String::from_utf8_lossy(name).into_owned();
        self.names.entry(directory.0).or_default().push(Name { account, position, ino, kind, name });
    }

    /// The root directory, which there is in any case.
    fn root(&mut self, new: bool) -> Result<()> {
        match self.inodes.get(&ROOT.0) {
            Some((_, words)) if words.kind == Kind::Directory => drop(self.restore(ROOT)),
            _ => {
                self.inodes_missing += usize::from(!new);
                self.make_directory(ROOT, ROOT_OWNER)?;
            }
        }
        Ok(())
    }

    /// Makes everything that names lead to from the root.
    fn reach(&mut self) {
        let mut directories = VecDeque::from([ROOT]);
        while let Some(at) = directories.pop_front() {
            let Some(parent) = self.made.get(&at.0).cloned() else { continue };
            let mut found = self.names.remove(&at.0).unwrap_or_default();
            // Of two names that are the same, one was moved in place of the other: it is the newer one.
            found.sort_by_key(|name| Reverse(name.position));
            for Name { account, position, ino, kind, name } in found {
                let Ok(mut names) = parent.directory().map(RwLock::write) else { break };
                if names.get(&name).is_some() {
                    continue;
                }
                let Some(inode) = self.reached(ino, kind) else {
                    self.lost.names += 1;
                    continue;
                };
                if kind == Kind::Directory {
                    parent.counts.link();
                    inode.parent.store(at.0, Relaxed);
                    directories.push_back(ino);
                } else {
                    inode.counts.link();
                }
                names.restore(&name, position, inode, Some(account));
            }
        }
    }

    /// What a name leads to; `None` if that is something else.
    fn reached(&mut self, ino: Ino, kind: Kind) -> Option<Arc<Inode>> {
        if let Some(made) = self.made.get(&ino.0) {
            // A directory has one name.
            return (made.kind() == kind && kind != Kind::Directory).then(|| made.clone());
        }
        match self.inodes.get(&ino.0) {
            Some((_, words)) if words.kind != kind => return None,
            Some(_) => return self.restore(ino),
            None => self.inodes_missing += 1,
        }
        if kind == Kind::Directory {
            return self.make_directory(ino, NOBODYS).ok();
        }
        Some(self.make(Inode::spoiled(ino, kind)))
    }

    /// Makes what is held, be it without a name; what is neither goes.
    fn keep_held(&mut self) {
        let held = self.inodes.values().filter(|(_, words)| words.holds > 0).map(|(_, words)| words.ino);
        for ino in held.collect::<Vec<_>>() {
            let Some(inode) = self.restore(ino) else { continue };
            if let Ok(names) = inode.directory() {
                // Names of its own are left over.
                let _ = names.write().retire();
                inode.counts.unlink_all();
            }
        }
    }

    /// Makes an inode that was found.
    fn restore(&mut self, ino: Ino) -> Option<Arc<Inode>> {
        let (account, words) = self.inodes.remove(&ino.0)?;
        let mut frames = self.frames.remove(&ino.0).unwrap_or_default();
        // More than it counts are left over from a call that was not done, as far as they lie behind its end.
        while frames.len() as u64 > words.pages
            && let Some(last) = frames.last_entry().filter(|last| *last.key() >= words.size.div_ceil(PAGE as u64))
        {
            last.remove();
        }
        self.lost.pages += frames.values().filter(|frame| frame.is_spoiled()).count();
        self.pages_missing += words.pages.saturating_sub(frames.len() as u64) as usize;
        let body = match words.kind {
            Kind::Directory => Body::Directory(RwLock::new(Directory::new(ino))),
            Kind::Symlink => match frames.remove(&0).and_then(|frame| frame.into_target(words.size)) {
                Some((target, page)) => Body::Symlink { target, _page: Some(page) },
                // Its account goes: there is nothing to be said of it any more.
                None => return Some(self.make(Inode::spoiled(ino, words.kind))),
            },
            _ => Body::File(RwLock::new(Pages::restore(ino, self.kept.clone(), words.size, frames, words.pages))),
        };
        Some(self.make(Inode::restore(&words, account, body)))
    }

    fn make_directory(&mut self, ino: Ino, owner: Owner) -> Result<Arc<Inode>> {
        let body = Body::empty(Kind::Directory, ino, Some(&self.kept))?;
        Ok(self.make(Inode::new(ino, ROOT, owner, body, Some(self.kept.inode()?))))
    }

    fn make(&mut self, inode: Arc<Inode>) -> Arc<Inode> {
        self.made.insert(inode.ino.0, inode.clone());
        inode
    }
}
