//! The VFS against literal expectations: what the differential test cannot compare with the host.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

use kd_api::around::Observer;
use kd_api::interfaces::block::{BlockDevice, SECTOR, Statistics, read_each, write_each};
use kd_api::interfaces::fs::{FileSystem, Kind, rename};
use kd_api::interfaces::pipe::Pipe;
use kd_api::interfaces::vfs::{OPEN_MAX, Vfs, open, seek};
use kd_api::message::Operation;
use kd_api::{AppId, Blocks, Caller, Errno, Fd, Handle, Imports, InBuf, OutBuf, Result};
use kd_sync::Mutex;

use super::VirtualFileSystem;
use crate::pipe::Pipes;
use crate::ramfs::RamFs;

const A: Caller = Caller::app(1);
const B: Caller = Caller::app(2);

/// A disk of 8 sectors that counts what it is asked for.
struct Disk {
    bytes: Mutex<Vec<u8>>,
    reads: AtomicU32,
    writes: AtomicU32,
    many: AtomicU32,
}

impl BlockDevice for Disk {
    fn capacity(&self) -> Result<u64> {
        Ok(8)
    }
    fn read(&self, sector: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        assert_eq!(out.remaining() % SECTOR, 0);
        self.reads.fetch_add(1, SeqCst);
        let at = sector as usize * SECTOR;
        let len = out.remaining();
        Ok(out.write(&self.bytes.lock()[at..at + len]))
    }
    fn write(&self, sector: u64, _: bool, data: &mut InBuf<'_>) -> Result<usize> {
        assert_eq!(data.remaining() % SECTOR, 0);
        self.writes.fetch_add(1, SeqCst);
        let at = sector as usize * SECTOR;
        let len = data.remaining();
        Ok(data.read(&mut self.bytes.lock()[at..at + len]))
    }
    fn read_many(&self, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        self.many.fetch_add(1, SeqCst);
        read_each(self, &blocks, out)
    }
    fn write_many(&self, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        self.many.fetch_add(1, SeqCst);
        write_each(self, &blocks, data)
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }
    fn statistics(&self) -> Result<Statistics> {
        Ok(Statistics::default())
    }
}

fn ramfs() -> Handle {
    Handle::new::<dyn FileSystem>(Arc::new(RamFs::new().expect("made")))
}

/// Counts the calls that the VFS makes.
#[derive(Default)]
struct Calls(Mutex<Vec<&'static str>>);

impl Observer for Calls {
    fn enter(&self, of: &'static Operation, _: usize) {
        self.0.lock().push(of.name);
    }
    fn leave(&self, _: &'static Operation) {}
}

impl Calls {
    /// What was called since it was asked last.
    fn taken(&self) -> Vec<&'static str> {
        core::mem::take(&mut self.0.lock())
    }
}

/// One whose calls are seen, with another file system at `/mnt`.
fn observed() -> (VirtualFileSystem, Arc<Calls>) {
    let mut imports = Imports::default();
    imports.insert("ramfs", ramfs());
    imports.insert("jfs", ramfs());
    imports.insert("pipe", Handle::new::<dyn Pipe>(Arc::new(Pipes::new())));
    let calls = Arc::new(Calls::default());
    let observer: Arc<dyn Observer> = calls.clone();
    let vfs = VirtualFileSystem::new(&imports.observed(&observer)).expect("started");
    calls.taken();
    (vfs, calls)
}

fn make(vfs: &VirtualFileSystem, path: &str, mode: u32) -> Result<()> {
    let fd = vfs.open(A, path, open::CREAT | open::EXCL | open::WRONLY, mode)?;
    vfs.close(A, fd)
}

fn booted_over(pipes: Arc<dyn Pipe>) -> (VirtualFileSystem, Arc<Disk>) {
    let disk =
        Arc::new(Disk { bytes: Mutex::new(vec![0; 8 * SECTOR]), reads: 0.into(), writes: 0.into(), many: 0.into() });
    let mut imports = Imports::default();
    imports.insert("ramfs", ramfs());
    imports.insert("pipe", Handle::new(pipes));
    imports.insert("ramdisk", Handle::new::<dyn BlockDevice>(disk.clone()));
    (VirtualFileSystem::new(&imports).expect("started"), disk)
}

fn booted() -> (VirtualFileSystem, Arc<Disk>) {
    booted_over(Arc::new(Pipes::new()))
}

fn pread(vfs: &VirtualFileSystem, fd: Fd, offset: i64, room: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; room];
    let count = vfs.pread(A, fd, offset, &mut OutBuf::new(&mut bytes))?;
    bytes.truncate(count);
    Ok(bytes)
}

