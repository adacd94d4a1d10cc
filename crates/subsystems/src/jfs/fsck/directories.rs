//! The second pass: names, and what they lead to; then what no name leads to, and how many names lead to each.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use kd_api::Result;
use kd_api::interfaces::fs::Kind;

use super::Check;
use super::image::Set;
use crate::jfs::format::*;
use crate::jfs::mkfs;

/// The directory in the root for what no name led to.
const LOST: &str = "lost+found";

/// A name in a block: the inode and kind that it says, itself, and where its record begins.
type Named = (u32, u8, Vec<u8>, usize);

impl Check<'_> {
    /// Walks the tree from its root.
    pub fn directories(&mut self) -> Result<()> {
        if self.seen.get(&ROOT_INO).is_none_or(|root| root.kind != Kind::Directory) {
            self.problem("the root is no directory".into());
            self.image.change_inode(ROOT_INO, |bytes| {
                bytes.fill(0);
                mkfs::root().write(bytes);
            })?;
            // What was claimed for it is found free by the next round.
            return Ok(());
        }
        let orphans = self.orphans()?;
        let mut names: BTreeMap<u32, u32> = BTreeMap::new();
        let mut reached = Set::new(self.image.geometry.inodes);
        reached.add(ROOT_INO);
        self.tree(ROOT_INO, &mut reached, &mut names)?;
        for ino in self.seen.keys().copied().collect::<Vec<_>>() {
            let orphan = orphans.has(ino) && self.seen[&ino].links == 0 && !reached.has(ino);
            if !reached.has(ino) && !orphan {
                self.problem(format!("no name leads to inode {ino}"));
                self.adopt(ino)?;
                // A directory brings what is below it; the next round counts anew.
                reached.add(ino);
                self.tree(ino, &mut reached, &mut names)?;
                continue;
            }
            self.links(ino, orphan, names.get(&ino).copied().unwrap_or(0))?;
        }
        Ok(())
    }

    /// The inodes on the orphan list, which is cut where it makes no sense.
    fn orphans(&mut self) -> Result<Set> {
        let mut listed = Set::new(self.image.geometry.inodes);
        let (mut before, mut next) = (None, orphan_head(self.image.block(0)?));
        while next != 0 {
            let sound = next != ROOT_INO && self.seen.contains_key(&next) && !listed.has(next);
            if !sound {
                self.problem("the list of orphans makes no sense".into());
                self.end_orphans(before)?;
                break;
            }
            listed.add(next);
            (before, next) = (Some(next), self.seen[&next].next_orphan);
        }
        for ino in self.seen.keys().copied().collect::<Vec<_>>() {
            if self.seen[&ino].next_orphan != 0 && !listed.has(ino) {
                self.problem(format!("inode {ino} says it is an orphan, and is not on their list"));
                self.image.change_inode(ino, |bytes| put32(bytes, 52, 0))?;
            }
        }
        Ok(listed)
    }

    fn end_orphans(&mut self, last: Option<u32>) -> Result<()> {
        let geometry = self.image.geometry;
        match last {
            Some(ino) => self.image.change_inode(ino, |bytes| put32(bytes, 52, 0)),
            None => self.image.change(0, |block| geometry.write(block, 0)),
        }
    }

    /// Everything below a directory, without recursion: a tree may be as deep as there are inodes.
    fn tree(&mut self, from: u32, reached: &mut Set, names: &mut BTreeMap<u32, u32>) -> Result<()> {
        let mut waiting = Vec::from([from]);
        while let Some(directory) = waiting.pop() {
            if self.seen.get(&directory).is_none_or(|inode| inode.kind != Kind::Directory) {
                continue;
            }
            let mut known: BTreeSet<String> = BTreeSet::new();
            for block in self.seen[&directory].blocks.clone() {
                for (ino, kind, name, at) in self.records(directory, block)? {
                    let text = String::from_utf8(name).ok().filter(|name| is_name(name));
                    let leads = self.seen.get(&ino).filter(|inode| kind_number(inode.kind) == Some(kind));
                    let is_directory = leads.is_some_and(|inode| inode.kind == Kind::Directory);
                    let second = is_directory && reached.has(ino);
                    let sound = leads.is_some() && !second && text.is_some_and(|name| known.insert(name));
                    if !sound {
                        self.problem(format!("directory {directory} has a name that leads nowhere, or astray"));
                        self.image.change(block, |block| put32(block, at, 0))?;
                        continue;
                    }
                    reached.add(ino);
                    *names.entry(ino).or_default() += 1;
                    if is_directory {
                        *names.entry(directory).or_default() += 1;
                        self.parent(ino, directory)?;
                        waiting.push(ino);
                    }
                }
            }
        }
        Ok(())
    }

    /// The records of a directory block with names, which is emptied from where it ceases to make sense.
    fn records(&mut self, directory: u32, number: u32) -> Result<Vec<Named>> {
        let mut found = Vec::new();
        let mut broken = None;
        for record in records(self.image.block(number)?) {
            match record {
                Ok(record) if record.ino != 0 => found.push((record.ino, record.kind, record.name.to_vec(), record.at)),
                Ok(_) => {}
                Err(_) => broken = Some(()),
            }
        }
        if broken.is_some() {
            self.problem(format!("directory {directory} has a block that makes no sense"));
            self.image.change(number, |block| {
                let end = records(block).flatten().map(|record| record.at + record.length).last().unwrap_or(0);
                block[end..].fill(0);
                write_record(block, end, BLOCK - end, 0, 0, &[]);
            })?;
        }
        Ok(found)
    }

    fn parent(&mut self, ino: u32, parent: u32) -> Result<()> {
        if self.seen[&ino].parent == parent {
            return Ok(());
        }
        self.problem(format!("directory {ino} lies in {parent} and says otherwise"));
        self.image.change_inode(ino, |bytes| put32(bytes, 56, parent))
    }

    fn links(&mut self, ino: u32, orphan: bool, names: u32) -> Result<()> {
        let inode = &self.seen[&ino];
        let links = match inode.kind {
            _ if orphan => 0,
            Kind::Directory => 2 + names - u32::from(ino != ROOT_INO).min(names),
            _ => names,
        };
        if inode.links == links {
            return Ok(());
        }
        self.problem(format!("inode {ino} counts {} links and has {links}", inode.links));
        self.image.change_inode(ino, |bytes| put32(bytes, 12, links))
    }

    /// Gives an inode without a name one in `lost+found`; where there is no room for that, it goes.
    fn adopt(&mut self, ino: u32) -> Result<()> {
        let kind = self.seen[&ino].kind;
        let lost = self.lost_and_found()?;
        let placed = match lost {
            Some(lost) if lost != ino => self.add_name(lost, &format!("#{ino}"), ino, kind)?,
            _ => false,
        };
        if placed { Ok(()) } else { self.image.change_inode(ino, |bytes| bytes.fill(0)) }
    }

    fn lost_and_found(&mut self) -> Result<Option<u32>> {
        for block in self.seen[&ROOT_INO].blocks.clone() {
            let named = self.records(ROOT_INO, block)?.into_iter().find(|(_, _, name, _)| name == LOST.as_bytes());
            if let Some((ino, ..)) = named {
                return Ok(Some(ino).filter(|ino| self.seen.get(ino).is_some_and(|one| one.kind == Kind::Directory)));
            }
        }
        let free = (ROOT_INO + 1..self.image.geometry.inodes).find(|ino| !self.seen.contains_key(ino));
        let Some(ino) = free else { return Ok(None) };
        if get16(&self.image.inode(ino)?, 0) != 0 || !self.add_name(ROOT_INO, LOST, ino, Kind::Directory)? {
            return Ok(None);
        }
        let mut raw = mkfs::root();
        raw.mode = 0o700;
        self.image.change_inode(ino, |bytes| raw.write(bytes))?;
        let seen = super::inodes::Seen {
            kind: Kind::Directory,
            links: 2,
            parent: ROOT_INO,
            next_orphan: 0,
            blocks: Vec::new(),
        };
        self.seen.insert(ino, seen);
        Ok(Some(ino))
    }

    /// Adds a name to a directory; `false` where there is no room.
    fn add_name(&mut self, directory: u32, name: &str, ino: u32, kind: Kind) -> Result<bool> {
        let needed = record_bytes(name.len());
        let kind = kind_number(kind).unwrap_or(0);
        for block in self.seen[&directory].blocks.clone() {
            let found = records(self.image.block(block)?).flatten().find(|r| r.length - r.needed() >= needed);
            let Some((at, taken, length)) = found.map(|r| (r.at, r.needed(), r.length)) else { continue };
            self.image.change(block, |block| {
                if taken > 0 {
                    put16(block, at + 4, taken as u16);
                }
                write_record(block, at + taken, length - taken, ino, kind, name.as_bytes());
            })?;
            return Ok(true);
        }
        let Some(block) = self.new_block(directory)? else { return Ok(false) };
        self.image.put(block, crate::jfs::disk::zeroed());
        self.image.change(block, |block| write_record(block, 0, BLOCK, ino, kind, name.as_bytes()))?;
        Ok(true)
    }

    /// Gives a directory whose extents are all in its inode a block more.
    fn new_block(&mut self, directory: u32) -> Result<Option<u32>> {
        let bytes = self.image.inode(directory)?;
        let (count, logical) = (get32(&bytes, 60), self.seen[&directory].blocks.len() as u32);
        let geometry = self.image.geometry;
        let last = (count as usize).min(INODE_EXTENTS).checked_sub(1);
        if last.is_some_and(|last| Extent::read(&bytes, INLINE + last * EXTENT).end() != logical) {
            return Ok(None);
        }
        let free = (geometry.data()..geometry.data_end()).find(|block| !self.claimed.has(*block));
        let (Some(physical), true) = (free, (count as usize) < INODE_EXTENTS && get32(&bytes, 64) == 0) else {
            return Ok(None);
        };
        self.claimed.add(physical);
        self.image.change_inode(directory, |bytes| {
            let extent = Extent { logical, physical, count: 1, unwritten: false };
            extent.write(bytes, INLINE + count as usize * EXTENT);
            put32(bytes, 60, count + 1);
            put64(bytes, 16, (u64::from(logical) + 1) * BLOCK as u64);
            let blocks = get32(bytes, 48);
            put32(bytes, 48, blocks + 1);
        })?;
        if let Some(seen) = self.seen.get_mut(&directory) {
            seen.blocks.push(physical);
        }
        Ok(Some(physical))
    }
}

fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}
