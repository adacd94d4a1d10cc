//! The format on disk. Numbers are little-endian; a block is 4096 bytes; unnamed bytes are zero and ignored.
//!
//! | blocks | what |
//! | --- | --- |
//! | 0 | superblock |
//! | 1 .. 1 + J | journal |
//! | then B | block bitmap: bit n of it is block n; a bit that is set is a block in use |
//! | then I | inode bitmap: bit n is inode n; bit 0 is always set, inode 1 is the root directory |
//! | then T | inode table: 16 inodes a block, the first slot (number 0) unused |
//! | then | data, extent blocks, directory blocks |
//! | last | copy of the superblock as mkfs wrote it |
//!
//! **Superblock** (fits one sector, so that it is never torn)
//!
//! | at | bytes | what |
//! | --- | --- | --- |
//! | 0 | 8 | magic `KDJFS\0\0\1`, the last byte being the version |
//! | 8 | 4 | blocks of the file system |
//! | 12 | 4 | blocks of the journal (J) |
//! | 16 | 4 | inodes, number 0 included |
//! | 20 | 4 | first orphan: an inode without names that was open, or one that was being truncated; 0 for none |
//! | 24 | 4 | CRC-32C of bytes 0 to 24 |
//!
//! **Inode** (256 bytes)
//!
//! | at | bytes | what |
//! | --- | --- | --- |
//! | 0 | 2 | kind: 0 free, 1 file, 2 directory, 3 symbolic link |
//! | 2 | 2 | permission bits |
//! | 4 | 4 | user |
//! | 8 | 4 | group |
//! | 12 | 4 | links |
//! | 16 | 8 | size in bytes; of a directory, of its blocks; of a symbolic link, of its target |
//! | 24 | 8 | time of the last read, nanoseconds since 1970 |
//! | 32 | 8 | time of the last change of contents |
//! | 40 | 8 | time of the last change |
//! | 48 | 4 | blocks it takes, extent blocks included |
//! | 52 | 4 | next orphan |
//! | 56 | 4 | parent directory, of a directory |
//! | 60 | 4 | extents in the inode |
//! | 64 | 4 | first extent block; 0 for none |
//! | 72 | 168 | up to 14 extents, or the target of a symbolic link of up to 168 bytes that has no extents |
//!
//! **Extent** (12 bytes): first block in the file, first block on disk, number of blocks. The highest bit of the number
//! says *unwritten*: room that reads as zeros. Extents ascend, through the inode and then its extent blocks, and do not
//! overlap.
//!
//! **Extent block**: magic `EXTB`, owner's inode number, next extent block (0 for none), number of extents, then up to 340
//! extents from byte 16 on. None is empty.
//!
//! **Directory block**: records that fill it, each a multiple of 4 bytes: inode number (4; 0 for room), length of the
//! record (2), length of the name (1), kind (1), name in UTF-8. `.` and `..` are not stored. A directory has no holes.
//! A long symbolic link's target is the start of its one block.
//!
//! **Journal**: the journal superblock, then a circular log of J - 1 blocks. Log blocks other than copies begin with a
//! header: magic `KDJL` (4), type (4), sequence number of the transaction (8).
//!
//! | block | type | at | what |
//! | --- | --- | --- | --- |
//! | journal superblock | 1 | 8 | sequence number of the transaction at the tail |
//! | | | 16 | tail: where in the log it begins (4) |
//! | | | 20 | CRC-32C of bytes 0 to 20 |
//! | descriptor | 2 | 16 | number of tags (4) |
//! | | | 20 | CRC-32C of the block with this field zero |
//! | | | 24 | tags: home block (4), flags (4; 1: the copy's first four bytes were the magic and are zeroed); the copies follow |
//! | revoke | 3 | 16 | number of blocks (4) |
//! | | | 20 | CRC-32C of the block with this field zero |
//! | | | 24 | block numbers: copies of these in this and earlier transactions are not to be replayed |
//! | commit | 4 | 16 | log blocks of the transaction before this one (4) |
//! | | | 20 | flags (4; 1: it has a checksum) |
//! | | | 24 | CRC-32C of all these blocks |
//! | | | 28 | CRC-32C of bytes 0 to 28 |
//!
//! The log is not marked empty: what follows the last commit simply does not bear the next sequence number. A replay
//! skips as many numbers as the log has blocks, so that nothing left over ever bears one again.

