//! An open file: what it is, how it may be used, and where it stands (Linux's `struct file`).
//!
//! The position's lock is held across a transfer at the position, as Linux holds `f_pos_lock`: two calls on one open
//! file follow each other. Pipes have no position and no lock here, so a reader that waits keeps nobody out. Dropping
//! it releases what it held; a call still under way keeps it alive.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering::AcqRel};

use kd_api::ids::PipeId;
use kd_api::interfaces::fs::{FileSystem, Kind, Stat};
use kd_api::interfaces::pipe::Pipe;
use kd_api::interfaces::vfs::{allocate, open, seek};
use kd_api::{Blocks, Errno, InBuf, OutBuf, Result};
use kd_sync::{Mutex, rendezvous};

use super::device::Device;
use super::failures::Failures;
use super::mounts::Location;
use crate::records::Record;

/// What a file is.
pub enum Object {
    File(Held),
    Directory(Held),
    Device(Arc<Device>, Held),
    Pipe(PipeEnd),
}

/// An inode held in its file system.
pub struct Held {
    pub fs: Arc<dyn FileSystem>,
    pub at: Location,
    /// Which instance of the file system has what was written.
    pub instance: AtomicU64,
}

impl Held {
    /// Syncs it; `EIO` once if an instance died since it was opened, perhaps with what was written to it.
    fn sync(&self, data_only: bool, failures: &Failures, known: &AtomicU64) -> Result<()> {
        let synced = self.fs.fsync(self.at.ino, data_only);
        let same = synced.is_ok_and(|instance| self.instance.swap(instance, AcqRel) == instance);
        failures.tell(self.at, known, synced.map(drop))?;
        if same { Ok(()) } else { Err(Errno::EIO) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Nobody is left to tell: a file system that is gone has released it anyway.
        let _ = self.fs.release(self.at.ino);
    }
}

/// One end of a pipe.
pub struct PipeEnd {
    pub pipes: Arc<dyn Pipe>,
    pub pipe: PipeId,
    pub writer: bool,
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        let _ = self.pipes.close(self.pipe, self.writer);
    }
}

impl PipeEnd {
    /// What `fstat` tells. Pipes have no users and no times here.
    fn stat(&self) -> Stat {
        let (kind, mode, links) = (Kind::Fifo, 0o600, 1);
        let ino = self.pipe.0;
        Stat { ino, kind, mode, links, uid: 0, gid: 0, size: 0, blocks: 0, atime: 0, mtime: 0, ctime: 0 }
    }

    /// Reads, waiting for bytes. When the pipe's server has no thread left to wait in (`EAGAIN`), the wait is a deferred
    /// call, which holds none.
    fn read(&self, out: &mut OutBuf<'_>) -> Result<usize> {
        loop {
            match self.pipes.read(self.pipe, out) {
                Err(Errno::EAGAIN) => {
                    let (done, waiter) = rendezvous();
                    self.pipes.wait_readable(self.pipe, done);
                    waiter.wait()?;
                }
                answer => return answer,
            }
        }
    }
}

/// An open file.
pub struct OpenFile {
    object: Object,
    flags: u32,
    position: Mutex<u64>,
    /// Up to which number it knows failures of writing back.
    known_failures: AtomicU64,
    /// What is noted of it: the last to be dropped, when nothing is held any more.
    note: Option<Record>,
}

/// A position from which a transfer of `len` bytes stays within what a signed offset can say, else `EINVAL`.
fn check(offset: u64, len: usize) -> Result<u64> {
    let end = offset.checked_add(len as u64).ok_or(Errno::EINVAL)?;
    if end > i64::MAX as u64 { Err(Errno::EINVAL) } else { Ok(offset) }
}

impl OpenFile {
    /// One that knows failures of writing back up to this number.
    pub fn new(object: Object, flags: u32, known_failures: u64, note: Option<Record>) -> OpenFile {
        let known_failures = AtomicU64::new(known_failures);
        OpenFile { object, flags, position: Mutex::new(0), known_failures, note }
    }

