//! The file system over a disk in memory, against literal expectations.

mod crash;
mod memory;
mod operations;

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use kd_api::hotplug::Hotplug;
use kd_api::interfaces::block::BlockDevice;
use kd_api::interfaces::fs::{FileSystem, Kind, Owner, ROOT};
use kd_api::{Handle, InBuf, Ino, OutBuf, Result};

use super::{Jfs, MkfsOptions, MountOptions, fsck, mkfs};
use memory::Memory;

const OWNER: Owner = Owner { uid: 7, gid: 8, mode: 0o640 };

fn disk(blocks: usize) -> Arc<Memory> {
    let disk = Arc::new(Memory::new(blocks));
    mkfs(&*disk, &MkfsOptions { journal_blocks: 64, inodes: 256 }).expect("large enough");
    disk
}

fn mount(disk: &Arc<Memory>) -> Arc<Jfs> {
    Jfs::mount(disk.clone(), MountOptions::default()).expect("sound")
}

/// Else a sync would pass for one by the mount that a write went to; the time may be the same for as long as a mount lives.
#[test]
fn no_mount_is_taken_for_an_earlier_one_though_no_time_passes() {
    let disk = disk(512);
    let mut instances = BTreeSet::new();
    for _ in 0..3 {
        let fs = mount(&disk);
        let instance = fs.fsync(ROOT, false).expect("it is there");
        assert_eq!(fs.hold(ROOT), Ok(instance));
        assert!(instances.insert(instance), "{instance} again");
    }
    assert_eq!(kd_sync::now(), 0, "there is no clock");
}

fn make(fs: &Jfs, at: Ino, name: &str, kind: Kind) -> Ino {
    Ino(fs.create(at, name, kind, OWNER).expect("made").ino)
}

fn find(fs: &Jfs, at: Ino, name: &str) -> Result<Ino> {
    fs.lookup(at, name).map(|stat| Ino(stat.ino))
}

fn write(fs: &Jfs, ino: Ino, offset: u64, bytes: &[u8]) -> Result<usize> {
    fs.write(ino, offset, &mut InBuf::new(bytes))
}

fn read(fs: &Jfs, ino: Ino, offset: u64, room: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0xEE; room];
    let count = fs.read(ino, offset, &mut OutBuf::new(&mut bytes))?;
    bytes.truncate(count);
    Ok(bytes)
}

fn whole(fs: &Jfs, ino: Ino) -> Vec<u8> {
    let size = fs.getattr(ino).expect("there").size as usize;
    read(fs, ino, 0, size).expect("readable")
}

fn list(fs: &Jfs, directory: Ino, mut cursor: u64, room: usize) -> Vec<String> {
    let mut names = vec![];
    loop {
        let mut bytes = vec![0; room];
        let (next, count) = fs.readdir(directory, cursor, &mut OutBuf::new(&mut bytes)).expect("listed");
        if count == 0 {
            return names;
        }
        let mut rest = &bytes[..count];
        while !rest.is_empty() {
            let length = usize::from(rest[16]) + 256 * usize::from(rest[17]);
            let name = rest[19..length].split(|b| *b == 0).next().expect("one piece at least");
            names.push(String::from_utf8_lossy(name).into_owned());
            rest = &rest[length..];
        }
        cursor = next;
    }
}

/// Bytes that differ from place to place and from seed to seed.
fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Checks the disk, which must be clean.
fn check(disk: &Memory) {
    let report = fsck(disk, false).expect("readable");
    assert!(report.is_clean(), "{:?}", report.problems);
}
