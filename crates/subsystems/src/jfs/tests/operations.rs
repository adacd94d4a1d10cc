//! Each operation, before and after a mount.

use kd_api::Errno;
use kd_api::interfaces::fs::{SetAttr, rename};

use super::*;

#[test]
fn everything_is_there_after_a_mount() {
    let disk = disk(1024);
    let fs = mount(&disk);
    let data = pattern(1, 300_000);
    let a = make(&fs, ROOT, "a", Kind::Directory);
    let f = make(&fs, a, "f", Kind::File);
    assert_eq!(write(&fs, f, 0, &data), Ok(data.len()));
    assert_eq!(whole(&fs, f), data);
    let long = "x/".repeat(1000);
    fs.symlink(a, "short", "f", OWNER).expect("made");
    fs.symlink(a, "long", &long, OWNER).expect("made");
    assert_eq!(fs.link(f, ROOT, "g").map(|stat| stat.links), Ok(2));
    let change = SetAttr { mode: Some(0o600), mtime: Some(12), ..SetAttr::default() };
    fs.setattr(f, change).expect("changed");
    assert_eq!(fs.sync(), Ok(()));
    let before = fs.getattr(f).expect("there");
    assert_eq!(fs.unmount(), Ok(()));
    drop(fs);
    check(&disk);

    let fs = mount(&disk);
    assert_eq!(list(&fs, ROOT, 0, 100), [".", "..", "a", "g"]);
    assert_eq!(list(&fs, a, 0, 48), [".", "..", "f", "short", "long"]);
    assert_eq!(find(&fs, a, "f"), Ok(f));
    assert_eq!(find(&fs, a, ".."), Ok(ROOT));
    assert_eq!(fs.getattr(f), Ok(before));
    assert_eq!((before.mode, before.uid, before.gid, before.mtime, before.blocks), (0o600, 7, 8, 12, 74 * 8));
    assert_eq!(whole(&fs, f), data);
    for (name, target) in [("short", "f"), ("long", &long)] {
        let mut room = [0; 4096];
        let ino = find(&fs, a, name).expect("there");
        let count = fs.readlink(ino, &mut OutBuf::new(&mut room)).expect("a link");
        assert_eq!(&room[..count], target.as_bytes());
    }
}

#[test]
fn what_is_in_use_stays_mounted() {
    let disk = disk(1024);
    let fs = mount(&disk);
    let f = make(&fs, ROOT, "f", Kind::File);
    assert_eq!((fs.hold(f).map(drop), fs.unplug("blk")), (Ok(()), Err(Errno::EBUSY)));
    assert_eq!(write(&fs, f, 0, b"still here"), Ok(10));
    assert_eq!((fs.release(f), fs.unplug("blk")), (Ok(()), Ok(())));
    assert_eq!((fs.getattr(f).map(drop), fs.sync(), fs.unmount()), (Err(Errno::ENXIO), Ok(()), Ok(())));
    check(&disk);
    // The same object again, as when its driver comes back.
    let device: Arc<dyn BlockDevice> = disk.clone();
    fs.plug("blk", &Handle::new(device));
    assert_eq!(fs.getattr(f).map(drop), Err(Errno::ENXIO), "its half of this disk is none");
}

#[test]
fn what_was_freed_is_all_there_again() {
    let disk = disk(1024);
    let fs = mount(&disk);
    let free = fs.statfs().expect("known");
    let a = make(&fs, ROOT, "a", Kind::Directory);
    for i in 0..50 {
        let f = make(&fs, a, &alloc::format!("f{i}"), Kind::File);
        assert_eq!(write(&fs, f, i * 5000, &pattern(i, 9000)), Ok(9000));
    }
    fs.symlink(a, "long", &"y".repeat(2000), OWNER).expect("made");
    assert_eq!(fs.rmdir(ROOT, "a"), Err(Errno::ENOTEMPTY));
    for i in 0..50 {
        assert_eq!(fs.unlink(a, &alloc::format!("f{i}")), Ok(()));
    }
    assert_eq!(fs.unlink(a, "long"), Ok(()));
    assert_eq!(fs.rmdir(ROOT, "a"), Ok(()));
    assert_eq!(fs.sync(), Ok(()));
    let after = fs.statfs().expect("known");
    // The root directory has got its first block.
    assert_eq!((after.free + 1, after.free_files), (free.free, free.free_files));
    assert_eq!(fs.unmount(), Ok(()));
    check(&disk);
}

