//! Walking paths: from the root, component by component, across mounts and symbolic links, with the caller's right to
//! search each directory.
//!
//! What a name leads to comes from the cache of names where it is known, so a walk over known names calls nobody. An
//! answer of the cache may be overtaken by another app's change; who then finds the inode gone walks again, fresh.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use core::cell::Cell;

use hashbrown::Equivalent;
use kd_api::interfaces::fs::{FileSystem, Kind, NAME_MAX, ROOT, Stat};
use kd_api::interfaces::vfs::PATH_MAX;
use kd_api::{Errno, Ino, OutBuf, Result};

use super::VirtualFileSystem;
use super::credentials::{Attributes, Credentials, SEARCH};
use super::mounts::{Location, TOP};
use super::path::{Last, Path};

/// Symbolic links that one walk follows, as Linux's `MAXSYMLINKS`.
const LINKS_MAX: u32 = 40;

/// A name in a directory, as the cache keeps it.
#[derive(PartialEq, Eq, Hash)]
pub struct Dentry {
    directory: Location,
    name: Box<str>,
}

/// The same, to look up with; it hashes alike.
#[derive(Hash)]
pub struct DentryRef<'a> {
    directory: Location,
    name: &'a str,
}

impl Equivalent<Dentry> for DentryRef<'_> {
    fn equivalent(&self, key: &Dentry) -> bool {
        self.directory == key.directory && *self.name == *key.name
    }
}

impl Dentry {
    pub fn new(directory: Location, name: &str) -> Dentry {
        Dentry { directory, name: name.into() }
    }
}

/// What a name leads to: nothing, or an inode of a kind, which stays the same as long as the inode does.
pub type Child = Option<(Ino, Kind)>;

/// Where a path leads.
#[derive(Clone, Copy)]
pub struct Node {
    pub at: Location,
    pub kind: Kind,
    /// What the file system said of it just now, if it was asked.
    pub stat: Option<Stat>,
}

impl Node {
    fn directory_at(at: Location) -> Node {
        Node { at, kind: Kind::Directory, stat: None }
    }

    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// The node as a directory; `ENOTDIR`.
    pub fn directory(&self) -> Result<Location> {
        if self.is_directory() { Ok(self.at) } else { Err(Errno::ENOTDIR) }
    }
}

/// One walk of one caller.
pub struct Walk<'a> {
    pub vfs: &'a VirtualFileSystem,
    pub who: Credentials,
    /// Whether names are looked up although they are cached.
    fresh: bool,
    /// Symbolic links followed so far.
    links: u32,
    /// The inode it led to was gone.
    gone: Cell<bool>,
}

impl<'a> Walk<'a> {
    pub fn new(vfs: &'a VirtualFileSystem, who: Credentials) -> Walk<'a> {
        Walk { vfs, who, fresh: false, links: 0, gone: Cell::new(false) }
    }

    /// Whether the inode it led to was gone when it came to that. The next walk looks every name up.
    pub fn again(&mut self) -> bool {
        (self.fresh, self.links) = (true, 0);
        self.gone.take()
    }

    /// Calls a node's file system.
    pub fn with<R>(&self, node: &Node, call: impl FnOnce(&dyn FileSystem, Ino) -> Result<R>) -> Result<R> {
        let answer = call(&*self.vfs.mounts.of(node.at).fs, node.at.ino);
        if matches!(answer, Err(Errno::ENOENT)) {
            self.gone.set(true);
        }
        answer
    }

    /// What `stat` tells.
    pub fn stat(&self, node: &Node) -> Result<Stat> {
        node.stat.map_or_else(|| self.with(node, |fs, ino| fs.getattr(ino)), Ok)
    }

    /// What a path leads to; `follow` says whether a symbolic link at its end is followed.
    pub fn node(&mut self, path: &Path<'_>, follow: bool) -> Result<Node> {
        let parent = self.parent(TOP, path)?;
        self.last(parent, path, follow)
    }

    /// The directory in which a path's last component lies.
    pub fn parent(&mut self, start: Location, path: &Path<'_>) -> Result<Location> {
        let mut at = if path.absolute { TOP } else { start };
        for name in path.parents.split('/').filter(|name| !name.is_empty()) {
            self.check(at, None, SEARCH)?;
            at = match name {
                "." => at,
                ".." => self.up(at)?,
                name => {
                    let node = self.step(at, name)?;
                    self.follow(at, node)?.directory()?
                }
            };
        }
        if path.last != Last::Root {
            self.check(at, None, SEARCH)?;
        }
        Ok(at)
    }

    /// What a path's last component leads to, given its directory. A slash behind it asks for a directory, and for what
    /// a symbolic link leads to.
    pub fn last(&mut self, parent: Location, path: &Path<'_>, follow: bool) -> Result<Node> {
        let directory = match path.last {
            Last::Root | Last::Dot => parent,
            Last::DotDot => self.up(parent)?,
            Last::Name(name) => {
                let mut node = self.step(parent, name)?;
                if follow || path.slash {
                    node = self.follow(parent, node)?;
                }
                if path.slash {
                    node.directory()?;
                }
                return Ok(node);
            }
        };
        Ok(Node::directory_at(directory))
    }

    /// What a node leads to in the end.
    fn follow(&mut self, directory: Location, node: Node) -> Result<Node> {
        if node.kind != Kind::Symlink {
            return Ok(node);
        }
        let target = self.target(&node)?;
        let path = Path::parse(&target)?;
        let parent = self.parent(directory, &path)?;
        self.last(parent, &path, true)
    }

    /// What a symbolic link that is followed says; `ELOOP`.
    pub fn target(&mut self, link: &Node) -> Result<String> {
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(Errno::ELOOP);
        }
        let mut room = vec![0; PATH_MAX];
        let count = self.with(link, |fs, ino| fs.readlink(ino, &mut OutBuf::new(&mut room)))?;
        room.truncate(count);
        // A damaged disk can say anything.
        String::from_utf8(room).map_err(|_| Errno::EIO)
    }

