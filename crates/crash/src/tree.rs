//! What is in a mounted file system, as an app would find it: a walk that trusts nothing it reads.

use std::collections::HashSet;

use kd_api::interfaces::fs::{FileSystem, Kind, ROOT, Stat};
use kd_api::{Errno, Ino, OutBuf, Result};

use crate::model::Name;

/// Bytes of an entry of a listing before its name, in the form of `linux_dirent64`.
const HEADER: usize = 19;
/// More names than any image here can hold, and more levels than any path has.
const NAMES_MAX: usize = 100_000;
const DEPTH_MAX: usize = 64;

/// Everything that names lead to.
#[derive(Debug, Default)]
pub struct Tree {
    /// The names in the order of the model: by name, what is in a directory right after it.
    pub names: Vec<Name>,
    /// Blocks of 512 bytes that all inodes take, and how many inodes there are, the root among them.
    pub sectors: u64,
    /// Inodes.
    pub inodes: u64,
}

impl Tree {
    /// Walks a file system; `EUCLEAN` where what it says contradicts itself.
    pub fn walk(fs: &dyn FileSystem) -> Result<Tree> {
        let root = fs.getattr(ROOT)?;
        let mut walk = Walk { fs, seen: HashSet::from([root.ino]), room: vec![0; 4096], tree: Tree::default() };
        walk.count(&root);
        walk.directory(ROOT, "", 0)?;
        Ok(walk.tree)
    }
}

struct Walk<'a> {
    fs: &'a dyn FileSystem,
    seen: HashSet<u64>,
    room: Vec<u8>,
    tree: Tree,
}

impl Walk<'_> {
    fn count(&mut self, stat: &Stat) {
        self.tree.sectors += stat.blocks;
        self.tree.inodes += 1;
    }

    fn directory(&mut self, directory: Ino, path: &str, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(Errno::EUCLEAN);
        }
        for (name, ino, number) in self.list(directory)? {
            let stat = self.fs.lookup(directory, &name)?;
            let known = match stat.kind {
                Kind::File => 8,
                Kind::Directory => 4,
                Kind::Symlink => 10,
                Kind::Block | Kind::Fifo => return Err(Errno::EUCLEAN),
            };
            if stat.ino != ino || known != number || self.fs.getattr(Ino(ino))? != stat {
                return Err(Errno::EUCLEAN);
            }
            let is_new = self.seen.insert(ino);
            if is_new {
                self.count(&stat);
            }
            let path = format!("{path}/{name}");
            let (size, target) = match stat.kind {
                Kind::File => (stat.size, String::new()),
                Kind::Symlink => (0, self.target(Ino(ino))?),
                _ => (0, String::new()),
            };
            let (kind, links) = (stat.kind, stat.links);
            self.tree.names.push(Name { path: path.clone(), node: ino, kind, links, size, target });
            if kind == Kind::Directory {
                if !is_new {
                    return Err(Errno::EUCLEAN);
                }
                self.directory(Ino(ino), &path, depth + 1)?;
            }
            if self.tree.names.len() > NAMES_MAX {
                return Err(Errno::EUCLEAN);
            }
        }
        Ok(())
    }

    fn target(&mut self, ino: Ino) -> Result<String> {
        let count = self.fs.readlink(ino, &mut OutBuf::new(&mut self.room))?;
        String::from_utf8(self.room[..count].to_vec()).map_err(|_| Errno::EUCLEAN)
    }

    /// Names, inode numbers and kinds, sorted by name, without `.` and `..`.
    fn list(&mut self, directory: Ino) -> Result<Vec<(String, u64, u8)>> {
        let (mut found, mut cursor) = (Vec::new(), 0);
        loop {
            let (next, count) = self.fs.readdir(directory, cursor, &mut OutBuf::new(&mut self.room))?;
            let mut records = self.room.get(..count).ok_or(Errno::EUCLEAN)?;
            if records.is_empty() {
                break;
            }
            while let [a, b, c, d, e, f, g, h, _, _, _, _, _, _, _, _, low, high, kind, rest @ ..] = records {
                let length = usize::from(u16::from_le_bytes([*low, *high]));
                let end = rest.iter().position(|byte| *byte == 0).ok_or(Errno::EUCLEAN)?;
                let name = String::from_utf8(rest[..end].to_vec()).map_err(|_| Errno::EUCLEAN)?;
                if name != "." && name != ".." {
                    found.push((name, u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), *kind));
                }
                records = records.get(length.max(HEADER)..).ok_or(Errno::EUCLEAN)?;
            }
            if next <= cursor || found.len() > NAMES_MAX {
                return Err(Errno::EUCLEAN);
            }
            cursor = next;
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// Reads all of a file into `bytes`, whose room is used again; `EUCLEAN` if it is not as long as it says.
pub fn read(fs: &dyn FileSystem, ino: Ino, size: u64, bytes: &mut Vec<u8>) -> Result<()> {
    bytes.clear();
    bytes.resize(usize::try_from(size).map_err(|_| Errno::EUCLEAN)?, 0);
    match fs.read(ino, 0, &mut OutBuf::new(bytes))? {
        count if count == bytes.len() => Ok(()),
        _ => Err(Errno::EUCLEAN),
    }
}
