//! `open(2)`: finding or making what is opened, the checks, and the hold.

use core::sync::atomic::Ordering::Relaxed;

use kd_api::interfaces::fs::Kind;
use kd_api::interfaces::vfs::open;
use kd_api::{Errno, Result};

use super::credentials::{READ, WRITE};
use super::mounts::{DEVICES, Location, TOP};
use super::open_file::{Held, Object, OpenFile};
use super::path::{Last, Path};
use super::walk::{Node, Walk};

/// What the caller needs to be allowed for these flags; cutting a file is writing to it.
fn wanted(flags: u32) -> u16 {
    let access = match flags & open::ACCMODE {
        open::RDONLY => READ,
        open::WRONLY => WRITE,
        _ => READ | WRITE,
    };
    access | if flags & open::TRUNC != 0 { WRITE } else { 0 }
}

impl Walk<'_> {
    /// What `open` opens, and whether it made it.
    fn find_or_create(&mut self, start: Location, path: &Path<'_>, flags: u32, mode: u16) -> Result<(Node, bool)> {
        let parent = self.parent(start, path)?;
        let name = match path.last {
            Last::Name(name) if flags & open::CREAT != 0 => name,
            _ => return Ok((self.last(parent, path, flags & open::NOFOLLOW == 0)?, false)),
        };
        if path.slash {
            return Err(Errno::EISDIR);
        }
        match self.step(parent, name) {
            Ok(link) if link.kind == Kind::Symlink && flags & (open::NOFOLLOW | open::EXCL) == 0 => {
                let target = self.target(&link)?;
                return self.find_or_create(parent, &Path::parse(&target)?, flags, mode);
            }
            Err(Errno::ENOENT) => {}
            found => return Ok((found?, false)),
        }
        match self.create(parent, name, Kind::File, mode) {
            // Another app was faster.
            Err(Errno::EEXIST) if flags & open::EXCL == 0 => Ok((self.step(parent, name)?, false)),
            made => Ok((made?, true)),
        }
    }

    /// Opens; `ENOENT` also if what it found was gone before it could be held.
    pub fn open(&mut self, path: &Path<'_>, flags: u32, mode: u32) -> Result<OpenFile> {
        let (node, made) = self.find_or_create(TOP, path, flags, (mode & 0o7777) as u16)?;
        if flags & open::CREAT != 0 && !made {
            if flags & open::EXCL != 0 {
                return Err(Errno::EEXIST);
            }
            if node.is_directory() {
                return Err(Errno::EISDIR);
            }
        }
        if flags & open::DIRECTORY != 0 {
            node.directory()?;
        }
        match node.kind {
            Kind::Symlink => return Err(Errno::ELOOP),
            Kind::Directory if wanted(flags) & WRITE != 0 => return Err(Errno::EISDIR),
            // Whoever makes a file may use it as asked, whatever its mode says to others.
            _ if made => {}
            _ => self.check(node.at, node.stat.as_ref(), wanted(flags))?,
        }
        let known = self.vfs.failures.latest();
        let mut note = self.vfs.notes.file(node.kind, node.at, flags, 0);
        let object = self.object(&node, flags & open::TRUNC != 0 && !made)?;
        if let Object::File(held) | Object::Directory(held) | Object::Device(_, held) = &object {
            note = self.vfs.notes.file(node.kind, node.at, flags, held.instance.load(Relaxed));
        }
        Ok(OpenFile::new(object, flags, known, note))
    }

    fn object(&self, node: &Node, cut: bool) -> Result<Object> {
        let fs = &self.vfs.mounts.of(node.at).fs;
        let hold = || -> Result<Held> {
            let instance = self.with(node, |fs, ino| fs.hold(ino))?;
            Ok(Held { fs: fs.clone(), at: node.at, instance: instance.into() })
        };
        match node.kind {
            Kind::Directory => Ok(Object::Directory(hold()?)),
            Kind::File => {
                let held = hold()?;
                if cut {
                    fs.truncate(held.at.ino, 0)?;
                    self.vfs.drop_identity(&self.who, held.at)?;
                }
                Ok(Object::File(held))
            }
            Kind::Block if node.at.mount == DEVICES => {
                Ok(Object::Device(self.vfs.devices.device(node.at.ino)?, hold()?))
            }
            Kind::Block | Kind::Fifo | Kind::Symlink => Err(Errno::ENXIO),
        }
    }
}
