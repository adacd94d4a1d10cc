//! Checks a disk after a crash: it mounts, `fsck` finds nothing, what was acknowledged is there, nothing else is torn,
//! free counts add up, and it can be written to.

use std::collections::HashMap;
use std::sync::Arc;

use kd_api::interfaces::block::SECTOR;
use kd_api::interfaces::fs::{FileSystem, Kind, Owner, ROOT};
use kd_api::{Errno, InBuf, Ino, OutBuf};
use kd_subsystems::jfs::{self, Jfs, MountOptions};

use crate::disk::Disk;
use crate::model::{Model, Name};
use crate::tree::{self, Tree};
use crate::workload::Op;

/// What was amiss.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It cannot be mounted.
    #[error("it cannot be mounted: {0:?}")]
    Mount(Errno),
    /// It can be mounted, but not walked.
    #[error("names and inodes contradict each other: {0:?}")]
    Walk(Errno),
    /// Names are those of no state that the syncs allow.
    #[error("the names are those of no state from {since} to {until}; of state {nearest} differs {difference}")]
    Names {
        /// The first state that was allowed.
        since: usize,
        /// The last.
        until: usize,
        /// The state that agrees longest.
        nearest: usize,
        /// The first difference.
        difference: String,
    },
    /// A sector holds what it never held since the file was last synced.
    #[error(
        "sector {sector} of {path} holds nothing that was written there since state {since} (names are of {names})"
    )]
    Content {
        /// The file.
        path: String,
        /// Counted from its beginning.
        sector: usize,
        /// The state of the last sync.
        since: usize,
        /// The state that the names are in.
        names: usize,
    },
    /// Free and used do not make the whole.
    #[error("{what}: {free} free and {used} in use are not {all}")]
    Counts {
        /// Blocks or inodes.
        what: &'static str,
        /// As `statfs` says.
        free: u64,
        /// As a walk finds.
        used: u64,
        /// As they were when it was empty.
        all: u64,
    },
    /// A file made after the crash.
    #[error("it cannot be used any more: {0:?}")]
    Use(Errno),
    /// What was written after the crash is not what is read.
    #[error("what is written is not what is read")]
    Readback,
    /// `fsck` found problems.
    #[error("fsck: {0}")]
    Fsck(String),
}

/// Blocks and inodes of an empty file system, free and in use: they stay as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    blocks: u64,
    inodes: u64,
}

impl Totals {
    /// Of a mounted file system.
    pub fn of(fs: &dyn FileSystem, tree: &Tree) -> Result<Totals, Errno> {
        let (stat, sectors) = (fs.statfs()?, tree.sectors);
        let blocks = sectors * SECTOR as u64 / u64::from(stat.block_size.max(1));
        Ok(Totals { blocks: stat.free + blocks, inodes: stat.free_files + tree.inodes })
    }

    fn check(self, fs: &dyn FileSystem, tree: &Tree) -> Result<(), Fault> {
        let now = Totals::of(fs, tree).map_err(Fault::Use)?;
        let stat = fs.statfs().map_err(Fault::Use)?;
        let differs = |what, now: u64, free, all| match now == all {
            true => Ok(()),
            false => Err(Fault::Counts { what, free, used: now.wrapping_sub(free), all }),
        };
        differs("blocks", now.blocks, stat.free, self.blocks)?;
        differs("inodes", now.inodes, stat.free_files, self.inodes)
    }
}

/// What may be found after a crash.
pub struct Expected<'a> {
    /// What there was.
    pub model: &'a Model,
    /// The syncs that had returned, by number.
    pub acknowledged: &'a [usize],
    /// The first state that cannot be on the disk: one after that of the last operation begun.
    pub until: usize,
    /// Blocks and inodes in all.
    pub totals: Totals,
    /// Whether contents are looked at; a disk that fails may lose what was written without a sync.
    pub contents: bool,
}

/// Checks what is on the disk, and leaves it unmounted.
pub fn check(disk: &Arc<Disk>, options: MountOptions, expected: &Expected<'_>) -> Result<(), Fault> {
    let fs = Jfs::mount(disk.clone(), options).map_err(Fault::Mount)?;
    let tree = Tree::walk(&*fs).map_err(Fault::Walk)?;
    expected.check(&*fs, &tree)?;
    expected.totals.check(&*fs, &tree)?;
    use_it(&*fs, &tree)?;
    let tree = Tree::walk(&*fs).map_err(Fault::Walk)?;
    expected.totals.check(&*fs, &tree)?;
    fs.unmount().map_err(Fault::Use)?;
    drop(fs);
    fsck(disk)
}

