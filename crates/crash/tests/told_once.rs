//! Who is told of a failure of the disk: each open file, once, through the VFS and all below it; and what is left is
//! sound.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use kd_api::interfaces::block::{BlockDevice, Statistics, read_each, write_each};
use kd_api::interfaces::fs::FileSystem;
use kd_api::interfaces::proc::Proc;
use kd_api::interfaces::syscalls::Syscalls;
use kd_api::interfaces::vfs::{Vfs, open};
use kd_api::{Blocks, Caller, Errno, Fd, Handle, Imports, InBuf, OutBuf, Result};
use kd_crash::Subject;
use kd_crash::campaign::{BLOCKS, empty};
use kd_crash::check::fsck;
use kd_crash::disk::Disk;
use kd_subsystems::jfs::Jfs;
use kd_subsystems::syscalls::SyscallTable;

const A: Caller = Caller::app(1);
const B: Caller = Caller::app(2);
const EIO: Result<()> = Err(Errno::EIO);

/// Fails one write or flush when it is told to.
struct Failing {
    disk: Arc<Disk>,
    armed: AtomicBool,
    /// How many pass before that.
    left: AtomicUsize,
    error: Errno,
}

impl Failing {
    /// The write or flush after so many more fails.
    fn arm(&self, after: usize) {
        self.left.store(after, Relaxed);
        self.armed.store(true, Relaxed);
    }

    /// Whether it failed since.
    fn hit(&self) -> bool {
        !self.armed.swap(false, Relaxed)
    }

    fn pass(&self) -> Result<()> {
        if !self.armed.load(Relaxed) {
            return Ok(());
        }
        match self.left.load(Relaxed) {
            0 => {
                self.armed.store(false, Relaxed);
                Err(self.error)
            }
            left => {
                self.left.store(left - 1, Relaxed);
                Ok(())
            }
        }
    }
}

impl BlockDevice for Failing {
    fn capacity(&self) -> Result<u64> {
        self.disk.capacity()
    }

    fn read(&self, sector: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        self.disk.read(sector, out)
    }

    fn write(&self, sector: u64, fua: bool, data: &mut InBuf<'_>) -> Result<usize> {
        self.pass()?;
        self.disk.write(sector, fua, data)
    }

    fn read_many(&self, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        read_each(self, &blocks, out)
    }

    fn write_many(&self, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        write_each(self, &blocks, data)
    }

    fn flush(&self) -> Result<()> {
        self.pass()?;
        self.disk.flush()
    }

    fn statistics(&self) -> Result<Statistics> {
        self.disk.statistics()
    }
}

/// The subsystems over a new file system on such a disk, wired as a kernel wires them.
struct Kernel {
    failing: Arc<Failing>,
    jfs: Arc<Jfs>,
    calls: SyscallTable,
}

impl Kernel {
    fn boot(error: Errno) -> Kernel {
        let disk = Arc::new(Disk::new(&empty(BLOCKS).expect("it is large enough")));
        let failing = Arc::new(Failing { disk, armed: AtomicBool::new(false), left: AtomicUsize::new(0), error });
        let jfs = Jfs::mount(failing.clone(), Subject::default().options).expect("it is sound");
        let mut started = Imports::default();
        started.insert("jfs", Handle::new::<dyn FileSystem>(jfs.clone()));
        for component in kd_subsystems::components() {
            if started.handle(&component.name).is_none()
                && component.imports.iter().all(|import| started.handle(import).is_some())
            {
                let handle = (component.start)(&started).unwrap_or_else(|why| panic!("{}: {why}", component.name));
                started.insert(&component.name, handle);
            }
        }
        let vfs = started.get::<dyn Vfs>("vfs").expect("it was started");
        let proc = started.get::<dyn Proc>("proc").expect("it was started");
        Kernel { failing, jfs, calls: SyscallTable::new(vfs, proc) }
    }

    fn open(&self, app: Caller) -> Fd {
        self.calls.open(app, "/mnt/file", open::CREAT | open::RDWR, 0o644).expect("there is room")
    }

    fn write(&self, app: Caller, fd: Fd, offset: i64, bytes: usize) {
        let data = vec![7; bytes];
        assert_eq!(self.calls.pwrite(app, fd, offset, &mut InBuf::new(&data)), Ok(bytes));
    }
}