/// A crash brings back a file whose end was not committed: nobody else may have its number then.
#[test]
fn a_number_is_free_again_only_after_the_commit() {
    let disk = disk(1024);
    let fs = mount(&disk);
    let old = make(&fs, ROOT, "old", Kind::File);
    assert_eq!(fs.unmount(), Ok(()));
    // The first search of a mount begins at the lowest number.
    let fs = mount(&disk);
    assert_eq!(fs.unlink(ROOT, "old"), Ok(()));
    let new = make(&fs, ROOT, "new", Kind::File);
    assert_ne!(new, old);
    assert_eq!(fs.unmount(), Ok(()));
    let fs = mount(&disk);
    assert_eq!(make(&fs, ROOT, "newer", Kind::File), old, "it is committed");
    // Where no other is left, the commit is not waited for in vain.
    let free = fs.statfs().expect("known").free_files;
    for i in 0..free {
        make(&fs, ROOT, &alloc::format!("f{i}"), Kind::File);
    }
    assert_eq!(fs.create(ROOT, "more", Kind::File, OWNER).map(|_| ()), Err(Errno::ENOSPC));
    assert_eq!(fs.unlink(ROOT, "f7"), Ok(()));
    make(&fs, ROOT, "more", Kind::File);
    assert_eq!(fs.unmount(), Ok(()));
    check(&disk);
}

#[test]
fn holes_and_cut_tails_read_as_zeros() {
    let disk = disk(1024);
    let fs = mount(&disk);
    let f = make(&fs, ROOT, "f", Kind::File);
    assert_eq!(write(&fs, f, 4094, b"abcd"), Ok(4));
    assert_eq!(write(&fs, f, 5 * 4096, b"z"), Ok(1));
    assert_eq!(fs.getattr(f).map(|stat| (stat.size, stat.blocks)), Ok((5 * 4096 + 1, 3 * 8)));
    assert_eq!(read(&fs, f, 4092, 8).as_deref(), Ok(&b"\0\0abcd\0\0"[..]));
    assert_eq!(read(&fs, f, 5 * 4096 - 1, 100).as_deref(), Ok(&b"\0z"[..]));
    assert_eq!(read(&fs, f, u64::MAX, 100).as_deref(), Ok(&b""[..]));
    assert_eq!(fs.truncate(f, 4095), Ok(()));
    assert_eq!(fs.truncate(f, 4100), Ok(()));
    assert_eq!(read(&fs, f, 4093, 100).as_deref(), Ok(&b"\0a\0\0\0\0\0"[..]));
    assert_eq!(fs.truncate(f, 4095), Ok(()));
    assert_eq!(write(&fs, f, 4099, b"!"), Ok(1));
    assert_eq!(read(&fs, f, 4093, 100).as_deref(), Ok(&b"\0a\0\0\0\0!"[..]));
    assert_eq!(fs.append(f, &mut InBuf::new(b"end")), Ok(4103));
    assert_eq!(fs.unmount(), Ok(()));
    let fs = mount(&disk);
    assert_eq!(read(&fs, f, 4093, 100).as_deref(), Ok(&b"\0a\0\0\0\0!end"[..]));
    check(&disk);
}

#[test]
fn room_taken_ahead_reads_as_zeros_and_is_used() {
    let disk = disk(1024);
    let fs = mount(&disk);
    let f = make(&fs, ROOT, "f", Kind::File);
    assert_eq!(fs.allocate(f, 0, 100 * 4096, true), Ok(()));
    assert_eq!(fs.getattr(f).map(|stat| (stat.size, stat.blocks)), Ok((0, 800)));
    assert_eq!(fs.allocate(f, 10, 50 * 4096, false), Ok(()));
    assert_eq!(fs.getattr(f).map(|stat| (stat.size, stat.blocks)), Ok((50 * 4096 + 10, 800)));
    for page in [70_u64, 3, 20, 21, 4, 2] {
        assert_eq!(write(&fs, f, page * 4096 + 5, b"here"), Ok(4));
    }
    let free = fs.statfs().expect("known").free;
    assert_eq!(fs.unmount(), Ok(()));
    check(&disk);
    let fs = mount(&disk);
    assert_eq!(fs.statfs().map(|stat| stat.free), Ok(free));
    let bytes = whole(&fs, f);
    assert_eq!(bytes.len(), 70 * 4096 + 9);
    for page in 0..71 {
        let expected: &[u8] = if [70, 3, 20, 21, 4, 2].contains(&page) { b"\0here" } else { b"\0\0\0\0\0" };
        let at = page * 4096 + 4;
        assert_eq!(&bytes[at..at + 5], expected, "page {page}");
    }
}

