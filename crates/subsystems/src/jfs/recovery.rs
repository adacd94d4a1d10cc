//! Replay: which blocks the log holds that their homes may lack, after jbd2's three passes in one and a half.
//!
//! The log is walked from its tail as long as sequence numbers go on and checksums hold. Of each home block the last
//! copy counts, unless a revoke record as late or later names it.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use kd_api::{Errno, Result};

use super::crc32c::crc32c;
use super::disk::zeroed;
use super::format::*;

/// What a replay has to write, and where the log goes on.
pub struct Recovered {
    /// Contents by home block.
    pub blocks: BTreeMap<u32, Box<Block>>,
    /// The number of the next transaction; none in the log bears it or a later one.
    pub sequence: u64,
}

/// Reads a block of the disk.
pub type Read<'a> = dyn FnMut(u32, &mut Block) -> Result<()> + 'a;

/// The journal superblock.
pub fn log_super(sequence: u64, tail: u32) -> Box<Block> {
    let mut block = zeroed();
    put32(&mut *block, 0, LOG_MAGIC);
    put32(&mut *block, 4, LOG_SUPER);
    put64(&mut *block, 8, sequence);
    put32(&mut *block, 16, tail);
    let sum = crc32c(0, &block[..20]);
    put32(&mut *block, 20, sum);
    block
}

/// The position in a log of `journal - 1` blocks after `position`; 0 is the journal superblock.
pub fn after(position: u32, journal: u32) -> u32 {
    if position + 1 < journal { position + 1 } else { 1 }
}

/// The checksum of a descriptor or revoke block.
pub fn list_sum(block: &Block) -> u32 {
    crc32c(crc32c(crc32c(0, &block[..20]), &[0; 4]), &block[LOG_LIST..])
}

#[derive(Clone, Copy)]
struct Copy {
    sequence: u64,
    position: u32,
    escaped: bool,
}

#[derive(Default)]
struct Transaction {
    copies: Vec<(u32, Copy)>,
    revoked: Vec<u32>,
}

struct Walk<'a, 'b> {
    geometry: &'a Geometry,
    read: &'a mut Read<'b>,
    position: u32,
    /// Log blocks not yet looked at.
    left: u32,
}

impl Walk<'_, '_> {
    fn next(&mut self, block: &mut Block) -> Result<bool> {
        if self.left == 0 {
            return Ok(false);
        }
        (self.read)(self.geometry.journal_start() + self.position, block)?;
        self.left -= 1;
        self.position = after(self.position, self.geometry.journal);
        Ok(true)
    }

    /// The next transaction, if it is complete.
    fn transaction(&mut self, sequence: u64) -> Result<Option<Transaction>> {
        let mut found = Transaction::default();
        let (mut block, mut copy) = (zeroed(), zeroed());
        let (mut sum, mut count) = (0, 0);
        while self.next(&mut block)? {
            if get32(&*block, 0) != LOG_MAGIC || get64(&*block, 8) != sequence {
                return Ok(None);
            }
            let entries = get32(&*block, 16) as usize;
            match get32(&*block, 4) {
                LOG_DESCRIPTOR if entries <= TAGS && get32(&*block, 20) == list_sum(&block) => {
                    sum = crc32c(sum, &*block);
                    count += 1;
                    for tag in 0..entries {
                        let position = self.position;
                        if !self.next(&mut copy)? {
                            return Ok(None);
                        }
                        sum = crc32c(sum, &*copy);
                        count += 1;
                        let at = LOG_LIST + 8 * tag;
                        let escaped = get32(&*block, at + 4) & ESCAPED != 0;
                        found.copies.push((get32(&*block, at), Copy { sequence, position, escaped }));
                    }
                }
                LOG_REVOKE if entries <= REVOKES && get32(&*block, 20) == list_sum(&block) => {
                    sum = crc32c(sum, &*block);
                    count += 1;
                    found.revoked.extend((0..entries).map(|i| get32(&*block, LOG_LIST + 4 * i)));
                }
                LOG_COMMIT if entries == count && get32(&*block, 28) == crc32c(0, &block[..28]) => {
                    let whole = get32(&*block, 20) & SUMMED == 0 || get32(&*block, 24) == sum;
                    return Ok(whole.then_some(found));
                }
                _ => return Ok(None),
            }
        }
        Ok(None)
    }
}

/// Finds what the log holds; `EUCLEAN` if its superblock makes no sense, or a sealed copy has no lawful home.
pub fn recover(geometry: &Geometry, read: &mut Read<'_>) -> Result<Recovered> {
    let mut block = zeroed();
    read(geometry.journal_start(), &mut block)?;
    let (mut sequence, tail) = (get64(&*block, 8), get32(&*block, 16));
    let sound = get32(&*block, 0) == LOG_MAGIC
        && get32(&*block, 4) == LOG_SUPER
        && get32(&*block, 20) == crc32c(0, &block[..20])
        && (1..geometry.journal).contains(&tail)
        && sequence < u64::MAX / 2;
    if !sound {
        return Err(Errno::EUCLEAN);
    }
    let mut walk = Walk { geometry, read, position: tail, left: geometry.journal - 1 };
    let mut latest: BTreeMap<u32, Copy> = BTreeMap::new();
    let mut revoked: BTreeMap<u32, u64> = BTreeMap::new();
    while let Some(transaction) = walk.transaction(sequence)? {
        let lawful = |home: u32| home == 0 || (home >= geometry.block_bitmap() && home < geometry.data_end());
        if transaction.copies.iter().any(|(home, _)| !lawful(*home)) {
            return Err(Errno::EUCLEAN);
        }
        latest.extend(transaction.copies);
        revoked.extend(transaction.revoked.into_iter().map(|home| (home, sequence)));
        sequence += 1;
    }
    latest.retain(|home, copy| revoked.get(home).is_none_or(|revoke| *revoke < copy.sequence));
    let mut blocks = BTreeMap::new();
    for (home, copy) in latest {
        let mut block = zeroed();
        read(geometry.journal_start() + copy.position, &mut block)?;
        if copy.escaped {
            put32(&mut *block, 0, LOG_MAGIC);
        }
        blocks.insert(home, block);
    }
    Ok(Recovered { blocks, sequence: sequence + u64::from(geometry.journal) })
}
