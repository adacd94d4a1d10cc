//! Checking and repairing a file system that is not mounted, after e2fsck's passes.
//!
//! The journal is replayed first, in memory alone unless a repair is asked for. Then each inode and its extents
//! ([`inodes`]), the tree of names and the counts of links ([`directories`]), and last the bitmaps against all of it. A
//! repair changes the least that makes a structure lawful, and what that leaves behind is found by the next round: it goes
//! round until a round finds nothing.
//!
//! Any bytes whatever may be on the disk. Numbers are checked before they are used, lists that come round are ended by
//! the claim on what they consist of, and the tree is walked without recursion.

mod directories;
mod image;
mod inodes;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use kd_api::interfaces::block::BlockDevice;
use kd_api::{Errno, Result};

use super::disk::{self, zeroed};
use super::format::*;
use super::recovery::{Recovered, log_super, recover};
use image::{Image, Set};
use inodes::Seen;

/// Rounds of a repair at most: each settles what it finds, and what it leaves behind is less.
const ROUNDS: usize = 16;
/// Problems that are told one by one; the rest are counted.
const TOLD: usize = 1000;

/// Something that `fsck` found amiss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it is, for people.
    pub what: String,
}

/// What `fsck` found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Everything amiss.
    pub problems: Vec<Problem>,
    /// How many of these were repaired.
    pub repaired: usize,
}

impl Report {
    /// Whether nothing was amiss.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

/// One round.
struct Check<'a> {
    image: Image<'a>,
    problems: Vec<Problem>,
    seen: BTreeMap<u32, Seen>,
    /// Data blocks that an inode has.
    claimed: Set,
}

/// Checks a file system that is not mounted and, if asked to, repairs it.
///
/// # Errors
/// The device's; `EUCLEAN` where neither superblock makes sense, or a repair does not come to an end.
pub fn fsck(device: &dyn BlockDevice, repair: bool) -> Result<Report> {
    let mut report = Report::default();
    let geometry = match super_block(device)? {
        (geometry, true) => geometry,
        (geometry, false) => {
            report.problems.push(Problem { what: "the superblock makes no sense; its copy does".into() });
            geometry
        }
    };
    let mut image = Image::new(device, geometry);
    if !report.is_clean() {
        image.change(0, |block| geometry.write(block, 0))?;
    }
    replay(&mut image, device, &mut report)?;
    if repair {
        image.write_back()?;
    }
    let mut found = report.problems.len();
    for round in 0..ROUNDS {
        let (claimed, seen) = (Set::new(geometry.blocks), BTreeMap::new());
        let mut check = Check { image, problems: Vec::new(), seen, claimed };
        check.inodes()?;
        check.directories()?;
        if check.problems.is_empty() || round == 0 {
            check.bitmaps()?;
        }
        let left = check.problems.len();
        if round == 0 {
            found += left;
            report.problems.append(&mut check.problems);
        }
        if !repair {
            return Ok(report);
        }
        check.image.write_back()?;
        if left == 0 {
            report.repaired = found;
            return Ok(report);
        }
        image = check.image;
    }
    Err(Errno::EUCLEAN)
}

/// The geometry, and whether the superblock itself says it.
fn super_block(device: &dyn BlockDevice) -> Result<(Geometry, bool)> {
    let capacity = disk::capacity(device)?;
    let mut block = zeroed();
    disk::read(device, 0, &mut *block)?;
    if let Ok(geometry) = Geometry::read(&block, capacity) {
        return Ok((geometry, true));
    }
    let last = u32::try_from(capacity).unwrap_or(u32::MAX).checked_sub(1).ok_or(Errno::EUCLEAN)?;
    disk::read(device, last, &mut *block)?;
    Ok((Geometry::read(&block, capacity)?, false))
}

/// Brings what the journal holds into the image, and empties it.
fn replay(image: &mut Image<'_>, device: &dyn BlockDevice, report: &mut Report) -> Result<()> {
    let geometry = image.geometry;
    let start = geometry.journal_start();
    match recover(&geometry, &mut |number, block| disk::read(device, number, block)) {
        Ok(Recovered { blocks, sequence }) => {
            blocks.into_iter().for_each(|(number, block)| image.put(number, block));
            image.put(start, log_super(sequence, 1));
        }
        Err(Errno::EUCLEAN) => {
            report.problems.push(Problem { what: "the journal makes no sense; what it held is lost".into() });
            // Its numbers are not to be trusted: nothing in it may ever bear one that comes.
            (start..start + geometry.journal).for_each(|block| image.put(block, zeroed()));
            image.put(start, log_super(1, 1));
        }
        Err(errno) => return Err(errno),
    }
    // A copy of the superblock in the journal may be of another mind.
    match Geometry::read(image.block(0)?, u64::from(geometry.blocks)) {
        Ok(replayed) if replayed == geometry => Ok(()),
        _ => {
            report.problems.push(Problem { what: "the journal holds a superblock that makes no sense".into() });
            image.change(0, |block| geometry.write(block, 0))
        }
    }
}

impl Check<'_> {
    fn problem(&mut self, what: String) {
        if self.problems.len() < TOLD {
            self.problems.push(Problem { what });
        }
    }

    /// The last pass: what the bitmaps say against what was found.
    fn bitmaps(&mut self) -> Result<()> {
        let geometry = self.image.geometry;
        for number in 0..geometry.block_bitmaps() {
            let used = |check: &Self, block: u64| {
                let block = u32::try_from(block).ok().filter(|block| *block < geometry.blocks);
                block.is_none_or(|block| !geometry.is_data(block, 1) || check.claimed.has(block))
            };
            self.bitmap("block", geometry.block_bitmap(), number, used)?;
        }
        for number in 0..geometry.inode_bitmaps() {
            let used = |check: &Self, ino: u64| {
                let ino = u32::try_from(ino).ok().filter(|ino| *ino < geometry.inodes);
                ino.is_none_or(|ino| ino <= ROOT_INO || check.seen.contains_key(&ino))
            };
            self.bitmap("inode", geometry.inode_bitmap(), number, used)?;
        }
        Ok(())
    }

    fn bitmap(&mut self, what: &str, first: u32, number: u32, used: impl Fn(&Self, u64) -> bool) -> Result<()> {
        let mut right = zeroed();
        for bit in 0..BITS {
            let index = u64::from(number) * u64::from(BITS) + u64::from(bit);
            right[bit as usize / 8] |= u8::from(used(self, index)) << (bit % 8);
        }
        let here = self.image.block(first + number)?;
        let wrong: u32 = here.iter().zip(right.iter()).map(|(here, right)| (here ^ right).count_ones()).sum();
        if wrong > 0 {
            self.problem(format!("{what} bitmap {number} is wrong in {wrong} bits"));
            self.image.put(first + number, right);
        }
        Ok(())
    }
}
