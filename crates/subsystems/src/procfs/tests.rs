use alloc::string::ToString;

use kd_api::Blocks;
use kd_api::interfaces::block::{Statistics, read_each, write_each};

use super::*;
use kd_api::interfaces::kernel::ComponentInfo;

/// A kernel of two components, the second dead.
struct Two;

impl KernelInfo for Two {
    fn component(&self, number: u32) -> Result<ComponentInfo> {
        let (name, domain) = *[("ramfs", 7), ("ramdisk", 0)].get(number as usize).ok_or(Errno::ENOENT)?;
        Ok(ComponentInfo {
            name: name.into(),
            interface: "FileSystem".into(),
            placement: "process".into(),
            module: if number == 1 { "abc".into() } else { String::new() },
            domain,
            restarts: 3,
            crossings: (number == 0).then_some(12),
            resident: 8192,
        })
    }
    fn uptime(&self) -> Result<u64> {
        Ok(12_345_678_901)
    }
    fn command_line(&self, out: &mut OutBuf<'_>) -> Result<usize> {
        Ok(out.write(b"kernel=monolithic\n"))
    }
    fn log(&self, out: &mut OutBuf<'_>) -> Result<usize> {
        Ok(out.write(b"[    0.000001] booted\n"))
    }
}

struct Disk;

impl BlockDevice for Disk {
    fn capacity(&self) -> Result<u64> {
        Ok(1)
    }
    fn read(&self, _: u64, _: &mut OutBuf<'_>) -> Result<usize> {
        Err(Errno::EIO)
    }
    fn write(&self, _: u64, _: bool, _: &mut InBuf<'_>) -> Result<usize> {
        Err(Errno::EIO)
    }
    fn read_many(&self, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        read_each(self, &blocks, out)
    }

    fn write_many(&self, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        write_each(self, &blocks, data)
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }
    fn statistics(&self) -> Result<Statistics> {
        Ok(Statistics { reads: 2, sectors_read: 16, interrupts: 5, errors: 1, ..Statistics::default() })
    }
}

fn fs() -> ProcFs {
    ProcFs { kernel: Arc::new(Two), disks: RwLock::new([("ramdisk".to_string(), Arc::new(Disk) as _)].into()) }
}

fn text(fs: &ProcFs, path: &[&str]) -> String {
    let ino = path.iter().fold(ROOT, |at, name| Ino(fs.lookup(at, name).expect(name).ino));
    let mut room = [0; 1024];
    let count = fs.read(ino, 0, &mut OutBuf::new(&mut room)).expect("a file");
    String::from_utf8_lossy(&room[..count]).into_owned()
}

#[test]
fn texts_say_what_the_kernel_and_its_disks_do() {
    let fs = fs();
    assert_eq!(text(&fs, &["cmdline"]), "kernel=monolithic\n");
    assert_eq!(text(&fs, &["uptime"]), "12.34\n");
    assert_eq!(text(&fs, &["diskstats"]), "   1       0 ram0 2 0 16 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1\n");
    assert_eq!(text(&fs, &["interrupts"]), "  0:          5 ram0\n");
    assert_eq!(text(&fs, &["modules"]), "ramdisk Unloading abc\n");
    assert_eq!(text(&fs, &["mounts"]), "ramfs / ramfs rw 0 0\n");
    assert_eq!(text(&fs, &["meminfo"]), "Resident:          8 kB\nDomain7:          8 kB ramfs\n");
    assert_eq!(text(&fs, &["kmsg"]), "[    0.000001] booted\n");
    let ramfs = text(&fs, &["components", "ramfs"]);
    assert!(ramfs.contains("State:\trunning\nDomain:\t7\nRestarts:\t3\n") && ramfs.contains("Crossings:\t12\n"));
    let dead = text(&fs, &["components", "ramdisk"]);
    assert!(dead.contains("State:\tdead\n") && dead.contains("not counted"), "{dead}");
}

#[test]
fn any_inode_and_any_offset_is_answered() {
    let fs = fs();
    let mut room = [0; 64];
    for ino in [0, 3, 15, 16 + TOPICS.len() as u64, (1 << 16) + 2, u64::MAX] {
        assert_eq!(fs.getattr(Ino(ino)), Err(Errno::ENOENT), "{ino}");
        assert_eq!(fs.read(Ino(ino), 0, &mut OutBuf::new(&mut room)), Err(Errno::ENOENT));
    }
    let cmdline = Ino(fs.lookup(ROOT, "cmdline").expect("there").ino);
    for (offset, rest) in [(7, 11), (18, 0), (19, 0), (u64::MAX, 0)] {
        assert_eq!(fs.read(cmdline, offset, &mut OutBuf::new(&mut room)), Ok(rest), "from {offset}");
    }
    assert_eq!(fs.read(ROOT, 0, &mut OutBuf::new(&mut room)), Err(Errno::EISDIR));
    assert_eq!(fs.lookup(cmdline, "x"), Err(Errno::ENOTDIR));
    assert_eq!(fs.lookup(ROOT, "none"), Err(Errno::ENOENT));
    assert_eq!(fs.unlink(ROOT, "cmdline"), Err(Errno::EROFS));
}

#[test]
fn a_listing_has_every_file_once() {
    let fs = fs();
    let (mut cursor, mut bytes) = (0, 0);
    loop {
        let mut room = [0; 64];
        let (next, count) = fs.readdir(ROOT, cursor, &mut OutBuf::new(&mut room)).expect("listed");
        if count == 0 {
            break;
        }
        (cursor, bytes) = (next, bytes + count);
    }
    assert_eq!(cursor, 2 + TOPICS.len() as u64 + 1);
    assert!(bytes > 0);
    assert_eq!(fs.readdir(ROOT, u64::MAX, &mut OutBuf::new(&mut [0; 64])), Ok((u64::MAX, 0)));
    assert_eq!(fs.lookup(COMPONENTS, "..").map(|stat| stat.ino), Ok(ROOT.0));
}