#[test]
fn a_held_file_outlives_its_name() {
    let disk = disk(1024);
    let fs = mount(&disk);
    let free = fs.statfs().expect("known").free_files;
    let held: Vec<_> = ["e", "f", "g"].map(|name| make(&fs, ROOT, name, Kind::File)).into();
    for ino in &held {
        assert_eq!(fs.hold(*ino).map(drop), Ok(()));
        assert_eq!(write(&fs, *ino, 0, b"kept"), Ok(4));
    }
    for name in ["e", "f", "g"] {
        assert_eq!(fs.unlink(ROOT, name), Ok(()));
    }
    assert_eq!(fs.link(held[1], ROOT, "again"), Err(Errno::ENOENT));
    assert_eq!(whole(&fs, held[1]), b"kept");
    assert_eq!(fs.getattr(held[1]).map(|stat| stat.links), Ok(0));
    // One from the middle of the list of orphans.
    assert_eq!(fs.release(held[1]), Ok(()));
    assert_eq!(fs.getattr(held[1]), Err(Errno::ENOENT));
    assert_eq!(fs.hold(held[1]).map(drop), Err(Errno::ENOENT));
    assert_eq!(fs.sync(), Ok(()));
    drop(fs);
    check(&disk);
    let fs = mount(&disk);
    assert_eq!(fs.statfs().map(|stat| stat.free_files), Ok(free));
    assert_eq!(fs.unmount(), Ok(()));
    check(&disk);
}

#[test]
fn rename_replaces_refuses_and_exchanges() {
    let disk = disk(1024);
    let fs = mount(&disk);
    let a = make(&fs, ROOT, "a", Kind::Directory);
    let b = make(&fs, a, "b", Kind::Directory);
    let f = make(&fs, ROOT, "f", Kind::File);
    make(&fs, b, "g", Kind::File);
    assert_eq!(fs.rename(ROOT, "a", b, "x", 0), Err(Errno::EINVAL));
    assert_eq!(fs.rename(b, "g", ROOT, "a", 0), Err(Errno::ENOTEMPTY));
    assert_eq!(fs.rename(ROOT, "f", a, "b", 0), Err(Errno::EISDIR));
    assert_eq!(fs.rename(a, "b", ROOT, "f", 0), Err(Errno::ENOTDIR));
    assert_eq!(fs.rename(ROOT, "f", b, "g", rename::NOREPLACE), Err(Errno::EEXIST));
    assert_eq!(fs.rename(ROOT, "f", b, "h", rename::EXCHANGE), Err(Errno::ENOENT));
    assert_eq!(fs.rename(ROOT, "f", b, "g", 3), Err(Errno::EINVAL));
    assert_eq!(fs.rename(ROOT, "f", b, "g", 0), Ok(()));
    make(&fs, ROOT, "c", Kind::Directory);
    assert_eq!(fs.rename(ROOT, "c", a, "b", 0), Err(Errno::ENOTEMPTY));
    assert_eq!(fs.rename(b, "g", ROOT, "c", rename::EXCHANGE), Ok(()));
    assert_eq!(find(&fs, ROOT, "c"), Ok(f));
    let c = find(&fs, b, "g").expect("there");
    assert_eq!(find(&fs, c, ".."), Ok(b));
    assert_eq!([ROOT, a, b, c].map(|ino| fs.getattr(ino).map(|stat| stat.links)), [Ok(3), Ok(3), Ok(3), Ok(2)]);
    assert_eq!(fs.rename(b, "g", ROOT, "moved", 0), Ok(()));
    assert_eq!(fs.rename(ROOT, "moved", a, "b", 0), Ok(()));
    assert_eq!(fs.getattr(b), Err(Errno::ENOENT));
    assert_eq!([ROOT, a, c].map(|ino| fs.getattr(ino).map(|stat| stat.links)), [Ok(3), Ok(3), Ok(2)]);
    assert_eq!(fs.rename(a, "b", a, "a much longer name than before", 0), Ok(()));
    assert_eq!(list(&fs, a, 0, 1000), [".", "..", "a much longer name than before"]);
    assert_eq!(fs.unmount(), Ok(()));
    check(&disk);
}