fn pwrite(vfs: &VirtualFileSystem, fd: Fd, offset: i64, bytes: &[u8]) -> Result<usize> {
    vfs.pwrite(A, fd, offset, &mut InBuf::new(bytes))
}

#[test]
fn a_device_takes_any_offset_and_length() {
    let (vfs, disk) = booted();
    let fd = vfs.open(A, "/dev/ram0", open::RDWR | open::TRUNC, 0).expect("opened");
    let bytes: Vec<u8> = (0..2000).map(|i| (i % 251) as u8 + 1).collect();
    assert_eq!(pwrite(&vfs, fd, 500, &bytes), Ok(2000));
    // 12 bytes, three whole sectors at once, 452 bytes.
    assert_eq!((disk.reads.load(SeqCst), disk.writes.load(SeqCst)), (2, 3));
    assert_eq!(pread(&vfs, fd, 500, 2000), Ok(bytes.clone()));
    assert_eq!(disk.reads.load(SeqCst), 5);
    assert_eq!(pread(&vfs, fd, 0, 500), Ok(vec![0; 500]), "the rest of a sector survives");
    assert_eq!(pread(&vfs, fd, 2500, 60), Ok(vec![0; 60]));
    assert_eq!(pwrite(&vfs, fd, 512, &[9; 512]), Ok(512));
    assert_eq!((disk.reads.load(SeqCst), disk.writes.load(SeqCst)), (7, 4), "aligned: nothing is read");
}

#[test]
fn a_device_ends() {
    let (vfs, _) = booted();
    let fd = vfs.open(A, "/dev/ram0", open::RDWR, 0).expect("opened");
    assert_eq!(pread(&vfs, fd, 4090, 100), Ok(vec![0; 6]));
    assert_eq!(pread(&vfs, fd, 4096, 100), Ok(vec![]));
    assert_eq!(pwrite(&vfs, fd, 4090, &[1; 100]), Ok(6));
    assert_eq!(pwrite(&vfs, fd, 4096, &[1]), Err(Errno::ENOSPC));
    assert_eq!(pwrite(&vfs, fd, 4096, &[]), Ok(0));
    assert_eq!(vfs.lseek(A, fd, 0, seek::END), Ok(4096));
    assert_eq!(vfs.lseek(A, fd, 1, seek::CUR), Err(Errno::EINVAL));
    assert_eq!(vfs.fsync(A, fd), Ok(()));
}

