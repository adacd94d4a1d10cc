//! Power lost, and a failing disk, at every single write of a small workload.

use super::memory::Fate;
use super::*;

/// Makes, syncs, cuts, moves and removes.
fn workload(fs: &Jfs) -> Result<()> {
    let a = Ino(fs.create(ROOT, "a", Kind::Directory, OWNER)?.ino);
    let keep = Ino(fs.create(a, "keep", Kind::File, OWNER)?.ino);
    write(fs, keep, 0, &pattern(7, 10_000))?;
    fs.fsync(keep, false)?;
    for i in 0..6 {
        let f = Ino(fs.create(a, &alloc::format!("f{i}"), Kind::File, OWNER)?.ino);
        write(fs, f, 0, &pattern(i, 40_000))?;
        fs.fsync(f, i % 2 == 0)?;
        fs.truncate(f, 100)?;
        fs.rename(a, &alloc::format!("f{i}"), ROOT, "moved", 0)?;
    }
    fs.unlink(ROOT, "moved")?;
    fs.sync()
}

#[test]
fn power_lost_at_any_write_leaves_it_whole() {
    let blank = disk(512).image();
    let whole_run = Arc::new(Memory::with(blank.clone()));
    assert_eq!(workload(&mount(&whole_run)), Ok(()));
    let writes = whole_run.writes();
    assert!(writes > 30);
    for number in 0..writes {
        let disk = Arc::new(Memory::with(blank.clone()));
        disk.arm(Fate::Dark(number));
        assert_eq!(workload(&mount(&disk)), Ok(()));
        let disk = Arc::new(Memory::with(disk.image()));
        check(&disk);
        let fs = mount(&disk);
        // Within the first eight writes: mounting, the data, and the transaction of the first `fsync`.
        if let Ok(a) = find(&fs, ROOT, "a") {
            assert_eq!(whole(&fs, find(&fs, a, "keep").expect("in the same transaction")), pattern(7, 10_000));
        } else {
            assert!(number < 8, "write {number}");
        }
        assert_eq!(fs.unmount(), Ok(()));
        check(&disk);
    }
}

#[test]
fn a_write_that_fails_is_told_and_leaves_it_whole() {
    let blank = disk(512).image();
    let whole_run = Arc::new(Memory::with(blank.clone()));
    assert_eq!(workload(&mount(&whole_run)), Ok(()));
    for number in 1..whole_run.writes() {
        let disk = Arc::new(Memory::with(blank.clone()));
        disk.arm(Fate::Fails(number));
        let Ok(fs) = Jfs::mount(disk.clone(), MountOptions::default()) else { continue };
        assert!(workload(&fs).is_err(), "write {number}");
        drop(fs);
        disk.arm(Fate::Well);
        drop(mount(&disk));
        check(&disk);
    }
}
