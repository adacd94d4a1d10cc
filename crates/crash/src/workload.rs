//! Workloads by number: operations on files and directories, with syncs among them, and what they ask of a disk.

use std::sync::Arc;

use kd_api::interfaces::fs::{FileSystem, Kind, Owner, ROOT as ROOT_INO, rename};
use kd_api::{Errno, InBuf, Ino};

use crate::model::{Model, Node, ROOT, pattern};
use crate::rng::Rng;

/// Operations of a workload.
pub const OPERATIONS: usize = 60;
/// Bytes of the largest file, and of all of them.
const LARGEST: u64 = 40 << 10;
const MOST: u64 = 240 << 10;

/// One operation, on inodes as the model numbers them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the arguments of the system calls")]
pub enum Op {
    /// `open` with `O_CREAT` and `O_EXCL`.
    Create { directory: Node, name: String },
    /// `mkdir`.
    Mkdir { directory: Node, name: String },
    /// `symlink`.
    Symlink { directory: Node, name: String, target: String },
    /// `pwrite`.
    Write { node: Node, offset: u64, bytes: usize },
    /// `write` with `O_APPEND`.
    Append { node: Node, bytes: usize },
    /// `ftruncate`.
    Truncate { node: Node, size: u64 },
    /// `fallocate`.
    Allocate { node: Node, offset: u64, bytes: u64, keep_size: bool },
    /// `renameat2`.
    Rename { directory: Node, name: String, to_directory: Node, to_name: String, flags: u32 },
    /// `link`.
    Link { node: Node, directory: Node, name: String },
    /// `unlink`.
    Unlink { directory: Node, name: String },
    /// `rmdir`.
    Rmdir { directory: Node, name: String },
    /// `open`, in that the file stays when its names go.
    Hold { node: Node },
    /// `close`.
    Release { node: Node },
    /// `fsync`, or `fdatasync`.
    Fsync { node: Node, data_only: bool },
    /// `sync`.
    Sync,
}

/// The operations of the workload with this number.
pub fn generate(seed: u64) -> Vec<Op> {
    let mut rng = Rng::new(seed, 0);
    let mut model = Model::default();
    while model.ops.len() < OPERATIONS {
        if let Some(op) = propose(&mut rng, &model) {
            model.apply(&op);
        }
    }
    model.ops
}

fn name(rng: &mut Rng) -> String {
    // Few, so that they meet; some long, so that directories fill.
    let letter = (b'a' + rng.below(6) as u8) as char;
    if rng.one_in(6) { letter.to_string().repeat(200) } else { letter.to_string() }
}

/// A name in a directory, with what it leads to.
fn named(rng: &mut Rng, model: &Model, want: impl Fn(Kind) -> bool) -> Option<(Node, String, Node)> {
    let all: Vec<_> = model
        .directories()
        .into_iter()
        .flat_map(|(directory, _)| model.names_in(directory).iter().map(move |(name, node)| (directory, name, *node)))
        .filter(|(_, _, node)| want(model.kind(*node)))
        .collect();
    rng.pick(&all).map(|(directory, name, node)| (*directory, (*name).clone(), *node))
}

/// An operation that succeeds, if luck has it.
fn propose(rng: &mut Rng, model: &Model) -> Option<Op> {
    let directories = model.directories();
    let (directory, _) = *rng.pick(&directories)?;
    let free = |directory: Node, name: &String| !model.names_in(directory).contains_key(name);
    let files = model.files();
    let file = rng.pick(&files).copied();
    let room = |size: u64, wanted: u64| wanted <= LARGEST && model.bytes() + wanted.saturating_sub(size) <= MOST;
    match rng.below(32) {
        0..5 => {
            let name = name(rng);
            (files.len() < 10 && free(directory, &name)).then_some(Op::Create { directory, name })
        }
        5..7 => {
            let name = name(rng);
            (directories.len() < 5 && free(directory, &name)).then_some(Op::Mkdir { directory, name })
        }
        7 => {
            let (name, length) = (name(rng), 1 + rng.mostly(3, 60, 1000));
            let target = char::from(b'0' + rng.below(10) as u8).to_string().repeat(length);
            free(directory, &name).then_some(Op::Symlink { directory, name, target })
        }
        8..12 => {
            let (node, size, _) = file?;
            let offset = rng.mostly(4, size as usize + 1, size as usize + 8192) as u64;
            let offset = if rng.one_in(2) { offset & !4095 } else { offset };
            let bytes = 1 + rng.mostly(3, 3000, 16384);
            room(size, offset + bytes as u64).then_some(Op::Write { node, offset, bytes })
        }
        12..15 => {
            let (node, size, _) = file?;
            let bytes = 1 + rng.mostly(3, 2000, 12000);
            room(size, size + bytes as u64).then_some(Op::Append { node, bytes })
        }
        15 => {
            let (node, old, _) = file?;
            let size = if rng.one_in(4) { 0 } else { rng.below(old as usize + 5000) as u64 };
            room(old, size).then_some(Op::Truncate { node, size })
        }
        16 => {
            let (node, size, _) = file?;
            let (offset, bytes) = (rng.below(size as usize + 4096) as u64, 1 + rng.below(9000) as u64);
            room(size, offset + bytes).then_some(Op::Allocate { node, offset, bytes, keep_size: rng.one_in(2) })
        }
        17..21 => propose_rename(rng, model, directory),
        21 => {
            let (_, _, node) = named(rng, model, |kind| kind != Kind::Directory)?;
            let name = name(rng);
            free(directory, &name).then_some(Op::Link { node, directory, name })
        }
        22..24 => {
            let (directory, name, _) = named(rng, model, |kind| kind != Kind::Directory)?;
            Some(Op::Unlink { directory, name })
        }
        24 => {
            let (directory, name, node) = named(rng, model, |kind| kind == Kind::Directory)?;
            model.names_in(node).is_empty().then_some(Op::Rmdir { directory, name })
        }
        25 => {
            let (node, _, held) = file?;
            Some(if held { Op::Release { node } } else { Op::Hold { node } })
        }
        26..29 => {
            let (node, _, _) = file?;
            Some(Op::Fsync { node, data_only: rng.one_in(3) })
        }
        29 => Some(Op::Fsync { node: directory, data_only: false }),
        30 => Some(Op::Sync),
        // What editors do: a synced file takes another's place.
        _ => {
            let (directory, name, node) = named(rng, model, |kind| kind == Kind::File)?;
            matches!(model.ops.last(), Some(Op::Fsync { node: synced, .. }) if *synced == node)
                .then(|| Op::Rename { directory, name, to_directory: ROOT, to_name: "a".into(), flags: 0 })
                .filter(|op| is_lawful(model, op))
        }
    }
}

