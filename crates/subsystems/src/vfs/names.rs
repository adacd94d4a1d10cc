//! Making, moving and removing names: who may, what Linux refuses in which order, and what the caches learn from it.

use kd_api::interfaces::fs::{FileSystem, Kind, Owner, Stat, rename};
use kd_api::{Errno, Ino, Result};

use super::credentials::{Attributes, READ, SEARCH, SET_GID, SET_UID, WRITE};
use super::mounts::{Location, TOP};
use super::path::{Last, Path};
use super::walk::{Dentry, Node, Walk};

const GROUP_EXECUTE: u16 = 0o010;

impl Walk<'_> {
    fn fs(&self, at: Location) -> &dyn FileSystem {
        &*self.vfs.mounts.of(at).fs
    }

    /// Where a path's last name is to be made; `EEXIST` for what is no name.
    fn place<'p>(&mut self, path: &Path<'p>) -> Result<(Location, &'p str)> {
        let parent = self.parent(TOP, path)?;
        let name = path.name_or(Errno::EEXIST)?;
        if self.vfs.mounts.over(parent, name).is_some() {
            return Err(Errno::EEXIST);
        }
        Ok((parent, name))
    }

    /// The same for what is no directory: a slash behind its name is not forgiven.
    fn place_of_file<'p>(&mut self, path: &Path<'p>) -> Result<(Location, &'p str)> {
        let (parent, name) = self.place(path)?;
        if path.slash {
            return self.step(parent, name).and(Err(Errno::EEXIST));
        }
        Ok((parent, name))
    }

    /// Why a name can't be made: that it is taken comes before anything else.
    fn unless_taken(&self, directory: Location, name: &str, errno: Errno) -> Errno {
        match self.step(directory, name) {
            Ok(_) => Errno::EEXIST,
            Err(Errno::ENOENT) => errno,
            Err(other) => other,
        }
    }

    /// The attributes of a directory in which `name` is to be made.
    fn may_make(&self, directory: Location, name: &str) -> Result<Attributes> {
        let attributes = self.vfs.attributes(directory)?;
        self.who.may(WRITE | SEARCH, attributes).map_err(|errno| self.unless_taken(directory, name, errno))?;
        Ok(attributes)
    }

    /// Makes a name and tells the caches.
    fn make(
        &self,
        directory: Location,
        name: &str,
        kind: Kind,
        mode: u16,
        make: impl FnOnce(&dyn FileSystem, Owner) -> Result<Stat>,
    ) -> Result<Node> {
        let owner = self.who.owner(self.may_make(directory, name)?, kind, mode);
        self.enter(directory, name, |fs| make(fs, owner))
    }

    fn enter(
        &self,
        directory: Location,
        name: &str,
        make: impl FnOnce(&dyn FileSystem) -> Result<Stat>,
    ) -> Result<Node> {
        let mount = self.vfs.mounts.of(directory);
        let change = self.vfs.names.change(Dentry::new(directory, name));
        let ticket = self.vfs.inodes.ticket(&directory);
        let stat = make(&*mount.fs)?;
        let at = Location { ino: Ino(stat.ino), ..directory };
        if mount.cached {
            self.vfs.inodes.learn(at, (&stat).into(), ticket);
            change.settle(Some((at.ino, stat.kind)));
        }
        Ok(Node { at, kind: stat.kind, stat: Some(stat) })
    }

    /// A new file or directory.
    pub fn create(&self, directory: Location, name: &str, kind: Kind, mode: u16) -> Result<Node> {
        let ino = directory.ino;
        self.make(directory, name, kind, mode, |fs, owner| fs.create(ino, name, kind, owner))
    }

    /// `mkdir(2)`.
    pub fn mkdir(&mut self, path: &Path<'_>, mode: u32) -> Result<()> {
        let (parent, name) = self.place(path)?;
        self.create(parent, name, Kind::Directory, (mode & 0o1777) as u16).map(drop)
    }

    /// `symlink(2)`.
    pub fn symlink(&mut self, target: &str, path: &Path<'_>) -> Result<()> {
        let (parent, name) = self.place_of_file(path)?;
        let made = |fs: &dyn FileSystem, owner| fs.symlink(parent.ino, name, target, owner);
        self.make(parent, name, Kind::Symlink, 0o777, made).map(drop)
    }

    /// `link(2)`.
    pub fn link(&mut self, from: &Path<'_>, to: &str) -> Result<()> {
        // Linux looks at the second path only once the first has led somewhere.
        let node = self.node(from, false)?;
        let (parent, name) = self.place_of_file(&Path::parse(to)?)?;
        let refuse = |errno| Err(self.unless_taken(parent, name, errno));
        if node.at.mount != parent.mount {
            return refuse(Errno::EXDEV);
        }
        if !self.may_link(&node)? {
            return refuse(Errno::EPERM);
        }
        self.may_make(parent, name)?;
        if node.is_directory() {
            return refuse(Errno::EPERM);
        }
        self.enter(parent, name, |fs| fs.link(node.at.ino, parent.ino, name)).map(drop)
    }

    /// Whether the caller may give an inode another name: Linux's `protected_hardlinks`, as distributions set it.
    fn may_link(&self, node: &Node) -> Result<bool> {
        if self.who.is_superuser() {
            return Ok(true);
        }
        let inode = self.attributes(node)?;
        let runs_as_other =
            inode.mode & SET_UID != 0 || inode.mode & (SET_GID | GROUP_EXECUTE) == SET_GID | GROUP_EXECUTE;
        let harmless = node.kind == Kind::File && !runs_as_other && self.who.may(READ | WRITE, inode).is_ok();
        Ok(harmless || self.who.owns(inode))
    }

    /// Whether the caller may take a name out of a directory; what is not there is told first.
    fn may_take(&self, directory: Location, name: &str) -> Result<()> {
        if self.who.is_superuser() {
            return Ok(());
        }
        let victim = self.step(directory, name)?;
        let attributes = self.vfs.attributes(directory)?;
        self.who.may(WRITE | SEARCH, attributes)?;
        self.who.may_take(attributes, self.attributes(&victim)?)
    }

    /// Takes a name away and tells the cache.
    fn leave(&self, directory: Location, name: &str, take: impl FnOnce(&dyn FileSystem) -> Result<()>) -> Result<()> {
        let change = self.vfs.names.change(Dentry::new(directory, name));
        take(self.fs(directory))?;
        if self.vfs.mounts.of(directory).cached {
            change.settle(None);
        }
        Ok(())
    }

    /// `unlink(2)`.
    pub fn unlink(&mut self, path: &Path<'_>) -> Result<()> {
        let parent = self.parent(TOP, path)?;
        let name = path.name_or(Errno::EISDIR)?;
        if path.slash || self.vfs.mounts.over(parent, name).is_some() {
            return self.step(parent, name)?.directory().and(Err(Errno::EISDIR));
        }
        self.may_take(parent, name)?;
        self.leave(parent, name, |fs| fs.unlink(parent.ino, name))
    }

    /// `rmdir(2)`.
    pub fn rmdir(&mut self, path: &Path<'_>) -> Result<()> {
        let parent = self.parent(TOP, path)?;
        let name = match path.last {
            Last::Name(name) => name,
            Last::Root => return Err(Errno::EBUSY),
            Last::Dot => return Err(Errno::EINVAL),
            Last::DotDot => return Err(Errno::ENOTEMPTY),
        };
        self.may_take(parent, name)?;
        if self.vfs.mounts.over(parent, name).is_some() {
            return Err(Errno::EBUSY);
        }
        self.leave(parent, name, |fs| fs.rmdir(parent.ino, name))
    }

    /// `renameat2(2)`.
    pub fn rename(&mut self, from: &Path<'_>, to: &str, flags: u32) -> Result<()> {
        let parent = self.parent(TOP, from)?;
        let to = &Path::parse(to)?;
        let to_parent = self.parent(TOP, to)?;
        if parent.mount != to_parent.mount {
            return Err(Errno::EXDEV);
        }
        let name = from.name_or(Errno::EBUSY)?;
        let no_name = if flags & rename::NOREPLACE != 0 { Errno::EEXIST } else { Errno::EBUSY };
        let to_name = to.name_or(no_name)?;
        if from.slash || to.slash || !self.who.is_superuser() {
            self.may_rename((parent, name, from.slash), (to_parent, to_name, to.slash), flags)?;
        }
        if self.vfs.mounts.over(parent, name).or(self.vfs.mounts.over(to_parent, to_name)).is_some() {
            return Err(Errno::EBUSY);
        }
        let source = self.vfs.names.change(Dentry::new(parent, name));
        let target = self.vfs.names.change(Dentry::new(to_parent, to_name));
        self.fs(parent).rename(parent.ino, name, to_parent.ino, to_name, flags)?;
        // What was known was true until now if nobody else changed either. Two names of one file stay both.
        if let Some(moved) = source.before
            && source.is_alone()
            && target.is_alone()
        {
            match target.before {
                Some(replaced) if flags & rename::EXCHANGE != 0 => source.settle(replaced),
                Some(replaced) if replaced.map(|(ino, _)| ino) != moved.map(|(ino, _)| ino) => source.settle(None),
                _ => {}
            }
            target.settle(moved);
        }
        Ok(())
    }

    /// What Linux checks before it asks a file system to rename: name, directory, and whether slashes follow.
    fn may_rename(&self, from: (Location, &str, bool), to: (Location, &str, bool), flags: u32) -> Result<()> {
        let exchange = flags & rename::EXCHANGE != 0;
        let source = self.step(from.0, from.1)?;
        let target = match self.step(to.0, to.1) {
            Err(Errno::ENOENT) => None,
            found => Some(found?),
        };
        match &target {
            Some(_) if flags & rename::NOREPLACE != 0 => return Err(Errno::EEXIST),
            Some(target) if exchange && to.2 => target.directory().map(drop)?,
            None if exchange => return Err(Errno::ENOENT),
            _ => {}
        }
        if !source.is_directory() && (from.2 || to.2 && !exchange) {
            return Err(Errno::ENOTDIR);
        }
        if self.who.is_superuser() || target.as_ref().is_some_and(|target| target.at == source.at) {
            return Ok(());
        }
        self.may_take(from.0, from.1)?;
        match &target {
            Some(_) => self.may_take(to.0, to.1)?,
            None => self.may_make(to.0, to.1).map(drop)?,
        }
        if from.0 == to.0 {
            return Ok(());
        }
        // A directory that moves gets another `..`, which is written in itself. What does not fit is told before that.
        let may_move = |node: &Node| match node.kind {
            Kind::Directory => self.check(node.at, node.stat.as_ref(), WRITE),
            _ => Ok(()),
        };
        match target {
            Some(target) if exchange => may_move(&source).and_then(|()| may_move(&target)),
            Some(target) if source.is_directory() && !target.is_directory() => {
                may_move(&source).map_err(|_| Errno::ENOTDIR)
            }
            _ => may_move(&source),
        }
    }
}
