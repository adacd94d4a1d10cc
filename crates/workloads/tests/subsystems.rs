//! The workloads on the subsystems themselves, called directly in one process: no kernel core, no module, no boundary.

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use kd_api::interfaces::block::{BlockDevice, SECTOR, Statistics, read_each, write_each};
use kd_api::interfaces::proc::Proc;
use kd_api::interfaces::vfs::Vfs;
use kd_api::{Blocks, Errno, Handle, Imports, InBuf, OutBuf, Result};
use kd_subsystems::syscalls::SyscallTable;
use kd_sync::Park;

use support::{Kernel, TESTS};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// Waits by giving the core away; a wake is seen at the next look.
static PARK: Park = Park { wait: |word, expected, _| yield_while(word, expected), wake: |_, _| {} };

fn yield_while(word: &AtomicU32, expected: u32) {
    if word.load(Ordering::Acquire) == expected {
        std::thread::yield_now();
    }
}

/// The disk behind `/dev/ram0`.
struct Disk(Mutex<Vec<u8>>);

impl Disk {
    fn part(&self, sector: u64, len: usize, work: impl FnOnce(&mut [u8]) -> usize) -> Result<usize> {
        let mut bytes = self.0.lock().expect("nothing panics with it");
        let at = sector as usize * SECTOR;
        bytes.get_mut(at..at + len).map(work).ok_or(Errno::EIO)
    }
}

impl BlockDevice for Disk {
    fn capacity(&self) -> Result<u64> {
        Ok((self.0.lock().expect("nothing panics with it").len() / SECTOR) as u64)
    }

    fn read(&self, sector: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        self.part(sector, out.remaining(), |bytes| out.write(bytes))
    }

    fn write(&self, sector: u64, _: bool, data: &mut InBuf<'_>) -> Result<usize> {
        self.part(sector, data.remaining(), |bytes| data.read(bytes))
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
        Ok(Statistics::default())
    }
}

fn kernel() -> Kernel {
    kd_sync::install(&PARK);
    let mut started = Imports::default();
    for driver in ["ramdisk", "vdisk"] {
        let disk: Arc<dyn BlockDevice> = Arc::new(Disk(Mutex::new(vec![0; 64 << 20])));
        started.insert(driver, Handle::new(disk));
    }
    for component in kd_subsystems::components() {
        // What needs a core of its own has no place here.
        if !component.imports.iter().all(|import| started.handle(import).is_some()) {
            continue;
        }
        let handle = (component.start)(&started).unwrap_or_else(|error| panic!("{}: {error}", component.name));
        started.insert(&component.name, handle);
    }
    let vfs = started.get::<dyn Vfs>("vfs").expect("it was started");
    let proc = started.get::<dyn Proc>("proc").expect("it was started");
    Kernel { sys: Arc::new(SyscallTable::new(vfs, proc)), services: started, part: || {} }
}

// One test, as the first part counts the allocations of the whole process.
#[test]
fn the_subsystems_are_a_kernel_for_every_workload() {
    let kernel = kernel();
    // What makes or removes inodes, names and open files allocates, and a pipe grows to what has been in it at once; a warm read, write or stat allocates nothing anywhere.
    let allocating = support::allocating_loops(&kernel, counting::allocations);
    let names: Vec<&str> = allocating.iter().map(|(name, _)| name.trim_start_matches("disk_")).collect();
    let making = [
        "create",
        "delete",
        "mkdir_rmdir",
        "rename",
        "append_fsync",
        "source_tree",
        "mail_server",
        "kv_log",
        "pipeline",
        // Its time of change goes into a transaction.
        "file_write",
    ];
    let makes = |name: &str| name == "open_close" || making.contains(&name.strip_prefix("disk_").unwrap_or(name));
    assert!(names.iter().all(|name| makes(name)), "{allocating:?}");
    for (name, test) in TESTS {
        println!("{name}");
        test(&kernel);
    }
}