#[test]
fn several_blocks_are_one_request_of_a_device_and_several_of_anything_else() {
    let (vfs, disk) = booted();
    let at = |size, at: &[u64]| Blocks::new(size, at.iter().copied()).expect("whole");
    let fd = vfs.open(A, "/dev/ram0", open::RDWR, 0).expect("opened");
    let write = |fd, blocks, data: &[u8]| vfs.pwrite_many(A, fd, blocks, &mut InBuf::new(data));
    let read = |fd, blocks: Blocks| {
        let mut room = vec![0xEE; blocks.bytes()];
        vfs.pread_many(A, fd, blocks, &mut OutBuf::new(&mut room)).map(|count| room[..count].to_vec())
    };
    let data: Vec<u8> = (0..4 * SECTOR).map(|i| (i / 100) as u8).collect();
    assert_eq!(write(fd, at(SECTOR, &[1024, 0, 3584, 512]), &data), Ok(4 * SECTOR));
    assert_eq!(read(fd, at(SECTOR, &[1024, 0, 3584, 512])), Ok(data.clone()));
    assert_eq!(pread(&vfs, fd, 512, SECTOR), Ok(data[3 * SECTOR..].to_vec()));
    assert_eq!((disk.many.load(SeqCst), disk.writes.load(SeqCst), disk.reads.load(SeqCst)), (2, 4, 5));
    // What is no whole sectors, or ends behind the device, is what single calls make of it.
    assert_eq!(write(fd, at(3, &[0, 511]), b"abcdef"), Ok(6));
    assert_eq!(read(fd, at(3, &[511, 0])), Ok(b"defabc".to_vec()));
    assert_eq!(read(fd, at(SECTOR, &[512, 4096, 0])).map(|bytes| bytes.len()), Ok(SECTOR));
    assert_eq!(read(fd, at(SECTOR, &[512, 3840, 0])).map(|bytes| bytes.len()), Ok(SECTOR + 256));
    assert_eq!(write(fd, at(SECTOR, &[4096]), &data), Err(Errno::ENOSPC));
    assert_eq!(read(fd, at(SECTOR, &[u64::MAX])), Err(Errno::EINVAL));
    assert_eq!(disk.many.load(SeqCst), 2);

    assert_eq!(write(fd, at(SECTOR, &[0, 511]), &data), Err(Errno::EINVAL), "they overlap");
    assert_eq!(write(fd, at(SECTOR, &[0, 512]), &data[..1023]), Err(Errno::EINVAL), "too few bytes");
    let little = vfs.pread_many(A, fd, at(SECTOR, &[0]), &mut OutBuf::new(&mut [0; 511]));
    assert_eq!(little, Err(Errno::EINVAL), "too little room");
    assert_eq!(write(Fd(99), at(1, &[0]), &data), Err(Errno::EBADF));
    let reading = vfs.open(A, "/dev/ram0", open::RDONLY, 0).expect("opened");
    assert_eq!(write(reading, at(SECTOR, &[0]), &data), Err(Errno::EBADF));

    let file = vfs.open(A, "/file", open::CREAT | open::RDWR, 0o600).expect("made");
    assert_eq!(write(file, at(2, &[6, 0]), b"abcd"), Ok(4));
    assert_eq!(read(file, at(3, &[5, 0, 7])), Ok(b"\0abcd\0b".to_vec()), "the last falls short");
    assert_eq!(write(file, at(2, &[0, u64::MAX]), b"xyzw"), Ok(2), "the second has no place");
    let (end, _) = vfs.pipe(A).expect("made");
    assert_eq!(read(end, at(1, &[0])), Err(Errno::ESPIPE));
    let directory = vfs.open(A, "/", open::RDONLY, 0).expect("opened");
    assert_eq!(read(directory, at(1, &[0])), Err(Errno::EISDIR));
}

#[test]
fn dev_is_a_directory_in_which_nothing_can_be_made() {
    let (vfs, _) = booted();
    let stat = vfs.stat(A, "/dev/ram0").expect("there");
    assert_eq!((stat.kind, stat.size, stat.links), (Kind::Block, 0, 1));
    assert_eq!(vfs.stat(A, "/dev/../dev/./").map(|s| s.kind), Ok(Kind::Directory));
    assert_eq!(vfs.stat(A, "/dev/..").map(|s| s.ino), vfs.stat(A, "/").map(|s| s.ino));
    assert_eq!(vfs.stat(A, "/dev/ram0/"), Err(Errno::ENOTDIR));
    assert_eq!(vfs.stat(A, "/dev/ram1"), Err(Errno::ENOENT));
    assert_eq!(vfs.open(A, "/dev/x", open::CREAT | open::RDWR, 0), Err(Errno::EROFS));
    assert_eq!(vfs.open(A, "/dev/ram0", open::CREAT | open::EXCL, 0), Err(Errno::EEXIST));
    assert_eq!(vfs.mkdir(A, "/dev/x", 0), Err(Errno::EROFS));
    assert_eq!(vfs.mkdir(A, "/dev/ram0", 0), Err(Errno::EEXIST));
    assert_eq!(vfs.mkdir(A, "/dev", 0), Err(Errno::EEXIST));
    assert_eq!(vfs.unlink(A, "/dev/ram0"), Err(Errno::EROFS));
    assert_eq!(vfs.unlink(A, "/dev"), Err(Errno::EISDIR));
    assert_eq!(vfs.rename(A, "/dev/ram0", "/x", 0), Err(Errno::EXDEV));
    assert_eq!(vfs.rename(A, "/dev/ram0", "/dev/x", 0), Err(Errno::EROFS));
    assert_eq!(vfs.rename(A, "/dev", "/x", 0), Err(Errno::EBUSY));

    let fd = vfs.open(A, "/dev", open::DIRECTORY, 0).expect("opened");
    let mut room = [0; 256];
    assert_eq!(vfs.getdents64(A, fd, &mut OutBuf::new(&mut room)), Ok(72));
    assert_eq!((&room[48 + 19..48 + 23], room[48 + 18]), (&b"ram0"[..], 6));
    assert_eq!(vfs.getdents64(A, fd, &mut OutBuf::new(&mut room)), Ok(0));
}

