//! What a file system must hold: names, kinds, links, sizes and contents after each operation of a workload.
//!
//! *State* `t` is what there is after `t` operations. Names change in whole operations and in their order, because one
//! journal holds them all: after a crash they are those of one state. Contents have no such order: each sector of a file
//! may be as it was in any state since the file was last synced.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use kd_api::interfaces::block::SECTOR;
use kd_api::interfaces::fs::{Kind, rename};

use crate::rng::mix;
use crate::workload::Op;

/// What stands for an inode number: the order in which inodes were made. 0 is the root directory.
pub type Node = usize;

/// The root directory.
pub const ROOT: Node = 0;

/// One name, and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// From the root directory, with a slash before each name.
    pub path: String,
    /// The inode.
    pub node: u64,
    /// What it is.
    pub kind: Kind,
    /// Its names; of a directory, two and one for each directory in it.
    pub links: u32,
    /// Bytes of a file; 0 for anything else.
    pub size: u64,
    /// What a symbolic link says.
    pub target: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Name { path, node, kind, links, size, target } = self;
        write!(f, "{path:.40} ({kind:?} {node}, {links} links, {size} bytes, \"{target:.40}\")")
    }
}

#[derive(Clone, Debug)]
enum Inode {
    File { content: Arc<Vec<u8>>, links: u32, held: bool },
    Directory { names: BTreeMap<String, Node> },
    Symlink { target: String, links: u32 },
}

/// What one operation concerned.
#[derive(Clone, Debug, Default)]
struct Touched {
    /// Inodes whose `fsync` makes it durable.
    inodes: Vec<Node>,
    /// The file whose `fdatasync` does too: it was made, or its size changed.
    data: Option<Node>,
}

/// What a file held from a state on.
#[derive(Clone, Debug, Default)]
struct Version {
    state: usize,
    size: usize,
    /// Behind the end follow bytes that were cut off and not written over: they may still be on the disk, for a crash
    /// to uncover that undoes the cut.
    bytes: Arc<Vec<u8>>,
}

impl Version {
    fn content(&self) -> &[u8] {
        &self.bytes[..self.size]
    }

    /// Whether a disk may hold this at byte `at` of the file: behind the end, zeros or what was cut off.
    fn may_hold(&self, at: usize, sector: &[u8]) -> bool {
        let starts = |bytes: &[u8]| {
            let (known, zeros) = sector.split_at(bytes.len().saturating_sub(at).min(sector.len()));
            known == &bytes[bytes.len().min(at)..][..known.len()] && zeros.iter().all(|byte| *byte == 0)
        };
        starts(self.content()) || starts(&self.bytes)
    }
}

/// What is, and all that was.
#[derive(Clone, Debug)]
pub struct Model {
    inodes: Vec<Inode>,
    /// The names by state.
    names: Vec<Arc<Vec<Name>>>,
    /// Of each file what it held, from the oldest on.
    contents: BTreeMap<Node, Vec<Version>>,
    touched: Vec<Touched>,
    /// The operations.
    pub ops: Vec<Op>,
}

impl Default for Model {
    fn default() -> Model {
        Model {
            inodes: vec![Inode::Directory { names: BTreeMap::new() }],
            names: vec![Arc::default()],
            contents: BTreeMap::new(),
            touched: Vec::new(),
            ops: Vec::new(),
        }
    }
}

/// The byte that operation number `op` writes at `offset` of a file: no two operations write the same sector.
pub fn pattern(op: usize, offset: u64, bytes: usize) -> Vec<u8> {
    let word = |number: u64| mix((op as u64) << 40 ^ number).to_le_bytes();
    (offset..offset + bytes as u64).map(|at| word(at / 8)[(at % 8) as usize]).collect()
}

impl Model {
    /// Directories, with how many names each holds.
    pub fn directories(&self) -> Vec<(Node, usize)> {
        let mut found = vec![(ROOT, 0)];
        let mut at = 0;
        while let Some((directory, count)) = found.get_mut(at) {
            let names = self.names_in(*directory);
            *count = names.len();
            let below = names.values().filter(|node| matches!(self.inodes[**node], Inode::Directory { .. }));
            let below: Vec<_> = below.map(|node| (*node, 0)).collect();
            found.extend(below);
            at += 1;
        }
        found
    }

    /// The names in a directory; none in anything else.
    pub fn names_in(&self, directory: Node) -> &BTreeMap<String, Node> {
        static NONE: BTreeMap<String, Node> = BTreeMap::new();
        match &self.inodes[directory] {
            Inode::Directory { names } => names,
            _ => &NONE,
        }
    }

    /// What an inode is.
    pub fn kind(&self, node: Node) -> Kind {
        match self.inodes[node] {
            Inode::File { .. } => Kind::File,
            Inode::Directory { .. } => Kind::Directory,
            Inode::Symlink { .. } => Kind::Symlink,
        }
    }