/// That `fsck` finds nothing.
pub fn fsck(disk: &Disk) -> Result<(), Fault> {
    let report = jfs::fsck(disk, false).map_err(|errno| Fault::Fsck(format!("{errno:?}")))?;
    match report.problems.first() {
        None => Ok(()),
        Some(first) => Err(Fault::Fsck(format!("{} ({} problems)", first.what, report.problems.len()))),
    }
}

impl Expected<'_> {
    fn acknowledged(&self) -> impl Iterator<Item = usize> {
        self.acknowledged.iter().copied()
    }

    fn check(&self, fs: &dyn FileSystem, tree: &Tree) -> Result<(), Fault> {
        let since = self.model.names_since(self.acknowledged());
        let mut fault = None;
        // Several states may have the same names: one in which all is well will do.
        for state in (since..self.until).rev() {
            if difference(&tree.names, self.model.names(state), self.in_hand(state)).is_none() {
                match self.check_contents(fs, &tree.names, state) {
                    Ok(()) => return Ok(()),
                    other => fault = fault.or(other.err()),
                }
            }
        }
        Err(fault.unwrap_or_else(|| self.nearest(since, &tree.names)))
    }

    /// The file whose size may be between two states: a long write is no single step.
    fn in_hand(&self, state: usize) -> Option<(u64, u64)> {
        match self.model.ops.get(state)? {
            Op::Write { node, .. } | Op::Append { node, .. } | Op::Allocate { node, .. } => {
                Some((*node as u64, self.model.content(*node, state + 1).len() as u64))
            }
            _ => None,
        }
    }

    fn nearest(&self, since: usize, found: &[Name]) -> Fault {
        let states = (since..self.until).map(|state| {
            let (at, what) = difference(found, self.model.names(state), None).unwrap_or_default();
            (at, state, what)
        });
        let (_, nearest, difference) = states.max().unwrap_or_default();
        Fault::Names { since, until: self.until.saturating_sub(1), nearest, difference }
    }

    fn check_contents(&self, fs: &dyn FileSystem, names: &[Name], state: usize) -> Result<(), Fault> {
        let mut bytes = Vec::new();
        for (found, known) in names.iter().zip(self.model.names(state)) {
            if !self.contents || found.kind != Kind::File {
                continue;
            }
            tree::read(fs, Ino(found.node), found.size, &mut bytes).map_err(Fault::Walk)?;
            let node = known.node as usize;
            let since = self.model.content_since(node, self.acknowledged());
            if let Some(sector) = self.model.foreign_sector(node, &bytes, state, since, self.until) {
                return Err(Fault::Content { path: found.path.clone(), sector, since, names: state });
            }
        }
        Ok(())
    }
}

/// Where names differ from those of a state, and how; `in_hand` may be longer than it was there, up to so many bytes.
fn difference(found: &[Name], known: &[Name], in_hand: Option<(u64, u64)>) -> Option<(usize, String)> {
    let (mut to_known, mut to_found) = (HashMap::new(), HashMap::new());
    for (at, (a, b)) in found.iter().zip(known).enumerate() {
        let longer = in_hand.is_some_and(|(node, size)| b.node == node && (b.size..=size).contains(&a.size));
        let same = a.path == b.path
            && (a.kind, a.links, &a.target) == (b.kind, b.links, &b.target)
            && (a.size == b.size || longer)
            && *to_known.entry(a.node).or_insert(b.node) == b.node
            && *to_found.entry(b.node).or_insert(a.node) == a.node;
        if !same {
            return Some((at, format!("{a} instead of {b}")));
        }
    }
    let at = found.len().min(known.len());
    match (found.get(at), known.get(at)) {
        (None, None) => None,
        (Some(more), _) => Some((at, format!("{more}, which is too much"))),
        (_, Some(less)) => Some((at, format!("{less}, which is missing"))),
    }
}

/// Makes a file, syncs it, reads it, removes it.
fn use_it(fs: &dyn FileSystem, before: &Tree) -> Result<(), Fault> {
    const NAME: &str = "after the crash";
    let data: Vec<u8> = (0..6000_u32).map(|at| (at % 251) as u8).collect();
    let owner = Owner { uid: 0, gid: 0, mode: 0o600 };
    let write = || {
        let ino = Ino(fs.create(ROOT, NAME, Kind::File, owner)?.ino);
        if fs.write(ino, 0, &mut InBuf::new(&data))? < data.len() {
            return Err(Errno::ENOSPC);
        }
        fs.fsync(ino, false)?;
        let mut back = vec![0; data.len()];
        let count = fs.read(ino, 0, &mut OutBuf::new(&mut back))?;
        fs.unlink(ROOT, NAME)?;
        fs.sync()?;
        Ok(count == data.len() && back == data)
    };
    debug_assert!(before.names.iter().all(|name| name.path != format!("/{NAME}")));
    match write() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Fault::Readback),
        Err(errno) => Err(Fault::Use(errno)),
    }
}
