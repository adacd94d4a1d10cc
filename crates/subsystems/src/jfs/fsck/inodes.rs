//! The first pass: each inode by itself, and the blocks that it claims.

use alloc::format;
use alloc::vec::Vec;

use kd_api::Result;
use kd_api::interfaces::fs::Kind;

use super::Check;
use crate::jfs::extents::leaf_list;
use crate::jfs::format::*;

/// What the later passes need of an inode.
#[derive(Clone, Debug)]
pub struct Seen {
    pub kind: Kind,
    pub links: u32,
    pub parent: u32,
    pub next_orphan: u32,
    /// Blocks of a directory, in order.
    pub blocks: Vec<u32>,
}

/// Where a list of extents ends: its extent block, or none for the inode, and how many extents before it are sound.
type End = (Option<u32>, usize);

/// The extents of one inode.
struct Walk {
    extents: Vec<Extent>,
    /// Blocks in all, extent blocks included.
    taken: u32,
    /// Where they cease to make sense, if they do.
    broken: Option<End>,
}

impl Check<'_> {
    /// Looks at every inode.
    pub fn inodes(&mut self) -> Result<()> {
        for ino in ROOT_INO..self.image.geometry.inodes {
            let bytes = self.image.inode(ino)?;
            if get16(&bytes, 0) == 0 {
                continue;
            }
            match RawInode::read(&bytes) {
                Some(raw) => self.inode(ino, &bytes, raw)?,
                None => self.clear(ino, "is of no known kind")?,
            }
        }
        Ok(())
    }

    /// Frees an inode that is beyond repair.
    fn clear(&mut self, ino: u32, why: &str) -> Result<()> {
        self.problem(format!("inode {ino} {why}"));
        self.image.change_inode(ino, |bytes| bytes.fill(0))
    }

    fn inode(&mut self, ino: u32, bytes: &[u8], mut raw: RawInode) -> Result<()> {
        let inline = raw.kind == Kind::Symlink && raw.size <= INLINE_BYTES as u64 && get32(bytes, 60) == 0;
        let target = 1..=if inline { INLINE_BYTES as u64 } else { BLOCK as u64 - 1 };
        if raw.kind == Kind::Symlink && !target.contains(&raw.size) {
            return self.clear(ino, "is a symbolic link of an impossible length");
        }
        let walk = if inline { Walk { extents: Vec::new(), taken: 0, broken: None } } else { self.walk(ino, bytes)? };
        if let Some(end) = walk.broken {
            self.problem(format!("inode {ino} has extents that make no sense, or blocks that are another's"));
            self.cut(ino, end)?;
        }
        let before = raw.clone();
        if raw.blocks != walk.taken {
            self.problem(format!("inode {ino} says it takes {} blocks, and takes {}", raw.blocks, walk.taken));
            raw.blocks = walk.taken;
        }
        if raw.mode & !0o7777 != 0 {
            self.problem(format!("inode {ino} has impossible permission bits"));
            raw.mode &= 0o7777;
        }
        let mut blocks = Vec::new();
        match raw.kind {
            Kind::Directory => {
                for extent in walk.extents.iter().take_while(|extent| !extent.unwritten) {
                    if extent.logical as usize != blocks.len() {
                        break;
                    }
                    blocks.extend(extent.physical..extent.physical + extent.count);
                }
                let size = blocks.len() as u64 * BLOCK as u64;
                if raw.size > size || !raw.size.is_multiple_of(BLOCK as u64) {
                    self.problem(format!("directory {ino} of {} bytes has {size} bytes of blocks", raw.size));
                    raw.size = size;
                }
                // What is mapped beyond the size is claimed, and of no meaning.
                blocks.truncate((raw.size / BLOCK as u64) as usize);
            }
            Kind::Symlink => {
                let size = raw.size as usize;
                let first = walk.extents.first().filter(|one| one.logical == 0 && !one.unwritten);
                let sound = match first {
                    _ if inline => is_target(&bytes[INLINE..INLINE + size]),
                    Some(extent) => is_target(&self.image.block(extent.physical)?[..size]),
                    None => false,
                };
                if !sound {
                    return self.clear(ino, "is a symbolic link without a target");
                }
            }
            _ if raw.size > SIZE_MAX => {
                self.problem(format!("inode {ino} is larger than any file"));
                raw.size = walk.extents.last().map_or(0, |last| u64::from(last.end()) * BLOCK as u64);
            }
            _ => {}
        }
        if raw != before {
            self.image.change_inode(ino, |bytes| raw.write(bytes))?;
        }
        let RawInode { kind, links, parent, next_orphan, .. } = raw;
        self.seen.insert(ino, Seen { kind, links, parent, next_orphan, blocks });
        Ok(())
    }

    /// Reads an inode's extents as far as they make sense, and claims their blocks.
    fn walk(&mut self, ino: u32, bytes: &[u8]) -> Result<Walk> {
        let mut walk = Walk { extents: Vec::new(), taken: 0, broken: None };
        let (mut leaf, mut after) = (None, 0);
        // Where the list would end without the extent block at hand.
        let mut before: End = (None, 0);
        let (mut list, mut count) = (bytes[INLINE..].to_vec(), get32(bytes, 60) as usize);
        let mut next = get32(bytes, 64);
        if count > INODE_EXTENTS {
            walk.broken = Some((None, 0));
            return Ok(walk);
        }
        loop {
            for i in 0..count {
                let extent = Extent::read(&list, i * EXTENT);
                if !extent.is_sound(after, &self.image.geometry) || !self.claim(extent.physical, extent.count) {
                    // An extent block is never empty: one without a sound extent goes.
                    walk.broken = Some(if i == 0 { before } else { (leaf, i) });
                    return Ok(walk);
                }
                after = extent.end();
                walk.taken += extent.count;
                walk.extents.push(extent);
            }
            if next == 0 {
                return Ok(walk);
            }
            before = (leaf, count);
            if !self.image.geometry.is_data(next, 1) {
                walk.broken = Some(before);
                return Ok(walk);
            }
            let block = self.image.block(next)?;
            let Ok((in_leaf, bytes)) = leaf_list(block, ino) else {
                walk.broken = Some(before);
                return Ok(walk);
            };
            (count, list) = (in_leaf, bytes.to_vec());
            let following = get32(block, 8);
            // Claimed before its extents are, so a chain that comes round ends here.
            if !self.claim(next, 1) {
                walk.broken = Some(before);
                return Ok(walk);
            }
            walk.taken += 1;
            (leaf, next) = (Some(next), following);
        }
    }

    /// Claims blocks for one inode; `false`, and nothing claimed, if one of them is another's.
    fn claim(&mut self, first: u32, count: u32) -> bool {
        if (first..first + count).any(|block| self.claimed.has(block)) {
            return false;
        }
        (first..first + count).all(|block| self.claimed.add(block))
    }

    /// Ends an inode's list of extents.
    fn cut(&mut self, ino: u32, (leaf, count): End) -> Result<()> {
        match leaf {
            None => self.image.change_inode(ino, |bytes| {
                put32(bytes, 60, count as u32);
                put32(bytes, 64, 0);
            }),
            Some(leaf) => self.image.change(leaf, |block| {
                put32(block, 12, count as u32);
                put32(block, 8, 0);
            }),
        }
    }
}

/// Whether a symbolic link may say this.
fn is_target(bytes: &[u8]) -> bool {
    core::str::from_utf8(bytes).is_ok_and(|target| !target.contains('\0'))
}
