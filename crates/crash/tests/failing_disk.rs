//! A disk that fails at one request, for every request there is, and one that is too small, in every size: callers are
//! told, and what is left is sound.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use kd_api::interfaces::block::{BlockDevice, Statistics, read_each, write_each};
use kd_api::{Blocks, Errno, InBuf, OutBuf, Result};
use kd_crash::Subject;
use kd_crash::campaign::{BLOCKS, empty, totals};
use kd_crash::check::{Expected, check};
use kd_crash::disk::Disk;
use kd_crash::workload::{Op, Runner, generate};
use kd_subsystems::jfs::Jfs;
use rayon::prelude::*;

/// Fails one request: the `at`-th, counted from 0.
struct Failing {
    disk: Arc<Disk>,
    at: usize,
    /// All later writes and flushes fail too.
    for_good: bool,
    error: Errno,
    requests: AtomicUsize,
}

impl Failing {
    fn pass(&self) -> Result<()> {
        let number = self.requests.fetch_add(1, Relaxed);
        if number == self.at || (self.for_good && number > self.at) { Err(self.error) } else { Ok(()) }
    }
}

impl BlockDevice for Failing {
    fn capacity(&self) -> Result<u64> {
        self.disk.capacity()
    }

    fn read(&self, sector: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        self.pass()?;
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

/// Runs a workload on such a disk, until somebody is told; whether there was a request with this number.
fn fail_at(seed: u64, at: usize, for_good: bool, error: Errno) -> bool {
    let what = format!("workload {seed}, request {at} fails ({error:?}, for good: {for_good})");
    let options = Subject::default().options;
    let image = empty(BLOCKS).expect("it is large enough");
    let totals = totals(&image, options).expect("it is sound");
    let disk = Arc::new(Disk::new(&image));
    let failing = Arc::new(Failing { disk: disk.clone(), at, for_good, error, requests: AtomicUsize::new(0) });
    let Ok(fs) = Jfs::mount(failing.clone(), options) else {
        assert!(failing.requests.load(Relaxed) > at, "{what}: refused without a reason");
        return true;
    };
    let mut runner = Runner::new(fs.clone());
    let mut acknowledged = Vec::new();
    let mut told = false;
    for op in generate(seed) {
        match runner.step(&op) {
            Ok(()) if matches!(op, Op::Sync | Op::Fsync { .. }) => acknowledged.push(runner.model.ops.len() - 1),
            Ok(()) => {}
            Err(_) => {
                // What it began may be there.
                if !matches!(op, Op::Sync | Op::Fsync { .. } | Op::Hold { .. } | Op::Release { .. }) {
                    runner.model.apply(&op);
                }
                told = true;
                break;
            }
        }
    }
    let hit = failing.requests.load(Relaxed) > at;
    assert!(hit || !told, "{what}: an error without a failure");
    if !told {
        match runner.step(&Op::Sync) {
            Ok(()) => acknowledged.push(runner.model.ops.len() - 1),
            Err(_) => told = true,
        }
    }
    drop((runner.fs(), fs));
    let model = std::mem::take(&mut runner.model);
    drop(runner);
    // The disk is well again. What was acknowledged is there; if nobody was told, all of it.
    let expected =
        Expected { model: &model, acknowledged: &acknowledged, until: model.ops.len() + 1, totals, contents: !told };
    check(&disk, options, &expected).unwrap_or_else(|fault| panic!("{what}: {fault}"));
    hit
}

fn every_request(seed: u64, for_good: bool, error: Errno) -> usize {
    let mut requests = 0;
    while (requests..requests + 16).into_par_iter().map(|at| fail_at(seed, at, for_good, error)).all(|hit| hit) {
        requests += 16;
    }
    requests
}

#[test]
fn whichever_request_fails_callers_are_told_and_what_is_left_is_sound() {
    for seed in 1..5 {
        for (for_good, error) in [(false, Errno::EIO), (true, Errno::EIO), (false, Errno::ENOSPC)] {
            assert!(every_request(seed, for_good, error) >= 32, "the workload asks the disk for something");
        }
    }
}

/// Runs a workload on a disk of this size, going on whenever there is no room; how many operations had none.
fn in_room_of(blocks: usize, seed: u64) -> usize {
    let options = Subject::default().options;
    let image = empty(blocks).expect("the smallest is large enough");
    let totals = totals(&image, options).expect("it is sound");
    let disk = Arc::new(Disk::new(&image));
    let fs = Jfs::mount(disk.clone(), options).expect("it is sound");
    let mut runner = Runner::new(fs.clone());
    let mut full = 0;
    // Operations name inodes by number, so from the first that was not made they mean others; those fail in peace.
    for op in generate(seed) {
        match runner.step(&op) {
            Ok(()) => {}
            Err(Errno::ENOSPC) => {
                full += 1;
                if matches!(
                    op,
                    Op::Create { .. } | Op::Mkdir { .. } | Op::Symlink { .. } | Op::Rename { .. } | Op::Link { .. }
                ) {
                    break;
                }
            }
            Err(errno) => panic!("{blocks} blocks, workload {seed}: {op:?}: {errno:?}"),
        }
    }
    runner.step(&Op::Sync).expect("what was taken fits");
    let last = runner.model.ops.len() - 1;
    let model = std::mem::take(&mut runner.model);
    fs.unmount().expect("what was taken fits");
    drop((runner, fs));
    let acknowledged = [last];
    let expected = Expected { model: &model, acknowledged: &acknowledged, until: last + 2, totals, contents: true };
    match check(&disk, options, &expected) {
        // The check itself wants room for a file.
        Ok(()) | Err(kd_crash::check::Fault::Use(Errno::ENOSPC)) => {}
        Err(fault) => panic!("{blocks} blocks, workload {seed}: {fault}"),
    }
    full
}

#[test]
fn a_disk_of_any_size_may_be_full_and_stays_sound() {
    // From almost no room to enough.
    let sizes: Vec<usize> = (58..160).collect();
    let mut smallest = 0;
    for seed in 10..14 {
        let full: Vec<usize> = sizes.par_iter().map(|blocks| in_room_of(*blocks, seed)).collect();
        smallest += full[0];
        assert_eq!(full.last(), Some(&0), "workload {seed} does not fit the largest");
    }
    assert_ne!(smallest, 0, "all workloads fit the smallest");
}