fn propose_rename(rng: &mut Rng, model: &Model, to_directory: Node) -> Option<Op> {
    let (directory, from, _) = named(rng, model, |_| true)?;
    let flags = if rng.one_in(5) { rename::EXCHANGE } else { 0 };
    let op = Op::Rename { directory, name: from, to_directory, to_name: name(rng), flags };
    is_lawful(model, &op).then_some(op)
}

/// Whether a rename succeeds.
fn is_lawful(model: &Model, op: &Op) -> bool {
    let Op::Rename { directory, name, to_directory, to_name, flags } = op else { return true };
    let Some(node) = model.names_in(*directory).get(name) else { return false };
    let target = model.names_in(*to_directory).get(to_name);
    let above = model.is_above(*node, *to_directory);
    match target {
        _ if above => false,
        None => flags & rename::EXCHANGE == 0,
        Some(target) if flags & rename::EXCHANGE != 0 => !model.is_above(*target, *directory),
        Some(target) => {
            let (a, b) = (model.kind(*node) == Kind::Directory, model.kind(*target) == Kind::Directory);
            a == b && (!b || model.names_in(*target).is_empty())
        }
    }
}

const OWNER: Owner = Owner { uid: 0, gid: 0, mode: 0o644 };

/// Does operations on a file system and keeps the model beside it.
pub struct Runner {
    fs: Arc<dyn FileSystem>,
    /// Inode numbers by the model's.
    inodes: Vec<Ino>,
    /// What the file system must hold now.
    pub model: Model,
}

impl Runner {
    /// On an empty file system.
    pub fn new(fs: Arc<dyn FileSystem>) -> Runner {
        Runner { fs, inodes: vec![ROOT_INO], model: Model::default() }
    }

    /// The file system.
    pub fn fs(&self) -> &dyn FileSystem {
        &*self.fs
    }

    /// The number of an inode there.
    pub fn ino(&self, node: Node) -> Ino {
        self.inodes[node]
    }

    /// Does one operation; the model follows if it succeeded.
    pub fn step(&mut self, op: &Op) -> Result<(), Errno> {
        let (fs, ino) = (&self.fs, |node: Node| self.inodes[node]);
        let number = self.model.ops.len();
        let mut made = None;
        match op {
            Op::Create { directory, name } => made = Some(fs.create(ino(*directory), name, Kind::File, OWNER)?),
            Op::Mkdir { directory, name } => made = Some(fs.create(ino(*directory), name, Kind::Directory, OWNER)?),
            Op::Symlink { directory, name, target } => {
                made = Some(fs.symlink(ino(*directory), name, target, OWNER)?);
            }
            Op::Write { node, offset, bytes } => {
                let data = pattern(number, *offset, *bytes);
                let mut op = op.clone();
                let wrote = fs.write(ino(*node), *offset, &mut InBuf::new(&data))?;
                if let Op::Write { bytes, .. } = &mut op {
                    *bytes = wrote;
                }
                self.model.apply(&op);
                return if wrote == data.len() { Ok(()) } else { Err(Errno::ENOSPC) };
            }
            Op::Append { node, bytes } => {
                let before = self.model.content(*node, number).len() as u64;
                let data = pattern(number, before, *bytes);
                let end = fs.append(ino(*node), &mut InBuf::new(&data))?;
                let wrote = end.checked_sub(before).ok_or(Errno::EIO)? as usize;
                self.model.apply(&Op::Append { node: *node, bytes: wrote });
                return if wrote == data.len() { Ok(()) } else { Err(Errno::ENOSPC) };
            }
            Op::Truncate { node, size } => fs.truncate(ino(*node), *size)?,
            Op::Allocate { node, offset, bytes, keep_size } => fs.allocate(ino(*node), *offset, *bytes, *keep_size)?,
            Op::Rename { directory, name, to_directory, to_name, flags } => {
                fs.rename(ino(*directory), name, ino(*to_directory), to_name, *flags)?;
            }
            Op::Link { node, directory, name } => _ = fs.link(ino(*node), ino(*directory), name)?,
            Op::Unlink { directory, name } => fs.unlink(ino(*directory), name)?,
            Op::Rmdir { directory, name } => fs.rmdir(ino(*directory), name)?,
            Op::Hold { node } => _ = fs.hold(ino(*node))?,
            Op::Release { node } => fs.release(ino(*node))?,
            Op::Fsync { node, data_only } => _ = fs.fsync(ino(*node), *data_only)?,
            Op::Sync => fs.sync()?,
        }
        self.inodes.extend(made.map(|stat| Ino(stat.ino)));
        self.model.apply(op);
        Ok(())
    }
}