#[test]
fn descriptors_are_the_lowest_free_and_each_apps_own() {
    let (vfs, _) = booted();
    let open = |caller| vfs.open(caller, "/", open::RDONLY, 0);
    assert_eq!([open(A), open(A), open(A)], [Ok(Fd(3)), Ok(Fd(4)), Ok(Fd(5))]);
    assert_eq!(open(B), Ok(Fd(3)));
    assert_eq!(vfs.close(A, Fd(4)), Ok(()));
    assert_eq!(vfs.close(A, Fd(4)), Err(Errno::EBADF));
    assert_eq!(vfs.open(A, "/none", 0, 0), Err(Errno::ENOENT));
    assert_eq!([open(A), open(A)], [Ok(Fd(4)), Ok(Fd(6))]);
    for fd in [-1, 0, 2, 7, i32::MAX, i32::MIN] {
        assert_eq!(vfs.close(A, Fd(fd)), Err(Errno::EBADF));
    }
    assert_eq!(vfs.fsync(B, Fd(4)), Err(Errno::EBADF));
}

#[test]
fn the_last_descriptor_is_a_limit_that_leaves_nothing_behind() {
    let (vfs, _) = booted();
    for fd in 3..OPEN_MAX as i32 - 1 {
        assert_eq!(vfs.open(A, "/", 0, 0), Ok(Fd(fd)));
    }
    assert_eq!(vfs.pipe(A), Err(Errno::EMFILE));
    assert_eq!(vfs.open(A, "/", 0, 0), Ok(Fd(1023)));
    assert_eq!(vfs.open(A, "/new", open::CREAT, 0), Err(Errno::EMFILE));
    assert_eq!(vfs.stat(A, "/new"), Err(Errno::ENOENT));
    assert_eq!(vfs.open(B, "/", 0, 0), Ok(Fd(3)));
}

#[test]
fn exit_releases_everything() {
    let pipes = Arc::new(Pipes::new());
    let (vfs, _) = booted_over(pipes.clone());
    let fd = vfs.open(A, "/f", open::CREAT | open::RDWR, 0o600).expect("opened");
    let ino = kd_api::Ino(vfs.stat(A, "/f").expect("there").ino);
    assert_eq!(pwrite(&vfs, fd, 0, b"x"), Ok(1));
    assert_eq!(vfs.pipe(A), Ok((Fd(4), Fd(5))));
    assert_eq!(vfs.unlink(A, "/f"), Ok(()));
    assert_eq!(pread(&vfs, fd, 0, 9), Ok(b"x".to_vec()), "open, though nameless");
    assert!(vfs.mounts.of(super::mounts::TOP).fs.getattr(ino).is_ok());
    vfs.app_exited(AppId(1));
    assert_eq!(vfs.mounts.of(super::mounts::TOP).fs.getattr(ino), Err(Errno::ENOENT));
    assert_eq!(pipes.close(kd_api::ids::PipeId(1), true), Err(Errno::EBADF), "the pipe is gone");
    assert_eq!(pread(&vfs, fd, 0, 9), Err(Errno::EBADF));
    assert_eq!(vfs.open(A, "/", 0, 0), Ok(Fd(3)), "the number may be an app's again");
}

/// A pipe server without a free thread to wait in.
struct Full(Pipes, AtomicU32);

impl Pipe for Full {
    fn create(&self) -> Result<kd_api::ids::PipeId> {
        self.0.create()
    }
    fn read(&self, pipe: kd_api::ids::PipeId, out: &mut OutBuf<'_>) -> Result<usize> {
        if self.1.fetch_add(1, SeqCst) == 0 {
            // Just after the refusal a byte comes.
            self.0.write(pipe, &mut InBuf::new(b"late"))?;
            return Err(Errno::EAGAIN);
        }
        self.0.read(pipe, out)
    }
    fn write(&self, pipe: kd_api::ids::PipeId, data: &mut InBuf<'_>) -> Result<usize> {
        self.0.write(pipe, data)
    }
    fn interrupt(&self, pipe: kd_api::ids::PipeId) -> Result<()> {
        self.0.interrupt(pipe)
    }
    fn wait_readable(&self, pipe: kd_api::ids::PipeId, done: kd_api::Completion<()>) {
        self.1.fetch_add(100, SeqCst);
        self.0.wait_readable(pipe, done);
    }
    fn close(&self, pipe: kd_api::ids::PipeId, writer: bool) -> Result<()> {
        self.0.close(pipe, writer)
    }
}

