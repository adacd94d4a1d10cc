//! `/proc`: what the kernel knows of itself, as text files that are made when they are read.
//!
//! There is a file for each topic and a directory `components` with a file for each component. Nothing is kept between
//! two reads: each makes the whole text anew and copies out its part, so a text that changes meanwhile may not fit
//! together, as with many of Linux's. Sizes are 0, as there. Nothing can be changed.

#[cfg(test)]
mod tests;
mod text;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use kd_api::hotplug::Hotplug;
use kd_api::interfaces::block::BlockDevice;
use kd_api::interfaces::fs::{FileSystem, Kind, NAME_MAX, Owner, ROOT, SetAttr, Stat, StatFs};
use kd_api::interfaces::kernel::{KernelInfo, NAME};
use kd_api::{Component, Errno, Handle, InBuf, Ino, OutBuf, Result};
use kd_sync::RwLock;

use crate::dirent;
use crate::vfs::device_name;
use text::TOPICS;

/// The directory with a file for each component.
const COMPONENTS: Ino = Ino(2);
/// Inode of the first topic's file.
const FIRST_TOPIC: u64 = 16;
/// Inode of the first component's file.
const FIRST_COMPONENT: u64 = 1 << 16;

/// The file system.
pub struct ProcFs {
    kernel: Arc<dyn KernelInfo>,
    /// By import; a driver may go and come back.
    disks: RwLock<BTreeMap<String, Arc<dyn BlockDevice>>>,
}

/// The component `procfs`. Besides the import it names, it takes every block device it is given.
pub fn component() -> Component {
    Component::new::<dyn FileSystem, ProcFs>("procfs", &[NAME], |imports| {
        let disks = imports.all::<dyn BlockDevice>().map(|(name, disk)| (name.into(), disk)).collect();
        let fs = Arc::new(ProcFs { kernel: imports.get(NAME)?, disks: RwLock::new(disks) });
        imports.offer(fs.clone());
        Ok(fs)
    })
}

impl Hotplug for ProcFs {
    fn unplug(&self, name: &str) -> Result<()> {
        self.disks.write().remove(name);
        Ok(())
    }

    fn plug(&self, name: &str, handle: &Handle) {
        if let Ok(disk) = handle.get::<dyn BlockDevice>() {
            self.disks.write().insert(name.into(), disk);
        }
    }
}

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Root,
    Components,
    /// A topic, by its number.
    Topic(usize),
    /// A component, by its number.
    Component(u32),
}

impl Node {
    fn ino(self) -> u64 {
        match self {
            Node::Root => ROOT.0,
            Node::Components => COMPONENTS.0,
            Node::Topic(number) => FIRST_TOPIC + number as u64,
            Node::Component(number) => FIRST_COMPONENT + u64::from(number),
        }
    }

    fn is_directory(self) -> bool {
        matches!(self, Node::Root | Node::Components)
    }

    fn kind(self) -> Kind {
        if self.is_directory() { Kind::Directory } else { Kind::File }
    }

    fn stat(self) -> Stat {
        let (mode, links) = if self.is_directory() { (0o555, 2 + u32::from(self == Node::Root)) } else { (0o444, 1) };
        Stat {
            ino: self.ino(),
            kind: self.kind(),
            mode,
            links,
            uid: 0,
            gid: 0,
            size: 0,
            blocks: 0,
            atime: 0,
            mtime: 0,
            ctime: 0,
        }
    }
}

impl ProcFs {
    fn node(&self, ino: Ino) -> Result<Node> {
        let number = ino.0.wrapping_sub(FIRST_TOPIC);
        match ino {
            ROOT => Ok(Node::Root),
            COMPONENTS => Ok(Node::Components),
            _ if number < TOPICS.len() as u64 => Ok(Node::Topic(number as usize)),
            _ => {
                let number = ino.0.checked_sub(FIRST_COMPONENT).and_then(|number| u32::try_from(number).ok());
                let number = number.ok_or(Errno::ENOENT)?;
                self.kernel.component(number).map(|_| Node::Component(number))
            }
        }
    }

    /// The nodes of a directory with their names, in order of their positions from 2 on.
    fn entries(&self, directory: Node) -> Vec<(String, Node)> {
        match directory {
            Node::Root => {
                let topics = TOPICS.iter().enumerate().map(|(number, topic)| (topic.name.into(), Node::Topic(number)));
                topics.chain([("components".into(), Node::Components)]).collect()
            }
            Node::Components => {
                let named = |(number, component)| (component, Node::Component(number));
                let components = text::components(&*self.kernel).map(|component| component.name);
                (0..).zip(components).map(named).collect()
            }
            Node::Topic(_) | Node::Component(_) => Vec::new(),
        }
    }