use kd_api::interfaces::fs::Kind;
use kd_api::{Errno, Result};

use super::crc32c::crc32c;

/// Bytes of a block.
pub const BLOCK: usize = 4096;
/// The contents of a block.
pub type Block = [u8; BLOCK];
/// Bits of a bitmap block.
pub const BITS: u32 = 8 * BLOCK as u32;
/// Bytes of an inode, and inodes of a block.
pub const INODE: usize = 256;
pub const INODES_PER_BLOCK: u32 = (BLOCK / INODE) as u32;
/// Where extents or a target begin in an inode, and bytes of them.
pub const INLINE: usize = 72;
pub const INLINE_BYTES: usize = 168;
/// Bytes of an extent, and how many an inode and an extent block hold.
pub const EXTENT: usize = 12;
pub const INODE_EXTENTS: usize = INLINE_BYTES / EXTENT;
pub const LEAF_HEADER: usize = 16;
pub const LEAF_EXTENTS: usize = (BLOCK - LEAF_HEADER) / EXTENT;
pub const LEAF_MAGIC: u32 = u32::from_le_bytes(*b"EXTB");
/// The flag of an extent's length, and the longest extent: what one bitmap block covers.
pub const UNWRITTEN: u32 = 1 << 31;
pub const EXTENT_MAX: u32 = BITS;
/// The number of the root directory.
pub const ROOT_INO: u32 = 1;
/// Largest file: block numbers within it have 32 bits.
pub const SIZE_MAX: u64 = (u32::MAX as u64) * BLOCK as u64;
/// Smallest and largest journal, in blocks.
pub const JOURNAL_MIN: u32 = 32;
pub const JOURNAL_MAX: u32 = 1 << 16;
/// The magic of log blocks, their types, the flag of an escaped copy, the flag of a checksummed commit.
pub const LOG_MAGIC: u32 = u32::from_le_bytes(*b"KDJL");
pub const LOG_SUPER: u32 = 1;
pub const LOG_DESCRIPTOR: u32 = 2;
pub const LOG_REVOKE: u32 = 3;
pub const LOG_COMMIT: u32 = 4;
pub const LOG_LIST: usize = 24;
pub const TAGS: usize = (BLOCK - LOG_LIST) / 8;
pub const REVOKES: usize = (BLOCK - LOG_LIST) / 4;
pub const ESCAPED: u32 = 1;
pub const SUMMED: u32 = 1;
/// Bytes of a directory record before its name.
pub const RECORD: usize = 8;

const MAGIC: [u8; 8] = *b"KDJFS\0\0\x01";
const SUPER_BYTES: usize = 24;

/// A number of two bytes.
pub fn get16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// A number of four bytes.
pub fn get32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(core::array::from_fn(|i| bytes[at + i]))
}

/// A number of eight bytes.
pub fn get64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(core::array::from_fn(|i| bytes[at + i]))
}

/// Writes a number of two bytes.
pub fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

/// Writes a number of four bytes.
pub fn put32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Writes a number of eight bytes.
pub fn put64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// Where everything lies: what a superblock says, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    pub blocks: u32,
    pub journal: u32,
    pub inodes: u32,
}

impl Geometry {
    /// Of so many blocks; `EINVAL` unless everything fits, with some room for data.
    pub fn new(blocks: u32, journal: u32, inodes: u32) -> Result<Geometry> {
        let geometry = Geometry { blocks, journal, inodes };
        let fits = (JOURNAL_MIN..=JOURNAL_MAX).contains(&journal)
            && inodes > ROOT_INO
            && inodes <= blocks
            && geometry.data_wide() + 8 < u64::from(blocks);
        if fits { Ok(geometry) } else { Err(Errno::EINVAL) }
    }