#[test]
fn a_full_pipe_server_is_waited_for_without_a_thread_of_it() {
    let full = Arc::new(Full(Pipes::new(), 0.into()));
    let (vfs, _) = booted_over(full.clone());
    let (reading, _) = vfs.pipe(A).expect("made");
    let mut room = [0; 9];
    assert_eq!(vfs.read(A, reading, &mut OutBuf::new(&mut room)), Ok(4));
    assert_eq!((&room[..4], full.1.load(SeqCst)), (&b"late"[..], 102), "read, wait_readable, read");
}

#[test]
fn mounts_are_crossed_in_both_directions_and_by_no_name() {
    let (vfs, _) = observed();
    let stat = |path| vfs.stat(A, path).map(|stat| stat.ino);
    assert_eq!(
        (make(&vfs, "/f", 0o600), make(&vfs, "/mnt/g", 0o600), vfs.mkdir(A, "/mnt/d", 0o755)),
        (Ok(()), Ok(()), Ok(()))
    );
    assert_eq!((stat("/mnt/f"), stat("/g")), (Err(Errno::ENOENT), Err(Errno::ENOENT)));
    assert_eq!((stat("/mnt/d/../../f"), stat("/mnt/../mnt/g")), (stat("/f"), stat("/mnt/g")));
    assert!(stat("/f").is_ok() && stat("/mnt/g").is_ok());
    assert_eq!(vfs.symlink(A, "../../f", "/mnt/d/out"), Ok(()));
    assert_eq!((stat("/mnt/d/out"), vfs.lstat(A, "/mnt/d/out").map(|stat| stat.size)), (stat("/f"), Ok(7)));
    assert_eq!(vfs.rename(A, "/f", "/mnt/f", 0), Err(Errno::EXDEV));
    assert_eq!(vfs.link(A, "/mnt/g", "/g"), Err(Errno::EXDEV));
    assert_eq!(vfs.rename(A, "/f", "/mnt", 0), Err(Errno::EBUSY));
    assert_eq!(vfs.rename(A, "/mnt", "/m", rename::NOREPLACE), Err(Errno::EBUSY));
    assert_eq!((vfs.rmdir(A, "/mnt"), vfs.unlink(A, "/mnt")), (Err(Errno::EBUSY), Err(Errno::EISDIR)));
    assert_eq!((vfs.mkdir(A, "/mnt", 0), vfs.symlink(A, "x", "/mnt")), (Err(Errno::EEXIST), Err(Errno::EEXIST)));
    assert_eq!((vfs.sync(A), vfs.statfs(A, "/mnt").map(|stat| stat.block_size)), (Ok(()), Ok(4096)));
}

#[test]
fn known_names_cost_one_call_and_what_is_known_not_to_be_none() {
    let (vfs, calls) = observed();
    assert_eq!((vfs.mkdir(A, "/d", 0o755), make(&vfs, "/d/f", 0o644)), (Ok(()), Ok(())));
    calls.taken();
    assert!(vfs.stat(A, "/d/f").is_ok());
    assert_eq!(calls.taken(), ["getattr"]);
    let fd = vfs.open(A, "/d/f", open::RDWR, 0).expect("opened");
    assert_eq!((calls.taken(), vfs.close(A, fd), calls.taken()), (vec!["hold"], Ok(()), vec!["release"]));
    assert_eq!(vfs.stat(A, "/d/g"), Err(Errno::ENOENT));
    assert_eq!(calls.taken(), ["lookup"]);
    assert_eq!((vfs.stat(A, "/d/g"), calls.taken()), (Err(Errno::ENOENT), vec![]));
    assert_eq!((vfs.link(A, "/d/f", "/d/g"), calls.taken()), (Ok(()), vec!["link"]));
    assert_eq!((vfs.rename(A, "/d/g", "/d/f", 0), calls.taken()), (Ok(()), vec!["rename"]));
    assert!(vfs.stat(A, "/d/g").is_ok(), "two names of one file stay");
    assert_eq!((vfs.rename(A, "/d/g", "/d/h", 0), calls.taken()), (Ok(()), vec!["lookup", "rename"]));
    assert_eq!(vfs.stat(A, "/d/h").map(|stat| stat.links), Ok(2));
    assert_eq!(calls.taken(), ["getattr"]);
    assert_eq!((vfs.unlink(A, "/d/f"), calls.taken()), (Ok(()), vec!["unlink"]));
    assert_eq!((vfs.stat(A, "/d/f"), calls.taken()), (Err(Errno::ENOENT), vec![]));
    // A file system that was started anew is asked again.
    vfs.file_system_restarted();
    assert!(vfs.stat(A, "/d/h").is_ok());
    assert_eq!(calls.taken(), ["lookup", "lookup"]);
    // Another user's right to search and to read is known as well.
    assert_eq!(vfs.set_user(B, 5, 5), Ok(()));
    assert!(vfs.open(B, "/d/h", open::RDONLY, 0).is_ok());
    let first = calls.taken();
    assert!(vfs.open(B, "/d/h", open::RDONLY, 0).is_ok());
    assert_eq!((first.last(), calls.taken()), (Some(&"hold"), vec!["hold"]));
    assert_eq!((vfs.chmod(A, "/d/h", 0o640), calls.taken()), (Ok(()), vec!["setattr"]));
    assert_eq!(vfs.open(B, "/d/h", open::RDONLY, 0), Err(Errno::EACCES));
    assert_eq!(calls.taken(), Vec::<&str>::new());
}