    /// Files that have a name or are held, with their sizes and whether they are held.
    pub fn files(&self) -> Vec<(Node, u64, bool)> {
        let files = self.inodes.iter().enumerate().filter_map(|(node, inode)| match inode {
            Inode::File { content, links, held } if *links > 0 || *held => Some((node, content.len() as u64, *held)),
            _ => None,
        });
        files.collect()
    }

    /// Bytes in all files.
    pub fn bytes(&self) -> u64 {
        self.files().iter().map(|(_, size, _)| size).sum()
    }

    /// The number of the next inode.
    pub fn next(&self) -> Node {
        self.inodes.len()
    }

    /// Whether a directory is another or above it.
    pub fn is_above(&self, ancestor: Node, of: Node) -> bool {
        ancestor == of || self.names_in(ancestor).values().any(|below| self.is_above(*below, of))
    }

    /// Does an operation that the file system did.
    pub fn apply(&mut self, op: &Op) {
        let number = self.ops.len();
        let mut touched = Touched::default();
        match op {
            Op::Create { directory, name } => {
                let node = self.add(*directory, name, Inode::File { content: Arc::default(), links: 1, held: false });
                self.contents.insert(node, vec![Version { state: number + 1, ..Version::default() }]);
                touched = Touched { inodes: vec![*directory, node], data: Some(node) };
            }
            Op::Mkdir { directory, name } => {
                let node = self.add(*directory, name, Inode::Directory { names: BTreeMap::new() });
                touched.inodes = vec![*directory, node];
            }
            Op::Symlink { directory, name, target } => {
                let node = self.add(*directory, name, Inode::Symlink { target: target.clone(), links: 1 });
                touched.inodes = vec![*directory, node];
            }
            Op::Write { node, offset, bytes } => {
                let data = pattern(number, *offset, *bytes);
                touched = self.change(number, *node, |content| {
                    let end = *offset as usize + data.len();
                    content.resize(content.len().max(end), 0);
                    content[*offset as usize..end].copy_from_slice(&data);
                });
            }
            Op::Append { node, bytes } => {
                touched = self.change(number, *node, |content| {
                    let data = pattern(number, content.len() as u64, *bytes);
                    content.extend_from_slice(&data);
                });
            }
            Op::Truncate { node, size } => {
                touched = self.change(number, *node, |content| content.resize(*size as usize, 0));
            }
            Op::Allocate { node, offset, bytes, keep_size } => {
                let end = if *keep_size { 0 } else { (offset + bytes) as usize };
                touched = self.change(number, *node, |content| content.resize(content.len().max(end), 0));
            }
            Op::Rename { directory, name, to_directory, to_name, flags } => {
                let node = self.names_in(*directory)[name];
                let replaced = self.names_in(*to_directory).get(to_name).copied();
                // Two names of one file: nothing happens.
                if replaced != Some(node) {
                    touched.inodes = vec![*directory, *to_directory, node];
                    touched.inodes.extend(replaced);
                    self.names_mut(*directory).remove(name);
                    self.names_mut(*to_directory).insert(to_name.clone(), node);
                    match replaced {
                        Some(replaced) if flags & rename::EXCHANGE != 0 => {
                            self.names_mut(*directory).insert(name.clone(), replaced);
                        }
                        Some(replaced) => self.unlink(replaced),
                        None => {}
                    }
                }
            }
            Op::Link { node, directory, name } => {
                self.names_mut(*directory).insert(name.clone(), *node);
                match &mut self.inodes[*node] {
                    Inode::File { links, .. } | Inode::Symlink { links, .. } => *links += 1,
                    Inode::Directory { .. } => {}
                }
                touched.inodes = vec![*directory, *node];
            }
            Op::Unlink { directory, name } | Op::Rmdir { directory, name } => {
                touched.inodes = vec![*directory];
                if let Some(node) = self.names_mut(*directory).remove(name) {
                    self.unlink(node);
                    touched.inodes.push(node);
                }
            }
            Op::Hold { node } => self.hold(*node, true),
            Op::Release { node } => self.hold(*node, false),
            Op::Fsync { .. } | Op::Sync => {}
        }
        self.ops.push(op.clone());
        self.touched.push(touched);
        let before = self.names.last().cloned().unwrap_or_default();
        let is_same = matches!(op, Op::Hold { .. } | Op::Release { .. } | Op::Fsync { .. } | Op::Sync);
        self.names.push(if is_same { before } else { Arc::new(self.list()) });
    }

    fn names_mut(&mut self, directory: Node) -> &mut BTreeMap<String, Node> {
        match &mut self.inodes[directory] {
            Inode::Directory { names } => names,
            _ => unreachable!("a workload names directories only"),
        }
    }

    fn add(&mut self, directory: Node, name: &str, inode: Inode) -> Node {
        let node = self.inodes.len();
        self.inodes.push(inode);
        self.names_mut(directory).insert(name.into(), node);
        node
    }