    /// What block 0 says; `EUCLEAN` if that is nothing sensible for a device of `capacity` blocks.
    pub fn read(block: &Block, capacity: u64) -> Result<Geometry> {
        if block[..8] != MAGIC || get32(block, SUPER_BYTES) != crc32c(0, &block[..SUPER_BYTES]) {
            return Err(Errno::EUCLEAN);
        }
        let geometry = Geometry::new(get32(block, 8), get32(block, 12), get32(block, 16));
        geometry.ok().filter(|geometry| u64::from(geometry.blocks) <= capacity).ok_or(Errno::EUCLEAN)
    }

    /// The superblock of it.
    pub fn write(&self, block: &mut Block, orphan: u32) {
        block[..8].copy_from_slice(&MAGIC);
        put32(block, 8, self.blocks);
        put32(block, 12, self.journal);
        put32(block, 16, self.inodes);
        put32(block, 20, orphan);
        let sum = crc32c(0, &block[..SUPER_BYTES]);
        put32(block, SUPER_BYTES, sum);
    }

    pub fn journal_start(&self) -> u32 {
        1
    }

    pub fn block_bitmap(&self) -> u32 {
        1 + self.journal
    }

    pub fn block_bitmaps(&self) -> u32 {
        self.blocks.div_ceil(BITS)
    }

    pub fn inode_bitmap(&self) -> u32 {
        self.block_bitmap() + self.block_bitmaps()
    }

    pub fn inode_bitmaps(&self) -> u32 {
        self.inodes.div_ceil(BITS)
    }

    pub fn inode_table(&self) -> u32 {
        self.inode_bitmap() + self.inode_bitmaps()
    }

    /// The block of the inode table that holds an inode, and where in it.
    pub fn inode_at(&self, ino: u32) -> (u32, usize) {
        (self.inode_table() + ino / INODES_PER_BLOCK, (ino % INODES_PER_BLOCK) as usize * INODE)
    }

    fn data_wide(&self) -> u64 {
        let tables = [self.journal, self.block_bitmaps(), self.inode_bitmaps(), self.inodes.div_ceil(INODES_PER_BLOCK)];
        1 + tables.iter().map(|blocks| u64::from(*blocks)).sum::<u64>()
    }

    /// The first block for data.
    pub fn data(&self) -> u32 {
        // Fits: `new` compared it with `blocks`.
        self.data_wide() as u32
    }

    /// The block after the last one for data, which is the copy of the superblock.
    pub fn data_end(&self) -> u32 {
        self.blocks - 1
    }

    /// Whether these blocks are all for data.
    pub fn is_data(&self, first: u32, count: u32) -> bool {
        first >= self.data() && first.checked_add(count).is_some_and(|end| end <= self.data_end())
    }
}

/// The first orphan, as block 0 says.
pub fn orphan_head(block: &Block) -> u32 {
    get32(block, 20)
}

/// The number of a kind on disk; none for what this file system doesn't hold.
pub fn kind_number(kind: Kind) -> Option<u8> {
    match kind {
        Kind::File => Some(1),
        Kind::Directory => Some(2),
        Kind::Symlink => Some(3),
        Kind::Block | Kind::Fifo => None,
    }
}

/// The kind of a number on disk.
pub fn kind_of(number: u16) -> Option<Kind> {
    match number {
        1 => Some(Kind::File),
        2 => Some(Kind::Directory),
        3 => Some(Kind::Symlink),
        _ => None,
    }
}

/// An inode's fields, apart from its extents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawInode {
    pub kind: Kind,
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub links: u32,
    pub size: u64,
    pub atime: u64,
    pub mtime: u64,
    pub ctime: u64,
    pub blocks: u32,
    pub next_orphan: u32,
    pub parent: u32,
}

impl RawInode {
    /// From its 256 bytes; none if it is free or of an unknown kind.
    pub fn read(bytes: &[u8]) -> Option<RawInode> {
        Some(RawInode {
            kind: kind_of(get16(bytes, 0))?,
            mode: get16(bytes, 2),
            uid: get32(bytes, 4),
            gid: get32(bytes, 8),
            links: get32(bytes, 12),
            size: get64(bytes, 16),
            atime: get64(bytes, 24),
            mtime: get64(bytes, 32),
            ctime: get64(bytes, 40),
            blocks: get32(bytes, 48),
            next_orphan: get32(bytes, 52),
            parent: get32(bytes, 56),
        })
    }