#[test]
fn each_file_that_was_open_is_told_once() {
    for error in [Errno::EIO, Errno::ENOSPC] {
        let kernel = Kernel::boot(error);
        let sync = |app, fd| kernel.calls.fsync(app, fd);
        let (a, b, idle) = (kernel.open(A), kernel.open(B), kernel.open(B));
        let twin = kernel.calls.dup(A, a).expect("there are descriptors");
        kernel.write(A, a, 0, 5_000);
        assert_eq!([sync(A, a), sync(B, b)], [Ok(()); 2]);
        kernel.write(A, a, 0, 5_000);
        kernel.failing.arm(0);
        assert_eq!([sync(A, a), sync(A, a)], [Err(error), Ok(())], "who syncs first, once");
        assert!(kernel.failing.hit());
        assert_eq!(sync(A, twin), Ok(()), "the same open file");
        let late = kernel.open(B);
        assert_eq!([sync(B, b), sync(B, b)], [Err(error), Ok(())], "who had it open, once");
        assert_eq!([kernel.calls.fdatasync(B, idle), sync(B, idle)], [Err(error), Ok(())], "though it wrote nothing");
        assert_eq!(sync(B, late), Ok(()), "who came when somebody knew");
        // Another failure is another thing to be told.
        kernel.write(B, b, 0, 100);
        kernel.failing.arm(0);
        assert_eq!([sync(B, b), sync(A, a), sync(B, late)], [Err(error); 3]);
        assert_eq!([sync(A, a), sync(A, twin), sync(B, b), sync(B, late)], [Ok(()); 4]);
        assert_eq!([sync(B, idle), sync(B, idle)], [Err(error), Ok(())]);
    }
}

#[test]
fn a_failure_that_nobody_knows_of_is_told_to_who_opens_the_file_then() {
    let kernel = Kernel::boot(Errno::EIO);
    let sync = |app, fd| kernel.calls.fsync(app, fd);
    let a = kernel.open(A);
    kernel.write(A, a, 0, 5_000);
    assert_eq!(sync(A, a), Ok(()));
    kernel.write(A, a, 0, 5_000);
    kernel.failing.arm(0);
    // `sync` writes back, and its own caller is told apart from those of the file.
    assert_eq!([kernel.calls.sync(A), kernel.calls.sync(A)], [EIO, Ok(())]);
    let b = kernel.open(B);
    assert_eq!([sync(B, b), sync(A, a), sync(A, a), sync(B, b)], [EIO, EIO, Ok(()), Ok(())]);
}

#[test]
fn failures_of_one_file_are_not_told_of_another() {
    let kernel = Kernel::boot(Errno::EIO);
    let a = kernel.open(A);
    let other = kernel.calls.open(A, "/mnt/other", open::CREAT | open::RDWR, 0o644).expect("there is room");
    kernel.write(A, a, 0, 5_000);
    kernel.write(A, other, 0, 5_000);
    assert_eq!([kernel.calls.fsync(A, a), kernel.calls.fsync(A, other)], [Ok(()); 2]);
    kernel.write(A, a, 0, 5_000);
    kernel.failing.arm(0);
    assert_eq!([kernel.calls.fsync(A, a), kernel.calls.fsync(A, other)], [EIO, Ok(())]);
}

/// What two apps that share a file are told when a certain write or flush fails; whether there was one of this number.
fn fail_at(number: usize, error: Errno) -> bool {
    let kernel = Kernel::boot(error);
    let (a, b) = (kernel.open(A), kernel.open(B));
    let sync = |app, fd| kernel.calls.fsync(app, fd);
    kernel.failing.arm(number);
    kernel.write(A, a, 0, 20_000);
    kernel.write(B, b, 40_000, 9_000);
    let told = [sync(A, a), sync(B, b), sync(A, a), sync(B, b)];
    let hit = kernel.failing.hit();
    if hit {
        // A log that cannot be written ends the file system for writers, and all are told from then on.
        let ended = told.contains(&Err(Errno::EROFS));
        let always = told.iter().all(Result::is_err);
        // One that fails after the first sync returned is told by the next.
        let told: Vec<_> = told.into_iter().chain([sync(A, a), sync(B, b)]).collect();
        let times = |of: usize| told.iter().skip(of).step_by(2).filter(|told| **told == Err(error)).count();
        let once = (times(0), times(1)) == (1, 1) && told.iter().filter(|told| told.is_ok()).count() == 4;
        assert!(once || (ended && always), "request {number}, {error:?}: {told:?}");
    } else {
        assert_eq!(told, [Ok(()); 4], "{error:?}: nothing failed before request {number}");
    }
    let Kernel { failing, jfs, calls } = kernel;
    drop((calls, jfs));
    // The disk is well again, and holds what a crash left.
    let again = Jfs::mount(failing.disk.clone(), Subject::default().options).expect("it can be mounted");
    if !hit {
        let stat = again.lookup(kd_api::interfaces::fs::ROOT, "file").expect("it was synced");
        assert_eq!(stat.size, 49_000);
    }
    again.unmount().expect("the disk is well");
    drop(again);
    fsck(&failing.disk).unwrap_or_else(|fault| panic!("request {number}, {error:?}: {fault}"));
    hit
}

#[test]
fn whichever_write_fails_both_openers_are_told_and_what_is_left_is_sound() {
    for error in [Errno::EIO, Errno::ENOSPC] {
        let requests = (0..).take_while(|number| fail_at(*number, error)).count();
        assert!(requests >= 5, "data, log, flushes and commit are more than {requests} requests");
    }
}