    /// One as a VFS that died had it.
    pub fn restored(object: Object, flags: u32, known_failures: u64, position: u64, note: Record) -> OpenFile {
        OpenFile { position: Mutex::new(position), ..OpenFile::new(object, flags, known_failures, Some(note)) }
    }

    /// What is noted of it.
    pub fn note(&self) -> Option<&Record> {
        self.note.as_ref()
    }

    /// Moves the position, whose lock the caller has.
    fn set(&self, position: &mut u64, to: u64) {
        *position = to;
        if let Some(note) = &self.note {
            note.moved(to);
        }
    }

    /// The regular file that a call of `bytes` bytes may change.
    pub fn changeable(&self, bytes: usize) -> Option<Location> {
        match &self.object {
            Object::File(held) if bytes > 0 && self.check_writable().is_ok() => Some(held.at),
            _ => None,
        }
    }

    fn check_readable(&self) -> Result<()> {
        match self.flags & open::ACCMODE {
            open::RDONLY | open::RDWR => Ok(()),
            _ => Err(Errno::EBADF),
        }
    }

    fn check_writable(&self) -> Result<()> {
        match self.flags & open::ACCMODE {
            open::WRONLY | open::RDWR => Ok(()),
            _ => Err(Errno::EBADF),
        }
    }

    /// `read(2)`.
    pub fn read(&self, out: &mut OutBuf<'_>) -> Result<usize> {
        self.check_readable()?;
        if let Object::Pipe(end) = &self.object {
            return end.read(out);
        }
        let mut position = self.position.lock();
        let at = *position;
        let count = self.read_at(at, out)?;
        self.set(&mut position, at + count as u64);
        Ok(count)
    }

    /// `write(2)`.
    pub fn write(&self, data: &mut InBuf<'_>) -> Result<usize> {
        self.check_writable()?;
        if let Object::Pipe(end) = &self.object {
            return end.pipes.write(end.pipe, data);
        }
        let mut position = self.position.lock();
        let (count, end) = self.write_at(*position, data)?;
        self.set(&mut position, end);
        Ok(count)
    }

    /// `pread(2)`.
    pub fn pread(&self, offset: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        if matches!(self.object, Object::Pipe(_)) {
            return Err(Errno::ESPIPE);
        }
        self.check_readable()?;
        self.read_at(offset, out)
    }

    /// `pwrite(2)`.
    pub fn pwrite(&self, offset: u64, data: &mut InBuf<'_>) -> Result<usize> {
        if matches!(self.object, Object::Pipe(_)) {
            return Err(Errno::ESPIPE);
        }
        self.check_writable()?;
        self.write_at(offset, data).map(|(count, _)| count)
    }

    /// `pread(2)` of several blocks. A device takes whole sectors at once; anything else goes one after the other.
    pub fn pread_many(&self, blocks: &Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        if let Object::Device(device, _) = &self.object {
            self.check_readable()?;
            if let Some(sectors) = device.sectors(blocks)? {
                return device.read_many(sectors, out);
            }
        }
        blocks.in_turn(|offset| out.with_part(blocks.size(), |part| self.pread(offset, part)))
    }

    /// `pwrite(2)` of several blocks, likewise.
    pub fn pwrite_many(&self, blocks: &Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        if let Object::Device(device, _) = &self.object {
            self.check_writable()?;
            if let Some(sectors) = device.sectors(blocks)? {
                return device.write_many(sectors, data);
            }
        }
        blocks.in_turn(|offset| self.pwrite(offset, &mut data.split(blocks.size())))
    }

    fn read_at(&self, offset: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        let offset = check(offset, out.remaining())?;
        match &self.object {
            Object::File(held) if out.remaining() > 0 => held.fs.read(held.at.ino, offset, out),
            Object::File(_) => Ok(0),
            Object::Device(device, _) => device.read(offset, out),
            Object::Directory(_) => Err(Errno::EISDIR),
            Object::Pipe(_) => Err(Errno::ESPIPE),
        }
    }