    fn unlink(&mut self, node: Node) {
        match &mut self.inodes[node] {
            Inode::File { links, .. } | Inode::Symlink { links, .. } => *links -= 1,
            Inode::Directory { .. } => {}
        }
    }

    fn hold(&mut self, node: Node, on: bool) {
        if let Inode::File { held, .. } = &mut self.inodes[node] {
            *held = on;
        }
    }

    fn change(&mut self, number: usize, node: Node, change: impl FnOnce(&mut Vec<u8>)) -> Touched {
        let Inode::File { content, .. } = &mut self.inodes[node] else { return Touched::default() };
        let before = content.len();
        change(Arc::make_mut(content));
        let (size, resized) = (content.len(), content.len() != before);
        let versions = self.contents.entry(node).or_default();
        let cut = versions.last().and_then(|last| last.bytes.get(size..)).unwrap_or(&[]);
        let bytes = Arc::new([content.as_slice(), cut].concat());
        versions.push(Version { state: number + 1, size, bytes });
        let inodes = if resized { vec![node] } else { Vec::new() };
        Touched { inodes, data: resized.then_some(node) }
    }

    fn list(&self) -> Vec<Name> {
        let mut found = Vec::new();
        self.list_below(ROOT, "", &mut found);
        found
    }

    fn list_below(&self, directory: Node, path: &str, found: &mut Vec<Name>) {
        for (name, node) in self.names_in(directory) {
            let path = format!("{path}/{name}");
            let (links, size, target) = match &self.inodes[*node] {
                Inode::File { content, links, .. } => (*links, content.len() as u64, String::new()),
                Inode::Symlink { target, links } => (*links, 0, target.clone()),
                Inode::Directory { names } => {
                    let below = names.values().filter(|below| self.kind(**below) == Kind::Directory).count();
                    (2 + below as u32, 0, String::new())
                }
            };
            let kind = self.kind(*node);
            found.push(Name { path: path.clone(), node: *node as u64, kind, links, size, target });
            self.list_below(*node, &path, found);
        }
    }

    /// The names of a state.
    pub fn names(&self, state: usize) -> &[Name] {
        &self.names[state]
    }

    /// The oldest state that the names may be in when these syncs, by the numbers of their operations, had returned.
    pub fn names_since(&self, acknowledged: impl Iterator<Item = usize>) -> usize {
        let since = |sync: usize| match &self.ops[sync] {
            Op::Sync => sync + 1,
            Op::Fsync { node, data_only } => {
                let concerns = |touched: &Touched| match data_only {
                    true => touched.data == Some(*node),
                    false => touched.inodes.contains(node),
                };
                self.touched[..sync].iter().rposition(concerns).map_or(0, |op| op + 1)
            }
            _ => 0,
        };
        acknowledged.map(since).max().unwrap_or(0)
    }

    /// The state since which a file's contents may have been lost when these syncs had returned.
    pub fn content_since(&self, node: Node, acknowledged: impl Iterator<Item = usize>) -> usize {
        let covers = |op: &Op| matches!(op, Op::Sync) || matches!(op, Op::Fsync { node: of, .. } if *of == node);
        acknowledged.filter(|sync| covers(&self.ops[*sync])).map(|sync| sync + 1).max().unwrap_or(0)
    }

    /// What a file held in a state; nothing before it was made.
    pub fn content(&self, node: Node, state: usize) -> &[u8] {
        let versions = self.contents.get(&node).map_or(&[][..], |versions| versions);
        let upto = versions.partition_point(|version| version.state <= state);
        upto.checked_sub(1).map_or(&[], |latest| versions[latest].content())
    }

    /// The first sector of `found` that holds nothing a file may hold whose names are in state `names`, whose data are
    /// those of state `since` at least, with operations up to state `until` begun.
    ///
    /// A sector beyond an end of file that was there up to state `names` is newer than that end: ordered mode has data
    /// on the disk before the size that covers them.
    pub fn foreign_sector(&self, node: Node, found: &[u8], names: usize, since: usize, until: usize) -> Option<usize> {
        let versions = self.contents.get(&node).map_or(&[][..], |versions| versions);
        let foreign = |(number, sector): &(usize, &[u8])| {
            let (at, end) = (number * SECTOR, number * SECTOR + sector.len());
            let moved = versions.windows(2).rev().find(|pair| {
                let (before, after) = (pair[0].size, pair[1].size);
                pair[1].state <= names && before != after && before.min(after) < end
            });
            let since = moved.map_or(since, |pair| since.max(pair[1].state));
            // The version of state `since` is the newest that is not newer.
            let first = versions.partition_point(|version| version.state <= since).saturating_sub(1);
            let mut allowed = versions[first..].iter().take_while(|version| version.state <= until.max(since));
            !allowed.any(|version| version.may_hold(at, sector))
        };
        found.chunks(SECTOR).enumerate().find(foreign).map(|(number, _)| number)
    }
}
