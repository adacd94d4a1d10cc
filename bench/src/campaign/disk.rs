//! The disk of a trial whose component is a file system: looked at when the machine is gone, as after a power failure.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use kd_api::interfaces::block::{BlockDevice, SECTOR, Statistics, read_each, write_each};
use kd_api::interfaces::fs::{FileSystem, ROOT};
use kd_api::{Blocks, Errno, InBuf, Ino, OutBuf, Result};
use kd_machine::memory::Memory;
use kd_subsystems::block::Partition;
use kd_subsystems::jfs::{self, Jfs, MountOptions};

use crate::app::steps::data;
use crate::app::steps::files::SIZES;

/// Bytes of it.
pub const BYTES: usize = 8 << 20;

/// The part of it that apps use as a device.
const HEAD: usize = 256 << 10;

/// Memory that a trial's device stores in, and that stays when it has gone.
pub struct TrialDisk(Memory);

impl TrialDisk {
    /// An empty one.
    ///
    /// # Errors
    /// The host has no memory.
    pub fn new() -> std::io::Result<TrialDisk> {
        Ok(TrialDisk(Memory::new("kd-trial-disk", BYTES)?))
    }

    /// Forgets what was stored.
    ///
    /// # Errors
    /// The host's.
    pub fn clear(&self) -> std::io::Result<()> {
        self.0.clear()
    }

    /// By what name a device of this machine finds it.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_fd().as_raw_fd()).into()
    }

    /// Its first bytes, in which the blocks of the apps are.
    ///
    /// # Errors
    /// The host's.
    pub fn head(&self) -> std::io::Result<Vec<u8>> {
        let mut head = vec![0; HEAD];
        File::from(self.0.as_fd().try_clone_to_owned()?).read_exact_at(&mut head, 0)?;
        Ok(head)
    }

    /// What is wrong with the file system on it, where an app of this number had these rounds' files acknowledged as
    /// stable; nothing if all is well. To be asked once: the log is replayed.
    ///
    /// # Errors
    /// The host's.
    pub fn check(&self, app: u32, stable: [Option<u64>; 4]) -> std::io::Result<Option<String>> {
        let disk = Arc::new(Stored(File::from(self.0.as_fd().try_clone_to_owned()?)));
        Ok(check(disk, app, stable).unwrap_or_else(|errno| Some(format!("the disk's file system: {errno}"))))
    }
}

fn check(disk: Arc<Stored>, app: u32, stable: [Option<u64>; 4]) -> Result<Option<String>> {
    let sectors = disk.capacity()?;
    let half = Arc::new(Partition::new(disk, sectors / 2..sectors)?);
    let fs = Jfs::mount(half.clone(), MountOptions { threads: false, ..MountOptions::default() })?;
    let mut wrong = None;
    if stable.iter().any(Option::is_some) {
        let directory = fs.lookup(ROOT, &format!("app-{app}"))?;
        for (file, round) in stable.into_iter().enumerate() {
            let Some(round) = round else { continue };
            let expected = data(app, file, round, SIZES[file]);
            let mut found = vec![0; SIZES[file]];
            let ino = Ino(fs.lookup(Ino(directory.ino), &format!("f{file}"))?.ino);
            let count = fs.read(ino, 0, &mut OutBuf::new(&mut found))?;
            if count != expected.len() || found != expected {
                wrong = Some(format!("f{file} on the disk is not what was made stable"));
            }
        }
    }
    fs.unmount()?;
    drop(fs);
    let report = jfs::fsck(&*half, false)?;
    Ok(wrong.or_else(|| report.problems.first().map(|problem| format!("fsck: {}", problem.what))))
}

/// The disk as a driver would show it.
struct Stored(File);

impl BlockDevice for Stored {
    fn capacity(&self) -> Result<u64> {
        Ok((BYTES / SECTOR) as u64)
    }

    fn read(&self, sector: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        let mut bytes = vec![0; out.remaining()];
        self.0.read_exact_at(&mut bytes, sector * SECTOR as u64).map_err(|_| Errno::EIO)?;
        Ok(out.write(&bytes))
    }

    fn write(&self, sector: u64, _: bool, data: &mut InBuf<'_>) -> Result<usize> {
        let mut bytes = vec![0; data.remaining()];
        let count = data.read(&mut bytes);
        self.0.write_all_at(&bytes, sector * SECTOR as u64).map_err(|_| Errno::EIO)?;
        Ok(count)
    }

    fn read_many(&self, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        read_each(self, &blocks, out)
    }

    fn write_many(&self, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        write_each(self, &blocks, data)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn statistics(&self) -> Result<Statistics> {
        Ok(Statistics::default())
    }
}
