//! A VFS that follows one that died: its file systems live on, and its store.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use kd_api::interfaces::fs::FileSystem;
use kd_api::interfaces::pipe::Pipe;
use kd_api::interfaces::vfs::{Vfs, open, seek};
use kd_api::{AppId, Caller, Errno, Fd, Handle, Imports, InBuf, OutBuf, Store};

use super::{VirtualFileSystem, notes};
use crate::pipe::Pipes;
use crate::ramfs::RamFs;

const A: Caller = Caller::app(1);
const B: Caller = Caller::app(2);
const RW: u32 = open::CREAT | open::RDWR;

struct Rig {
    imports: Imports,
    store: Store,
    fs: Arc<RamFs>,
    vfs: VirtualFileSystem,
}

fn boot() -> Rig {
    let fs = Arc::new(RamFs::new().expect("made"));
    let store: Store = Box::leak((0..notes::STORE).map(|_| AtomicU64::new(0)).collect());
    let mut imports = Imports::default();
    imports.insert("ramfs", Handle::new::<dyn FileSystem>(fs.clone()));
    imports.insert("pipe", Handle::new::<dyn Pipe>(Arc::new(Pipes::new())));
    imports.set_store(store);
    let vfs = VirtualFileSystem::new(&imports).expect("started");
    Rig { imports, store, fs, vfs }
}

impl Rig {
    /// The VFS dies where it stands, and another takes its place.
    fn restart(&mut self) {
        let next = VirtualFileSystem::new(&self.imports).expect("started");
        core::mem::forget(core::mem::replace(&mut self.vfs, next));
    }

    fn open(&self, path: &str, flags: u32) -> Fd {
        self.vfs.open(A, path, flags, 0o644).expect("opened")
    }

    fn write(&self, fd: Fd, bytes: &[u8]) {
        assert_eq!(self.vfs.write(A, fd, &mut InBuf::new(bytes)), Ok(bytes.len()));
    }

    fn read(&self, fd: Fd) -> Result<alloc::vec::Vec<u8>, Errno> {
        let mut room = [0; 16];
        let count = self.vfs.read(A, fd, &mut OutBuf::new(&mut room))?;
        Ok(room[..count].into())
    }

    fn ino(&self, fd: Fd) -> kd_api::Ino {
        kd_api::Ino(self.vfs.fstat(A, fd).expect("it is open").ino)
    }
}

#[test]
fn descriptors_keep_their_file_their_flags_and_their_position() {
    let mut rig = boot();
    let (file, appending) = (rig.open("/f", RW), rig.open("/f", open::WRONLY | open::APPEND));
    rig.write(file, b"abcdef");
    assert_eq!(rig.vfs.lseek(A, file, 2, seek::SET), Ok(2));
    let same = rig.vfs.dup(A, file).expect("there is room");
    let other = rig.open("/g", RW);
    assert_eq!(rig.vfs.close(A, other), Ok(()));
    for _ in 0..3 {
        rig.restart();
        assert_eq!(rig.vfs.lseek(A, file, 0, seek::CUR), Ok(2));
    }
    assert_eq!(rig.read(file), Ok(b"cdef".into()));
    assert_eq!(rig.vfs.lseek(A, same, 0, seek::CUR), Ok(6), "two descriptors of one file share its position");
    rig.write(appending, b"g");
    assert_eq!(rig.read(appending), Err(Errno::EBADF), "it is for writing alone");
    assert_eq!(rig.read(file), Ok(b"g".into()));
    assert_eq!(rig.vfs.close(A, other), Err(Errno::EBADF), "what was closed stays closed");
    assert_eq!(rig.open("/g", RW), other, "and its number is the lowest that is free");
    assert_eq!(rig.vfs.fstat(B, file).map(drop), Err(Errno::EBADF), "it is the app's own");
}

#[test]
fn a_file_without_a_name_lives_as_long_as_descriptors_that_were_taken_over() {
    let mut rig = boot();
    let fd = rig.open("/f", RW);
    let (same, ino) = (rig.vfs.dup(A, fd).expect("there is room"), rig.ino(fd));
    rig.write(fd, b"abc");
    assert_eq!(rig.vfs.unlink(A, "/f"), Ok(()));
    rig.restart();
    assert_eq!(rig.vfs.close(A, fd), Ok(()));
    rig.restart();
    assert_eq!(rig.vfs.lseek(A, same, 0, seek::SET), Ok(0));
    assert_eq!(rig.read(same), Ok(b"abc".into()));
    rig.vfs.app_exited(AppId(1));
    assert_eq!(rig.fs.getattr(ino).map(drop), Err(Errno::ENOENT), "the last hold ended");
    rig.restart();
    assert_eq!(rig.read(same), Err(Errno::EBADF));
}