    fn directory(&self, ino: Ino) -> Result<Node> {
        Some(self.node(ino)?).filter(|node| node.is_directory()).ok_or(Errno::ENOTDIR)
    }

    fn text(&self, node: Node) -> Result<Vec<u8>> {
        match node {
            Node::Root | Node::Components => Err(Errno::EISDIR),
            Node::Topic(number) => {
                let disk = |(name, disk): (&String, &Arc<dyn BlockDevice>)| (device_name(name).into(), disk.clone());
                let disks: Vec<_> = self.disks.read().iter().map(disk).collect();
                (TOPICS[number].text)(&*self.kernel, &disks)
            }
            Node::Component(number) => text::component(&*self.kernel, number),
        }
    }
}

impl FileSystem for ProcFs {
    fn lookup(&self, directory: Ino, name: &str) -> Result<Stat> {
        let directory = self.directory(directory)?;
        let found = match name {
            "." => directory,
            ".." => Node::Root,
            _ if name.len() > NAME_MAX => return Err(Errno::ENAMETOOLONG),
            _ => {
                let mut entries = self.entries(directory).into_iter();
                entries.find(|(known, _)| known == name).ok_or(Errno::ENOENT)?.1
            }
        };
        Ok(found.stat())
    }

    fn getattr(&self, ino: Ino) -> Result<Stat> {
        self.node(ino).map(Node::stat)
    }

    fn setattr(&self, _: Ino, _: SetAttr) -> Result<Stat> {
        Err(Errno::EROFS)
    }

    fn create(&self, _: Ino, _: &str, _: Kind, _: Owner) -> Result<Stat> {
        Err(Errno::EROFS)
    }

    fn symlink(&self, _: Ino, _: &str, _: &str, _: Owner) -> Result<Stat> {
        Err(Errno::EROFS)
    }

    fn readlink(&self, ino: Ino, _: &mut OutBuf<'_>) -> Result<usize> {
        self.node(ino).and(Err(Errno::EINVAL))
    }

    fn link(&self, _: Ino, _: Ino, _: &str) -> Result<Stat> {
        Err(Errno::EROFS)
    }

    fn unlink(&self, _: Ino, _: &str) -> Result<()> {
        Err(Errno::EROFS)
    }

    fn rmdir(&self, _: Ino, _: &str) -> Result<()> {
        Err(Errno::EROFS)
    }

    fn rename(&self, _: Ino, _: &str, _: Ino, _: &str, _: u32) -> Result<()> {
        Err(Errno::EROFS)
    }

    fn read(&self, ino: Ino, offset: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        let text = self.text(self.node(ino)?)?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
        Ok(out.write(&text[from..]))
    }

    fn write(&self, _: Ino, _: u64, _: &mut InBuf<'_>) -> Result<usize> {
        Err(Errno::EROFS)
    }

    fn append(&self, _: Ino, _: &mut InBuf<'_>) -> Result<u64> {
        Err(Errno::EROFS)
    }

    fn truncate(&self, _: Ino, _: u64) -> Result<()> {
        Err(Errno::EROFS)
    }

    fn readdir(&self, directory: Ino, cursor: u64, out: &mut OutBuf<'_>) -> Result<(u64, usize)> {
        let directory = self.directory(directory)?;
        let entries = self.entries(directory);
        let dots = [(".", directory), ("..", Node::Root)];
        let all = dots.into_iter().chain(entries.iter().map(|(name, node)| (name.as_str(), *node)));
        let all =
            (1..).zip(all).map(|(next, (name, node))| dirent::Entry { ino: node.ino(), next, kind: node.kind(), name });
        dirent::write(cursor, all.skip(usize::try_from(cursor).unwrap_or(usize::MAX)), out)
    }

    fn allocate(&self, _: Ino, _: u64, _: u64, _: bool) -> Result<()> {
        Err(Errno::EROFS)
    }

    fn fsync(&self, ino: Ino, _: bool) -> Result<u64> {
        self.node(ino).map(|_| 0)
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs { block_size: 4096, blocks: 0, free: 0, files: 0, free_files: 0 })
    }

    fn hold(&self, ino: Ino) -> Result<u64> {
        self.node(ino).map(|_| 0)
    }

    fn release(&self, ino: Ino) -> Result<()> {
        self.node(ino).map(drop)
    }

    fn reclaim(&self, ino: Ino, _: u32) -> Result<Stat> {
        self.getattr(ino)
    }
}