#[test]
fn a_large_directory_is_kept_and_listed_whole() {
    let disk = Arc::new(Memory::new(8192));
    mkfs(&*disk, &MkfsOptions::default()).expect("large enough");
    let fs = mount(&disk);
    let name = |i: usize| alloc::format!("file number {i}");
    for i in 0..3000 {
        make(&fs, ROOT, &name(i), Kind::File);
    }
    for i in (0..3000).step_by(2) {
        assert_eq!(fs.unlink(ROOT, &name(i)), Ok(()));
    }
    assert_eq!(fs.unmount(), Ok(()));
    check(&disk);
    let fs = mount(&disk);
    let size = fs.getattr(ROOT).expect("there").size;
    for i in (0..3000).step_by(2) {
        make(&fs, ROOT, &name(i), Kind::File);
    }
    assert_eq!(fs.getattr(ROOT).map(|stat| stat.size), Ok(size), "room is used again");
    let mut names = list(&fs, ROOT, 0, 5000);
    names.sort();
    let mut expected: Vec<_> = (0..3000).map(name).chain([".".into(), "..".into()]).collect();
    expected.sort();
    assert_eq!(names, expected);
}

#[test]
fn a_file_in_many_pieces_is_kept() {
    let disk = disk(4096);
    let fs = mount(&disk);
    let (f, g) = (make(&fs, ROOT, "f", Kind::File), make(&fs, ROOT, "g", Kind::File));
    // Every other page, backwards and forwards, with another file's blocks between.
    let pages: Vec<u64> = (0..800).map(|i| if i % 3 == 0 { 1600 - i } else { i } * 2).collect();
    for (i, page) in pages.iter().enumerate() {
        assert_eq!(write(&fs, f, page * 4096, &pattern(*page, 4096)), Ok(4096));
        assert_eq!(write(&fs, g, i as u64 * 4096, b"between"), Ok(7));
    }
    assert_eq!(fs.unmount(), Ok(()));
    check(&disk);
    let fs = mount(&disk);
    for page in &pages {
        assert_eq!(read(&fs, f, page * 4096, 4096), Ok(pattern(*page, 4096)));
        assert_eq!(read(&fs, f, (page + 1) * 4096, 9).map(|bytes| bytes.iter().all(|byte| *byte == 0)), Ok(true));
    }
    assert_eq!(fs.truncate(f, 100 * 4096), Ok(()));
    let left = pages.iter().filter(|page| **page < 100).count() as u64;
    assert_eq!(fs.getattr(f).map(|stat| stat.blocks / 8), Ok(left + 1), "and an extent block");
    assert_eq!((fs.unlink(ROOT, "f"), fs.unlink(ROOT, "g")), (Ok(()), Ok(())));
    assert_eq!(fs.unmount(), Ok(()));
    check(&disk);
    let fs = mount(&disk);
    let stat = fs.statfs().expect("known");
    assert_eq!(stat.blocks, stat.free + 1 + 64, "all but the root directory's block and the reserve");
}

#[test]
fn claims_of_a_peer_are_refused() {
    let disk = disk(1024);
    let fs = mount(&disk);
    let f = make(&fs, ROOT, "f", Kind::File);
    assert_eq!(find(&fs, f, "x"), Err(Errno::ENOTDIR));
    assert_eq!(find(&fs, Ino(99), "x"), Err(Errno::ENOENT));
    assert_eq!(find(&fs, Ino(u64::MAX), "x"), Err(Errno::ENOENT));
    assert_eq!(read(&fs, ROOT, 0, 8), Err(Errno::EISDIR));
    for (name, errno) in [("a/b", Errno::EINVAL), ("..", Errno::EEXIST), ("f", Errno::EEXIST), ("", Errno::ENOENT)] {
        assert_eq!(fs.create(ROOT, name, Kind::File, OWNER), Err(errno));
    }
    assert_eq!(fs.create(ROOT, "p", Kind::Fifo, OWNER), Err(Errno::EINVAL));
    assert_eq!(fs.create(ROOT, &"x".repeat(256), Kind::File, OWNER), Err(Errno::ENAMETOOLONG));
    assert_eq!(fs.rename(ROOT, "f", ROOT, "..", 0), Err(Errno::EBUSY));
    assert_eq!(fs.truncate(f, u64::MAX), Err(Errno::EFBIG));
    assert_eq!(fs.allocate(f, u64::MAX, 2, false), Err(Errno::EFBIG));
    assert_eq!(write(&fs, f, u64::MAX, b"x"), Err(Errno::EFBIG));
    assert_eq!(fs.release(f), Err(Errno::EINVAL));
    assert_eq!(fs.link(ROOT, ROOT, "r"), Err(Errno::EPERM));
}