    /// Bytes written, and where a write at the position leaves it.
    fn write_at(&self, offset: u64, data: &mut InBuf<'_>) -> Result<(usize, u64)> {
        let total = data.remaining();
        let offset = check(offset, total)?;
        let count = match &self.object {
            Object::File(_) if total == 0 => 0,
            Object::File(held) if self.flags & open::APPEND != 0 => {
                let end = held.fs.append(held.at.ino, data)?;
                return Ok((total - data.remaining(), end));
            }
            Object::File(held) => held.fs.write(held.at.ino, offset, data)?,
            Object::Device(device, _) => device.write(offset, data)?,
            Object::Directory(_) => return Err(Errno::EISDIR),
            Object::Pipe(_) => return Err(Errno::ESPIPE),
        };
        Ok((count, offset + count as u64))
    }

    /// `lseek(2)`.
    pub fn seek(&self, offset: i64, whence: u32) -> Result<u64> {
        if whence > seek::END {
            return Err(Errno::EINVAL);
        }
        // Each kind's end, and the farthest one may go: beyond the end of a file, but not of a device.
        let (end, farthest) = match &self.object {
            Object::Pipe(_) => return Err(Errno::ESPIPE),
            Object::Directory(_) if whence == seek::END => return Err(Errno::EINVAL),
            Object::Directory(_) => (0, i64::MAX),
            Object::Device(device, _) => (device.capacity()? as i64, device.capacity()? as i64),
            Object::File(held) if whence == seek::END => (held.fs.getattr(held.at.ino)?.size as i64, i64::MAX),
            Object::File(_) => (0, i64::MAX),
        };
        let mut position = self.position.lock();
        let target = match whence {
            seek::SET => offset,
            seek::CUR => offset.wrapping_add(*position as i64),
            _ => offset.wrapping_add(end),
        };
        if !(0..=farthest).contains(&target) {
            return Err(Errno::EINVAL);
        }
        self.set(&mut position, target as u64);
        Ok(target as u64)
    }

    /// `fsync(2)`, or `fdatasync(2)`.
    pub fn sync(&self, data_only: bool, failures: &Failures) -> Result<()> {
        match &self.object {
            Object::File(held) | Object::Directory(held) => held.sync(data_only, failures, &self.known_failures),
            Object::Device(device, _) => device.flush(),
            Object::Pipe(_) => Err(Errno::EINVAL),
        }
    }

    /// `fstat(2)`.
    pub fn stat(&self) -> Result<Stat> {
        match &self.object {
            Object::File(held) | Object::Directory(held) | Object::Device(_, held) => held.fs.getattr(held.at.ino),
            Object::Pipe(end) => Ok(end.stat()),
        }
    }

    /// `ftruncate(2)`.
    pub fn truncate(&self, size: u64) -> Result<()> {
        match &self.object {
            Object::File(held) if self.check_writable().is_ok() => held.fs.truncate(held.at.ino, size),
            _ => Err(Errno::EINVAL),
        }
    }

    /// `fallocate(2)`.
    pub fn allocate(&self, flags: u32, offset: u64, bytes: u64) -> Result<()> {
        let farthest = i64::MAX as u64;
        if offset > farthest || bytes == 0 || bytes > farthest {
            return Err(Errno::EINVAL);
        }
        if flags & !allocate::KEEP_SIZE != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        self.check_writable()?;
        match &self.object {
            Object::Pipe(_) => Err(Errno::ESPIPE),
            Object::Directory(_) => Err(Errno::EISDIR),
            _ if offset + bytes > farthest => Err(Errno::EFBIG),
            Object::Device(..) => Err(Errno::EOPNOTSUPP),
            Object::File(held) => held.fs.allocate(held.at.ino, offset, bytes, flags & allocate::KEEP_SIZE != 0),
        }
    }

    /// `getdents64(2)`.
    pub fn entries(&self, out: &mut OutBuf<'_>) -> Result<usize> {
        let mut position = self.position.lock();
        let (next, count) = match &self.object {
            Object::Directory(held) => held.fs.readdir(held.at.ino, *position, out)?,
            _ => return Err(Errno::ENOTDIR),
        };
        self.set(&mut position, next);
        Ok(count)
    }
}
