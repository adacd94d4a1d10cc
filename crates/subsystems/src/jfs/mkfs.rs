//! Making an empty file system.

use kd_api::interfaces::block::BlockDevice;
use kd_api::interfaces::fs::Kind;
use kd_api::{Errno, Result};

use super::disk::{self, zeroed};
use super::format::*;
use super::recovery::log_super;

/// How a file system is to be laid out; 0 stands for what fits the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MkfsOptions {
    /// Blocks of the journal.
    pub journal_blocks: u32,
    /// Inodes in all.
    pub inodes: u32,
}

/// Makes an empty file system: `EINVAL` if the device is too small for what was asked. Whatever was there is lost.
///
/// The superblock is written last, so that a disk on which this was cut short has none.
pub fn mkfs(device: &dyn BlockDevice, options: &MkfsOptions) -> Result<()> {
    let blocks = u32::try_from(disk::capacity(device)?).unwrap_or(u32::MAX);
    let or = |given, fitting: u32| if given == 0 { fitting } else { given };
    let journal = or(options.journal_blocks, (blocks / 32).clamp(64, 8192).min((blocks / 4).max(JOURNAL_MIN)));
    let inodes = or(options.inodes, (blocks / 2).max(16));
    let geometry = Geometry::new(blocks, journal, inodes.div_ceil(INODES_PER_BLOCK).saturating_mul(INODES_PER_BLOCK))
        .or_else(|_| Geometry::new(blocks, journal, inodes))?;

    let zeros = zeroed();
    disk::write(device, 0, false, &*zeros)?;
    // Nothing in an old log may bear a number that will come.
    disk::write_home(device, (geometry.journal_start()..geometry.data()).map(|block| (block, &*zeros)))?;
    disk::write(device, geometry.journal_start(), false, &*log_super(1, 1))?;
    let fill = |first: u32, bits: u32, taken: &dyn Fn(u32) -> bool| {
        for number in 0..bits.div_ceil(BITS) {
            let mut block = zeroed();
            for bit in 0..BITS {
                let index = u64::from(number) * u64::from(BITS) + u64::from(bit);
                let used = index >= u64::from(bits) || taken(index as u32);
                block[bit as usize / 8] |= u8::from(used) << (bit % 8);
            }
            disk::write(device, first + number, false, &*block)?;
        }
        Ok::<(), Errno>(())
    };
    fill(geometry.block_bitmap(), geometry.blocks, &|block| !geometry.is_data(block, 1))?;
    fill(geometry.inode_bitmap(), geometry.inodes, &|ino| ino <= ROOT_INO)?;
    let mut block = zeroed();
    let (table, at) = geometry.inode_at(ROOT_INO);
    root().write(&mut block[at..at + INODE]);
    disk::write(device, table, false, &*block)?;

    let mut block = zeroed();
    geometry.write(&mut block, 0);
    disk::write(device, geometry.data_end(), false, &*block)?;
    device.flush()?;
    disk::write(device, 0, false, &*block)?;
    device.flush()
}

/// An empty root directory.
pub fn root() -> RawInode {
    let now = kd_sync::now();
    RawInode {
        kind: Kind::Directory,
        mode: 0o755,
        uid: 0,
        gid: 0,
        links: 2,
        size: 0,
        atime: now,
        mtime: now,
        ctime: now,
        blocks: 0,
        next_orphan: 0,
        parent: ROOT_INO,
    }
}

/// Whether a disk is blank: its first block is all zero.
pub fn is_blank(device: &dyn BlockDevice) -> Result<bool> {
    let mut block = zeroed();
    disk::read(device, 0, &mut *block)?;
    Ok(block.iter().all(|byte| *byte == 0))
}
