//! The file system against literal expectations.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use kd_api::interfaces::fs::{FileSystem, Kind, Owner, ROOT, SetAttr, rename};
use kd_api::{Errno, InBuf, Ino, OutBuf};

use super::RamFs;

pub fn owner(mode: u16) -> Owner {
    Owner { uid: 0, gid: 0, mode }
}

fn fs() -> RamFs {
    RamFs::new().expect("an empty file system")
}

pub fn make(fs: &RamFs, at: Ino, name: &str, kind: Kind) -> Ino {
    Ino(fs.create(at, name, kind, owner(0o644)).expect("made").ino)
}

pub fn list(fs: &RamFs, directory: Ino, mut cursor: u64, room: usize) -> Vec<String> {
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

#[test]
fn links_and_sizes_follow_tmpfs() {
    let fs = fs();
    let a = make(&fs, ROOT, "a", Kind::Directory);
    make(&fs, a, "b", Kind::Directory);
    make(&fs, a, "f", Kind::File);
    let stat = fs.getattr(a).expect("there");
    assert_eq!((stat.links, stat.size, stat.mode), (3, 80, 0o644));
    assert_eq!(fs.rename(a, "b", ROOT, "b", 0), Ok(()));
    assert_eq!(fs.getattr(a).map(|s| s.links), Ok(2));
    assert_eq!(fs.getattr(ROOT).map(|s| (s.links, s.size)), Ok((4, 80)));
    assert_eq!(fs.lookup(ROOT, "b").and_then(|b| fs.lookup(Ino(b.ino), "..")).map(|s| s.ino), Ok(ROOT.0));
}

#[test]
fn a_held_file_outlives_its_name() {
    let fs = fs();
    let f = make(&fs, ROOT, "f", Kind::File);
    assert_eq!(fs.hold(f).map(drop), Ok(()));
    assert_eq!(fs.write(f, 0, &mut InBuf::new(b"kept")), Ok(4));
    assert_eq!(fs.unlink(ROOT, "f"), Ok(()));
    assert_eq!(fs.lookup(ROOT, "f"), Err(Errno::ENOENT));
    let mut room = [0; 4];
    assert_eq!(fs.read(f, 0, &mut OutBuf::new(&mut room)), Ok(4));
    assert_eq!((&room, fs.getattr(f).map(|s| s.links)), (b"kept", Ok(0)));
    assert_eq!(fs.release(f), Ok(()));
    assert_eq!(fs.getattr(f), Err(Errno::ENOENT));
    assert_eq!(fs.hold(f).map(drop), Err(Errno::ENOENT));
    assert_eq!(fs.inodes.len(), 1, "only the root is left");
}

#[test]
fn holds_are_counted() {
    let fs = fs();
    let f = make(&fs, ROOT, "f", Kind::File);
    assert_eq!(fs.release(f), Err(Errno::EINVAL));
    assert_eq!(fs.getattr(f).map(|s| s.links), Ok(1));
}

#[test]
fn rename_replaces_and_refuses() {
    let fs = fs();
    let a = make(&fs, ROOT, "a", Kind::Directory);
    let b = make(&fs, a, "b", Kind::Directory);
    make(&fs, ROOT, "f", Kind::File);
    make(&fs, b, "g", Kind::File);
    assert_eq!(fs.rename(ROOT, "a", b, "x", 0), Err(Errno::EINVAL));
    assert_eq!(fs.rename(b, "g", ROOT, "a", 0), Err(Errno::ENOTEMPTY));
    assert_eq!(fs.rename(ROOT, "f", a, "b", 0), Err(Errno::EISDIR));
    assert_eq!(fs.rename(a, "b", ROOT, "f", 0), Err(Errno::ENOTDIR));
    assert_eq!(fs.rename(ROOT, "f", b, "g", 0), Ok(()));
    make(&fs, ROOT, "c", Kind::Directory);
    assert_eq!(fs.rename(ROOT, "c", a, "b", 0), Err(Errno::ENOTEMPTY));
    assert_eq!(fs.unlink(b, "g"), Ok(()));
    assert_eq!(fs.rename(ROOT, "c", a, "b", 0), Ok(()));
    assert_eq!(fs.getattr(a).map(|s| s.links), Ok(3));
    assert_eq!(fs.getattr(b), Err(Errno::ENOENT));
    assert_eq!(fs.create(b, "late", Kind::File, owner(0)), Err(Errno::ENOENT));
    assert_eq!(fs.inodes.len(), 3);
}

#[test]
fn nothing_grows_in_a_removed_directory() {
    let fs = fs();
    let old = make(&fs, ROOT, "old", Kind::Directory);
    make(&fs, ROOT, "new", Kind::Directory);
    make(&fs, ROOT, "f", Kind::File);
    assert_eq!(fs.hold(old).map(drop), Ok(()));
    assert_eq!(fs.rename(ROOT, "new", ROOT, "old", 0), Ok(()));
    assert_eq!(fs.create(old, "x", Kind::File, owner(0)), Err(Errno::ENOENT));
    assert_eq!(fs.rename(ROOT, "f", old, "x", 0), Err(Errno::ENOENT));
    assert_eq!(fs.readdir(old, 0, &mut OutBuf::new(&mut [0; 64])), Err(Errno::ENOENT));
    assert_eq!(fs.release(old), Ok(()));
    assert_eq!(fs.getattr(ROOT).map(|s| s.links), Ok(3));
}

#[test]
fn a_listing_goes_on_where_it_stopped() {
    let fs = fs();
    for name in ["a", "b", "c", "d"] {
        make(&fs, ROOT, name, Kind::File);
    }
    assert_eq!(list(&fs, ROOT, 0, 24), [".", "..", "a", "b", "c", "d"]);
    let (next, bytes) = fs.readdir(ROOT, 0, &mut OutBuf::new(&mut [0; 96])).expect("listed");
    assert_eq!(bytes, 96);
    assert_eq!(fs.unlink(ROOT, "a"), Ok(()));
    assert_eq!(fs.unlink(ROOT, "c"), Ok(()));
    make(&fs, ROOT, "e", Kind::File);
    assert_eq!(list(&fs, ROOT, next, 1000), ["d", "e"]);
    assert_eq!(fs.readdir(ROOT, 0, &mut OutBuf::new(&mut [0; 23])), Err(Errno::EINVAL));
}

#[test]
fn what_is_cut_off_is_gone() {
    let fs = fs();
    let f = make(&fs, ROOT, "f", Kind::File);
    assert_eq!(fs.write(f, 0, &mut InBuf::new(&[7; 5000])), Ok(5000));
    assert_eq!((fs.truncate(f, 3), fs.truncate(f, 5000)), (Ok(()), Ok(())));
    let mut room = [1; 5000];
    assert_eq!(fs.read(f, 0, &mut OutBuf::new(&mut room)), Ok(5000));
    assert_eq!((&room[..3], room[3..].iter().all(|byte| *byte == 0)), (&[7; 3][..], true));
}

#[test]
fn claims_of_a_peer_are_refused() {
    let fs = fs();
    let f = make(&fs, ROOT, "f", Kind::File);
    assert_eq!(fs.lookup(f, "x"), Err(Errno::ENOTDIR));
    assert_eq!(fs.lookup(Ino(99), "x"), Err(Errno::ENOENT));
    assert_eq!(fs.read(ROOT, 0, &mut OutBuf::new(&mut [0; 8])), Err(Errno::EISDIR));
    assert_eq!(fs.create(ROOT, "a/b", Kind::File, owner(0)), Err(Errno::EINVAL));
    assert_eq!(fs.create(ROOT, "..", Kind::File, owner(0)), Err(Errno::EEXIST));
    assert_eq!(fs.create(ROOT, "p", Kind::Fifo, owner(0)), Err(Errno::EINVAL));
    assert_eq!(fs.create(ROOT, &"x".repeat(256), Kind::File, owner(0)), Err(Errno::ENAMETOOLONG));
    assert_eq!(fs.rename(ROOT, "f", ROOT, "..", 0), Err(Errno::EBUSY));
    assert_eq!(fs.truncate(f, u64::MAX), Err(Errno::EFBIG));
}

#[test]
fn names_of_a_file_are_counted() {
    let fs = fs();
    let d = make(&fs, ROOT, "d", Kind::Directory);
    let f = make(&fs, ROOT, "f", Kind::File);
    assert_eq!(fs.link(f, d, "g").map(|stat| (stat.ino, stat.links)), Ok((f.0, 2)));
    assert_eq!(fs.link(f, d, "g"), Err(Errno::EEXIST));
    assert_eq!(fs.link(d, ROOT, "e"), Err(Errno::EPERM));
    assert_eq!(fs.rename(ROOT, "f", d, "g", 0), Ok(()), "the same file: nothing happens");
    assert_eq!(fs.getattr(f).map(|stat| stat.links), Ok(2));
    assert_eq!((fs.unlink(ROOT, "f"), fs.hold(f).map(drop), fs.unlink(d, "g")), (Ok(()), Ok(()), Ok(())));
    assert_eq!(fs.link(f, d, "h"), Err(Errno::ENOENT), "held, but nameless for good");
    assert_eq!(fs.release(f), Ok(()));
    assert_eq!(fs.getattr(f), Err(Errno::ENOENT));
}

#[test]
fn an_exchange_moves_both() {
    let fs = fs();
    let a = make(&fs, ROOT, "a", Kind::Directory);
    let f = make(&fs, a, "f", Kind::File);
    let b = make(&fs, ROOT, "b", Kind::Directory);
    assert_eq!(fs.rename(a, "f", ROOT, "b", rename::EXCHANGE), Ok(()));
    assert_eq!((fs.lookup(a, "f").map(|s| s.ino), fs.lookup(ROOT, "b").map(|s| s.ino)), (Ok(b.0), Ok(f.0)));
    assert_eq!((fs.getattr(a).map(|s| s.links), fs.getattr(ROOT).map(|s| s.links)), (Ok(3), Ok(3)));
    assert_eq!(fs.lookup(b, "..").map(|s| s.ino), Ok(a.0));
    assert_eq!(fs.rename(ROOT, "a", a, "f", rename::EXCHANGE), Err(Errno::EINVAL));
    assert_eq!(fs.rename(a, "f", ROOT, "a", rename::EXCHANGE), Err(Errno::EINVAL));
    assert_eq!(fs.rename(ROOT, "a", ROOT, "none", rename::EXCHANGE), Err(Errno::ENOENT));
    assert_eq!(fs.rename(ROOT, "a", ROOT, "b", rename::EXCHANGE), Ok(()));
    assert_eq!(fs.lookup(ROOT, "b").map(|s| s.ino), Ok(a.0));
    assert_eq!(fs.rename(ROOT, "b", ROOT, "a", rename::NOREPLACE), Err(Errno::EEXIST));
    assert_eq!(fs.rename(ROOT, "b", ROOT, "c", rename::NOREPLACE), Ok(()));
    assert_eq!(fs.rename(ROOT, "c", ROOT, "d", 3), Err(Errno::EINVAL));
}

#[test]
fn directories_and_symbolic_links_come_and_go() {
    let fs = fs();
    let d = make(&fs, ROOT, "d", Kind::Directory);
    let link = fs.symlink(d, "l", "../x", owner(0o777)).expect("made");
    assert_eq!((link.kind, link.size, link.blocks), (Kind::Symlink, 4, 0));
    let mut room = [0; 3];
    assert_eq!(fs.readlink(Ino(link.ino), &mut OutBuf::new(&mut room)), Ok(3));
    assert_eq!((&room, fs.readlink(d, &mut OutBuf::new(&mut [0]))), (b"../", Err(Errno::EINVAL)));
    assert_eq!(fs.symlink(d, "m", "", owner(0o777)), Err(Errno::ENOENT));
    assert_eq!(fs.symlink(d, "m", &"x".repeat(128), owner(0o777)).map(|s| s.blocks), Ok(8));
    assert_eq!(fs.read(Ino(link.ino), 0, &mut OutBuf::new(&mut [0])), Err(Errno::EINVAL));
    assert_eq!((fs.rmdir(d, "l"), fs.rmdir(ROOT, "d")), (Err(Errno::ENOTDIR), Err(Errno::ENOTEMPTY)));
    assert_eq!((fs.unlink(d, "l"), fs.unlink(d, "m"), fs.rmdir(ROOT, "d")), (Ok(()), Ok(()), Ok(())));
    assert_eq!((fs.getattr(ROOT).map(|s| s.links), fs.inodes.len()), (Ok(2), 1));
}

#[test]
fn attributes_change_one_by_one() {
    let fs = fs();
    let f = make(&fs, ROOT, "f", Kind::File);
    let to = SetAttr { uid: Some(5), mtime: Some(77), ..SetAttr::default() };
    let stat = fs.setattr(f, to).expect("there");
    assert_eq!((stat.uid, stat.gid, stat.mode, stat.mtime), (5, 0, 0o644, 77));
    let stat = fs.setattr(f, SetAttr { mode: Some(0o1_7777), gid: Some(6), ..SetAttr::default() }).expect("there");
    assert_eq!((stat.uid, stat.gid, stat.mode, stat.mtime), (5, 6, 0o7777, 77));
    assert_eq!(fs.allocate(f, 0, 4097, true), Ok(()));
    assert_eq!(fs.getattr(f).map(|stat| (stat.size, stat.blocks)), Ok((0, 16)));
}