#[test]
fn forty_symbolic_links_are_followed_and_no_more() {
    let (vfs, _) = observed();
    assert_eq!(make(&vfs, "/0", 0o600), Ok(()));
    for link in 1..=41 {
        assert_eq!(vfs.symlink(A, &(link - 1).to_string(), &alloc::format!("/{link}")), Ok(()));
    }
    assert_eq!(vfs.stat(A, "/40").map(|stat| stat.kind), Ok(Kind::File));
    assert_eq!(vfs.stat(A, "/41"), Err(Errno::ELOOP));
    assert_eq!(vfs.symlink(A, "loop", "/loop"), Ok(()));
    assert_eq!(vfs.open(A, "/loop/x", open::CREAT | open::WRONLY, 0), Err(Errno::ELOOP));
    assert_eq!(vfs.open(A, "/1", open::NOFOLLOW, 0), Err(Errno::ELOOP));
    // Made where a link leads that leads nowhere yet.
    assert_eq!((vfs.symlink(A, "dev/../new", "/to"), vfs.stat(A, "/to")), (Ok(()), Err(Errno::ENOENT)));
    assert!(vfs.open(A, "/to", open::CREAT | open::WRONLY, 0o600).is_ok() && vfs.lstat(A, "/new").is_ok());
}

#[test]
fn users_may_what_the_modes_say() {
    let (vfs, _) = observed();
    assert_eq!((vfs.set_user(B, 5, 6), vfs.set_user(B, 5, 6)), (Ok(()), Ok(())));
    assert_eq!((vfs.set_user(B, 0, 6), vfs.set_user(B, 5, 0)), (Err(Errno::EPERM), Err(Errno::EPERM)));
    assert_eq!(
        (vfs.mkdir(A, "/tmp", 0o1777), vfs.mkdir(A, "/s", 0o700), make(&vfs, "/tmp/a", 0o666)),
        (Ok(()), Ok(()), Ok(()))
    );
    assert_eq!(vfs.mkdir(B, "/b", 0o755), Err(Errno::EACCES));
    assert_eq!(vfs.mkdir(B, "/tmp", 0o755), Err(Errno::EEXIST), "told before that it may not");
    assert_eq!((vfs.stat(B, "/s/x"), vfs.stat(B, "/s").map(|s| s.mode)), (Err(Errno::EACCES), Ok(0o700)));
    assert_eq!((vfs.unlink(B, "/tmp/a"), vfs.rename(B, "/tmp/a", "/tmp/b", 0)), (Err(Errno::EPERM), Err(Errno::EPERM)));
    assert_eq!((vfs.umask(B, 0o27), vfs.umask(B, 0o27)), (Ok(0), Ok(0o27)));
    assert_eq!(vfs.mkdir(B, "/tmp/b", 0o777), Ok(()));
    let stat = vfs.stat(A, "/tmp/b").expect("made");
    assert_eq!((stat.uid, stat.gid, stat.mode), (5, 6, 0o750));
    assert_eq!((vfs.chmod(B, "/tmp/b", 0), vfs.chmod(B, "/tmp/a", 0)), (Ok(()), Err(Errno::EPERM)));
    assert_eq!((vfs.chown(B, "/tmp/b", 0, u32::MAX), vfs.chown(A, "/tmp/a", 5, 9)), (Err(Errno::EPERM), Ok(())));
    assert_eq!((vfs.truncate(B, "/tmp/a", 9), vfs.unlink(B, "/tmp/a")), (Ok(()), Ok(())));
}