    /// What a name in a directory leads to, be it a mount; a symbolic link is not followed.
    pub fn step(&self, directory: Location, name: &str) -> Result<Node> {
        if let Some(root) = self.vfs.mounts.over(directory, name) {
            return Ok(Node::directory_at(root));
        }
        self.vfs.lookup(directory, name, self.fresh)
    }

    fn up(&self, directory: Location) -> Result<Location> {
        if directory.ino == ROOT {
            // Every mount point is a name in the root directory.
            return Ok(TOP);
        }
        let parent = self.vfs.mounts.of(directory).fs.lookup(directory.ino, "..")?;
        Ok(Location { ino: Ino(parent.ino), ..directory })
    }

    /// Whether the caller may use an inode so; `EACCES`.
    pub fn check(&self, at: Location, stat: Option<&Stat>, wanted: u16) -> Result<()> {
        if self.who.is_superuser() {
            return Ok(());
        }
        let attributes = match stat {
            Some(stat) => stat.into(),
            None => self.attributes(&Node::directory_at(at))?,
        };
        self.who.may(wanted, attributes)
    }

    /// A node's attributes.
    pub fn attributes(&self, node: &Node) -> Result<Attributes> {
        match &node.stat {
            Some(stat) => Ok(stat.into()),
            None => self.with(node, |_, _| self.vfs.attributes(node.at)),
        }
    }
}

impl VirtualFileSystem {
    /// What a name in a directory of a file system leads to.
    fn lookup(&self, directory: Location, name: &str, fresh: bool) -> Result<Node> {
        let mount = self.mounts.of(directory);
        let at = |ino| Location { ino, ..directory };
        let asked = || mount.fs.lookup(directory.ino, name);
        if !mount.cached || name.len() > NAME_MAX {
            let stat = asked()?;
            return Ok(Node { at: at(Ino(stat.ino)), kind: stat.kind, stat: Some(stat) });
        }
        let key = DentryRef { directory, name };
        match self.names.get(&key) {
            Some(child) if !fresh => {
                let (ino, kind) = child.ok_or(Errno::ENOENT)?;
                return Ok(Node { at: at(ino), kind, stat: None });
            }
            _ => {}
        }
        let (ticket, of_inode) = (self.names.ticket(&key), self.inodes.ticket(&directory));
        match asked() {
            Ok(stat) => {
                let at = at(Ino(stat.ino));
                // First, so that who finds the name finds no attributes of an inode that had the number before.
                self.inodes.learn(at, (&stat).into(), of_inode);
                self.names.learn(Dentry::new(directory, name), Some((at.ino, stat.kind)), ticket);
                Ok(Node { at, kind: stat.kind, stat: Some(stat) })
            }
            Err(Errno::ENOENT) => {
                self.names.learn(Dentry::new(directory, name), None, ticket);
                Err(Errno::ENOENT)
            }
            Err(errno) => Err(errno),
        }
    }

    /// Whose an inode is and what it permits.
    pub fn attributes(&self, at: Location) -> Result<Attributes> {
        let mount = self.mounts.of(at);
        if let Some(known) = self.inodes.get(&at) {
            return Ok(known);
        }
        let ticket = self.inodes.ticket(&at);
        let attributes = Attributes::from(&mount.fs.getattr(at.ino)?);
        if mount.cached {
            self.inodes.learn(at, attributes, ticket);
        }
        Ok(attributes)
    }
}