    /// Into its 256 bytes; extents stay.
    pub fn write(&self, bytes: &mut [u8]) {
        put16(bytes, 0, kind_number(self.kind).unwrap_or(0).into());
        put16(bytes, 2, self.mode);
        put32(bytes, 4, self.uid);
        put32(bytes, 8, self.gid);
        put32(bytes, 12, self.links);
        put64(bytes, 16, self.size);
        put64(bytes, 24, self.atime);
        put64(bytes, 32, self.mtime);
        put64(bytes, 40, self.ctime);
        put32(bytes, 48, self.blocks);
        put32(bytes, 52, self.next_orphan);
        put32(bytes, 56, self.parent);
    }
}

/// Blocks of a file that lie together on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub logical: u32,
    pub physical: u32,
    pub count: u32,
    pub unwritten: bool,
}

impl Extent {
    pub fn read(bytes: &[u8], at: usize) -> Extent {
        let count = get32(bytes, at + 8);
        Extent {
            logical: get32(bytes, at),
            physical: get32(bytes, at + 4),
            count: count & !UNWRITTEN,
            unwritten: count & UNWRITTEN != 0,
        }
    }

    pub fn write(&self, bytes: &mut [u8], at: usize) {
        put32(bytes, at, self.logical);
        put32(bytes, at + 4, self.physical);
        put32(bytes, at + 8, self.count | if self.unwritten { UNWRITTEN } else { 0 });
    }

    /// The block of the file after it.
    pub fn end(&self) -> u32 {
        self.logical + self.count
    }

    /// Whether it may follow one that ends before block `after` of the file.
    pub fn is_sound(&self, after: u32, geometry: &Geometry) -> bool {
        self.logical >= after
            && (1..=EXTENT_MAX).contains(&self.count)
            && self.logical.checked_add(self.count).is_some()
            && geometry.is_data(self.physical, self.count)
    }
}

/// One record of a directory block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub at: usize,
    pub length: usize,
    pub ino: u32,
    pub kind: u8,
    pub name: &'a [u8],
}

impl Record<'_> {
    /// Bytes it needs.
    pub fn needed(&self) -> usize {
        if self.ino == 0 { 0 } else { record_bytes(self.name.len()) }
    }
}

/// Bytes of a record with a name of this length.
pub fn record_bytes(name: usize) -> usize {
    (RECORD + name).next_multiple_of(4)
}

/// The records of a directory block; one `EUCLEAN`, the last, where they cease to make sense.
pub fn records(block: &Block) -> impl Iterator<Item = Result<Record<'_>>> {
    let mut at = 0;
    core::iter::from_fn(move || {
        if at == BLOCK {
            return None;
        }
        if at + RECORD > BLOCK {
            at = BLOCK;
            return Some(Err(Errno::EUCLEAN));
        }
        let length = usize::from(get16(block, at + 4));
        let name = usize::from(block[at + 6]);
        let ino = get32(block, at);
        if length < RECORD || length % 4 != 0 || length > BLOCK - at || (ino != 0 && record_bytes(name) > length) {
            at = BLOCK;
            return Some(Err(Errno::EUCLEAN));
        }
        let name = if ino == 0 { &[][..] } else { &block[at + RECORD..at + RECORD + name] };
        let record = Record { at, length, ino, kind: block[at + 7], name };
        at += length;
        Some(Ok(record))
    })
}

/// Writes a record's head; the caller has made sure of the room.
pub fn write_record(block: &mut Block, at: usize, length: usize, ino: u32, kind: u8, name: &[u8]) {
    put32(block, at, ino);
    put16(block, at + 4, length as u16);
    block[at + 6] = name.len() as u8;
    block[at + 7] = kind;
    block[at + RECORD..at + RECORD + name.len()].copy_from_slice(name);
}