#[test]
fn holds_of_calls_under_way_end_with_their_vfs() {
    let mut rig = boot();
    let fd = rig.open("/f", RW);
    let ino = rig.ino(fd);
    // As if two calls had died between holding and answering: both were noted before.
    for _ in 0..2 {
        let at = super::mounts::Location { mount: 0, ino };
        core::mem::forget(rig.vfs.notes.file(kd_api::interfaces::fs::Kind::File, at, RW, 0));
        assert_eq!(rig.fs.hold(ino).map(drop), Ok(()));
    }
    assert_eq!(rig.vfs.unlink(A, "/f"), Ok(()));
    rig.restart();
    assert!(rig.fs.getattr(ino).is_ok(), "a descriptor leads to it");
    assert_eq!(rig.vfs.close(A, fd), Ok(()));
    assert_eq!(rig.fs.getattr(ino).map(drop), Err(Errno::ENOENT));
}

#[test]
fn pipes_stay_connected() {
    let mut rig = boot();
    let (reading, writing) = rig.vfs.pipe(A).expect("made");
    rig.write(writing, b"abc");
    rig.restart();
    assert_eq!(rig.read(reading), Ok(b"abc".into()));
    rig.write(writing, b"d");
    assert_eq!(rig.vfs.close(A, writing), Ok(()));
    rig.restart();
    assert_eq!(rig.read(reading), Ok(b"d".into()));
    assert_eq!(rig.read(reading), Ok(b"".into()), "the end");
}

#[test]
fn apps_stay_who_they_are() {
    let mut rig = boot();
    assert_eq!(rig.vfs.umask(A, 0o77), Ok(0));
    assert_eq!(rig.vfs.set_user(A, 7, 8), Ok(()));
    rig.restart();
    assert_eq!(rig.vfs.set_user(A, 0, 0), Err(Errno::EPERM));
    assert_eq!(rig.vfs.umask(A, 0o22), Ok(0o77));
    rig.restart();
    assert_eq!(rig.vfs.umask(A, 0), Ok(0o22));
    assert_eq!(rig.vfs.set_user(B, 1, 1), Ok(()), "another is the superuser still");
    rig.vfs.app_exited(AppId(1));
    rig.restart();
    assert_eq!(rig.vfs.set_user(A, 1, 1), Ok(()), "who comes after it is nobody's heir");
}

/// What is lost is an error until it is closed, and its number nobody else's meanwhile.
#[test]
fn what_does_not_fit_is_lost_and_says_so() {
    let mut rig = boot();
    let (gone, kept) = (rig.open("/gone", RW), rig.open("/kept", RW));
    rig.write(kept, b"abc");
    let ino = rig.ino(gone);
    assert_eq!(rig.vfs.unlink(A, "/gone"), Ok(()));
    // The file system forgot it, as one does that was started anew.
    assert_eq!(rig.fs.release(ino), Ok(()));
    rig.restart();
    assert_eq!(rig.read(gone), Err(Errno::EIO));
    assert_eq!(rig.vfs.lseek(A, kept, 0, seek::SET), Ok(0));
    assert_eq!(rig.read(kept), Ok(b"abc".into()));
    assert!(rig.open("/new", RW) > kept);
    rig.restart();
    assert_eq!(rig.vfs.fsync(A, gone), Err(Errno::EIO));
    assert_eq!(rig.vfs.close(A, gone), Ok(()));
    assert_eq!(rig.open("/new", RW), gone);
}

/// Each word of the store in turn is spoiled: a descriptor works as before, or fails.
#[test]
fn a_spoiled_store_misleads_nobody() {
    for word in 0..64 {
        let mut rig = boot();
        let (file, other) = (rig.open("/f", RW), rig.open("/g", RW));
        rig.write(file, b"abcdef");
        rig.write(other, b"ghijkl");
        assert_eq!(rig.vfs.lseek(A, file, 2, seek::SET), Ok(2));
        rig.store[word].fetch_xor(0x0001_0000_0100_0301, SeqCst);
        rig.restart();
        for (fd, rest) in [(file, &b"cdef"[..]), (other, b"")] {
            match rig.read(fd) {
                Ok(bytes) => assert_eq!(bytes, rest, "word {word}"),
                Err(errno) => assert!(matches!(errno, Errno::EIO | Errno::EBADF), "word {word}: {errno}"),
            }
        }
    }
}

/// What was written to a file system that died may be lost: a sync says so once, though the VFS died as well.
#[test]
fn a_sync_by_another_instance_fails_once() {
    let mut rig = boot();
    let root = rig.open("/", open::RDONLY);
    rig.restart();
    assert_eq!(rig.vfs.fsync(A, root), Ok(()), "the same one");
    // Which has a root directory, and so does one that was started anew.
    rig.imports.insert("ramfs", Handle::new::<dyn FileSystem>(Arc::new(RamFs::counting_from(9).expect("made"))));
    rig.restart();
    let syncs = [(); 3].map(|()| rig.vfs.fsync(A, root));
    assert_eq!(syncs, [Err(Errno::EIO), Ok(()), Ok(())]);
}
