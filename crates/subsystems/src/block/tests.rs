//! The queue against a device with a gate: what reaches it, in which order, and what comes back to whom.

extern crate std;

mod disk;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread::{ScopedJoinHandle, scope, yield_now};
use std::vec;
use std::vec::Vec;

use kd_api::interfaces::block::{BlockDevice, SECTOR, Statistics};
use kd_api::{Blocks, Errno, InBuf, OutBuf, Result};
use kd_sync::Park;

use self::disk::{Asked, Disk, SECTORS};
use super::{Blk, MERGED_MAX, Options, PLACES, Partition, Scheduler};

/// Sectors of a page.
const PAGE: u64 = 8;
const PAGE_BYTES: usize = PAGE as usize * SECTOR;

static NOW: AtomicU64 = AtomicU64::new(0);

/// Threads that wait give way, so that many of them on few cores take turns.
static PARK: Park = Park { wait: |_, _, _| yield_now(), wake: |_, _| () };

fn queue(disk: &Arc<Disk>, scheduler: Scheduler, depth: u32) -> Blk {
    kd_sync::install(&PARK);
    Blk::new(disk.clone(), &Options { scheduler, depth, clock: || NOW.load(SeqCst) })
}

fn read(blk: &Blk, sector: u64, bytes: usize) -> Result<Vec<u8>> {
    let mut room = vec![0xEE; bytes];
    let mut out = OutBuf::new(&mut room);
    let count = blk.read(sector, &mut out)?;
    assert_eq!(count, out.written());
    room.truncate(count);
    Ok(room)
}

fn write(blk: &Blk, sector: u64, bytes: &[u8]) -> Result<usize> {
    let mut data = InBuf::new(bytes);
    let result = blk.write(sector, false, &mut data);
    assert_eq!(data.remaining(), bytes.len() - result.unwrap_or(0));
    result
}

fn statistics(blk: &Blk) -> Statistics {
    blk.statistics().expect("the device answers")
}

/// What a page of the tests holds.
fn page(sector: u64) -> Vec<u8> {
    (0..PAGE_BYTES).map(|i| (sector as usize * 31 + i / SECTOR) as u8).collect()
}

/// One page for the read or write of it, its sector first; what a read brought, or a write was given.
fn transfer(blk: &Blk, write_it: bool, sector: u64) -> Result<Vec<u8>> {
    match write_it {
        true => write(blk, sector, &page(sector)).map(|_| page(sector)),
        false => read(blk, sector, PAGE_BYTES),
    }
}

/// Lets a request for page 0 into the device and closes it; lets `requests` queue up in this order; opens it again. What
/// each came to, and what the device was asked after the first.
fn gathered(disk: &Arc<Disk>, blk: &Blk, requests: &[(bool, u64)]) -> (Vec<Result<Vec<u8>>>, Vec<Asked>) {
    disk.asked.lock().expect("no panic").clear();
    disk.close();
    scope(|s| {
        let first = s.spawn(|| read(blk, 0, SECTOR));
        disk.until_asked(1);
        let waiting: Vec<ScopedJoinHandle<'_, Result<Vec<u8>>>> = (1..)
            .zip(requests)
            .map(|(count, &(write_it, sector))| {
                let handle = s.spawn(move || transfer(blk, write_it, sector));
                while blk.queue.load().0 < count {
                    yield_now();
                }
                handle
            })
            .collect();
        disk.open();
        assert!(first.join().expect("no panic").is_ok());
        let results = waiting.into_iter().map(|handle| handle.join().expect("no panic")).collect();
        (results, disk.asked()[1..].to_vec())
    })
}

#[test]
fn alone_a_request_passes_straight_through() {
    let disk = Disk::new();
    let blk = queue(&disk, Scheduler::None, 1);
    assert_eq!(blk.capacity(), Ok(SECTORS));
    assert_eq!(write(&blk, 5, &[7; 3 * SECTOR]), Ok(3 * SECTOR));
    assert_eq!(read(&blk, 6, SECTOR), Ok(vec![7; SECTOR]));
    assert_eq!(read(&blk, SECTORS, SECTOR), Err(Errno::EIO));
    assert_eq!(read(&blk, u64::MAX, SECTOR), Err(Errno::EIO));
    assert_eq!(blk.flush(), Ok(()));
    assert_eq!(disk.asked(), [(true, 5, 3), (false, 6, 1), (false, SECTORS, 1), (false, u64::MAX, 1)]);
    let (reads, writes) = ((1, 1), (1, 3));
    assert_eq!(
        statistics(&blk),
        Statistics {
            reads: reads.0,
            sectors_read: reads.1,
            writes: writes.0,
            sectors_written: writes.1,
            flushes: 1,
            errors: 2,
            merges: 0,
            interrupts: 7,
        }
    );
}

#[test]
fn none_keeps_the_order_and_deadline_sorts() {
    let disk = Disk::new();
    let requests = [(true, 800), (false, 400), (false, 160), (false, 480), (true, 80)];
    let (_, asked) = gathered(&disk, &queue(&disk, Scheduler::None, 1), &requests);
    assert_eq!(asked, requests.map(|(write, sector)| (write, sector, PAGE)));
    // What found the device idle is not the scheduler's to see: its first batch starts with the oldest read.
    let (_, asked) = gathered(&disk, &queue(&disk, Scheduler::Deadline, 1), &requests);
    assert_eq!(asked.iter().map(|&(_, sector, _)| sector).collect::<Vec<_>>(), [400, 480, 160, 800, 80]);
}

#[test]
fn neighbours_become_one_request() {
    for write_it in [true, false] {
        let disk = Disk::new();
        let blk = queue(&disk, Scheduler::None, 1);
        if !write_it {
            for sector in (0..400).step_by(PAGE as usize) {
                disk.bytes.lock().expect("no panic")[sector as usize * SECTOR..][..PAGE_BYTES]
                    .copy_from_slice(&page(sector));
            }
        }
        // Behind, before, one apart, and the one that closes the gap.
        let sectors = [160, 168, 152, 184, 176, 320];
        let (results, asked) = gathered(&disk, &blk, &sectors.map(|sector| (write_it, sector)));
        assert_eq!(asked, [(write_it, 152, 5 * PAGE), (write_it, 320, PAGE)]);
        for (sector, result) in sectors.into_iter().zip(results) {
            assert_eq!(result, Ok(page(sector)));
            assert_eq!(read(&blk, sector, PAGE_BYTES), Ok(page(sector)), "on the disk as well");
        }
        let seen = statistics(&blk);
        match write_it {
            true => assert_eq!((seen.writes, seen.sectors_written, seen.merges), (2, 6 * PAGE, 4)),
            false => assert_eq!((seen.reads, seen.sectors_read, seen.merges), (1 + 2 + 6, 1 + 12 * PAGE, 4)),
        }
    }
}

#[test]
fn what_must_not_be_merged_is_not() {
    let disk = Disk::new();
    let blk = queue(&disk, Scheduler::None, 1);
    // A read beside a write; and no more than one message carries.
    let (_, asked) = gathered(&disk, &blk, &[(true, 160), (false, 168), (false, 184)]);
    assert_eq!(asked, [(true, 160, PAGE), (false, 168, PAGE), (false, 184, PAGE)]);
    let run: Vec<_> = (0..40).map(|i| (false, 160 + i * PAGE)).collect();
    let (_, asked) = gathered(&disk, &blk, &run);
    let most = (MERGED_MAX / SECTOR) as u64;
    assert_eq!(asked, [(false, 160, most), (false, 160 + most, 40 * PAGE - most)]);

    disk.close();
    scope(|s| {
        let before = disk.asked().len();
        s.spawn(|| read(&blk, 0, SECTOR));
        disk.until_asked(before + 1);
        let mut waiting = 0;
        let mut gather = |fua, sector, bytes: usize| {
            let blk = &blk;
            s.spawn(move || blk.write(sector, fua, &mut InBuf::new(&vec![1; bytes])));
            waiting += 1;
            while blk.queue.load().0 < waiting {
                yield_now();
            }
        };
        gather(true, 160, SECTOR);
        gather(false, 161, SECTOR);
        gather(true, 162, SECTOR);
        gather(false, 163, MERGED_MAX);
        gather(false, 163 + (MERGED_MAX / SECTOR) as u64, SECTOR);
        disk.open();
    });
    let asked = disk.asked();
    let lengths: Vec<u64> = asked[asked.len() - 5..].iter().map(|(_, _, sectors)| *sectors).collect();
    assert_eq!(lengths, [1, 1, 1, (MERGED_MAX / SECTOR) as u64, 1]);
}

#[test]
fn an_error_meets_exactly_those_it_belongs_to() {
    for write_it in [true, false] {
        let sectors: Vec<u64> = [24, 0, 16, 8, 48, 40, 32, 56].map(|sector| 160 + sector).to_vec();
        for bad in 160..160 + 8 * PAGE {
            let disk = Disk::new();
            let blk = queue(&disk, Scheduler::Deadline, 1);
            disk.bad.store(bad, SeqCst);
            let requests: Vec<_> = sectors.iter().map(|&sector| (write_it, sector)).collect();
            let (results, asked) = gathered(&disk, &blk, &requests);
            assert_eq!((asked[0], asked.len()), ((write_it, 160, 8 * PAGE), 9), "once together, then each by itself");
            for (&sector, result) in sectors.iter().zip(results) {
                match (sector..sector + PAGE).contains(&bad) {
                    true => assert_eq!(result, Err(Errno::EIO)),
                    false => assert_eq!(result.map(|bytes| bytes.len()), Ok(PAGE_BYTES)),
                }
            }
            assert_eq!(blk.queue.load(), (0, 0));
            assert_eq!((statistics(&blk).errors, statistics(&blk).merges), (1, 0));
            disk.bad.store(u64::MAX, SeqCst);
            for &sector in &sectors {
                let stored = write_it && !(sector..sector + PAGE).contains(&bad);
                let expected = if stored { page(sector) } else { vec![0; PAGE_BYTES] };
                assert_eq!(read(&blk, sector, PAGE_BYTES), Ok(expected));
            }
        }
    }
}

#[test]
fn a_merged_request_that_falls_short_is_undone() {
    let disk = Disk::new();
    let blk = queue(&disk, Scheduler::None, 1);
    disk.longest.store(PAGE_BYTES as u64 + 100, SeqCst);
    let (results, asked) = gathered(&disk, &blk, &[(true, 160), (true, 168), (true, 176)]);
    assert_eq!(results, [160, 168, 176].map(|sector| Ok(page(sector))));
    assert_eq!(asked.len(), 4);
    assert_eq!((statistics(&blk).writes, statistics(&blk).merges), (3, 0));
}

#[test]
fn a_flush_serves_those_who_came_before_it_began() {
    let disk = Disk::new();
    let blk = queue(&disk, Scheduler::None, 1);
    let flushes = || disk.flushes.load(SeqCst);
    for round in 0..3 {
        let bad = round * 2 + 2;
        disk.bad_flush.store(bad, SeqCst);
        disk.close();
        scope(|s| {
            let first = s.spawn(|| blk.flush());
            while flushes() < round * 2 + 1 {
                yield_now();
            }
            // These come while it runs: what they wait for may have been written after it began.
            let later: Vec<_> = (0..7).map(|_| s.spawn(|| blk.flush())).collect();
            while blk.flushes.waiting() < 7 {
                yield_now();
            }
            assert_eq!(flushes(), round * 2 + 1);
            disk.open();
            assert_eq!(first.join().expect("no panic"), Ok(()));
            for waiter in later {
                assert_eq!(waiter.join().expect("no panic"), Err(Errno::EIO), "the second failed for all of them");
            }
        });
        assert_eq!(flushes(), round * 2 + 2);
    }
    assert_eq!((statistics(&blk).flushes, statistics(&blk).errors), (3, 3));
    assert_eq!(blk.flush(), Ok(()));
}

#[test]
fn a_partition_ends_where_it_ends() {
    let disk = Disk::new();
    for (from, to) in [(0, SECTORS + 1), (9, 8), (u64::MAX, u64::MAX)] {
        assert_eq!(Partition::new(disk.clone(), from..to).err(), Some(Errno::EINVAL));
    }
    let part = Partition::new(disk.clone(), 16..24).expect("it is there");
    assert_eq!(part.capacity(), Ok(8));
    assert_eq!(part.write(6, false, &mut InBuf::new(&[1; 2 * SECTOR])), Ok(2 * SECTOR));
    let mut room = [0; 2 * SECTOR];
    assert_eq!(part.read(6, &mut OutBuf::new(&mut room)), Ok(2 * SECTOR));
    assert_eq!((room, disk.asked()), ([1; 2 * SECTOR], vec![(true, 22, 2), (false, 22, 2)]));
    for sector in [7, 8, u64::MAX - 16, u64::MAX] {
        assert_eq!(part.write(sector, false, &mut InBuf::new(&[1; 2 * SECTOR])), Err(Errno::ENOSPC), "{sector}");
        assert_eq!(part.read(sector, &mut OutBuf::new(&mut room)), Err(Errno::EIO), "{sector}");
    }
    assert_eq!(part.read(0, &mut OutBuf::new(&mut room[1..])), Err(Errno::EINVAL));
    assert_eq!((part.flush(), disk.flushes.load(SeqCst), disk.asked().len()), (Ok(()), 1, 2));
}

#[test]
fn a_request_that_waited_too_long_goes_first() {
    let disk = Disk::new();
    let blk = queue(&disk, Scheduler::Deadline, 1);
    disk.asked.lock().expect("no panic").clear();
    // A batch has to end for deadlines to be looked at: the sixteen reads of the first one lie above sector 1000.
    let batch: Vec<_> = (0..17).map(|i| (false, 1000 + 2 * PAGE * i)).collect();
    let late = (false, 80);
    let requests: Vec<_> = batch.into_iter().chain([late]).collect();
    let plain = |asked: Vec<Asked>| asked.into_iter().map(|(_, sector, _)| sector).collect::<Vec<_>>();
    let (_, asked) = gathered(&disk, &blk, &requests);
    assert_eq!(plain(asked)[15..], [1000 + 2 * PAGE * 15, 1000 + 2 * PAGE * 16, 80], "upwards");

    // The same with the lowest one there half a second before the others.
    let blk = queue(&disk, Scheduler::Deadline, 1);
    disk.asked.lock().expect("no panic").clear();
    let _ = read(&blk, 0, SECTOR);
    let before = NOW.load(SeqCst);
    disk.close();
    scope(|s| {
        let blk = &blk;
        let gather = |sector: u64, waiting: usize| {
            s.spawn(move || read(blk, sector, SECTOR));
            while blk.queue.load().0 < waiting {
                yield_now();
            }
        };
        s.spawn(|| read(blk, 0, SECTOR));
        disk.until_asked(2);
        gather(500, 1);
        gather(80, 2);
        for i in 0..17 {
            gather(1000 + 2 * i, 3 + i as usize);
        }
        NOW.store(before + 500_000_000, SeqCst);
        disk.open();
    });
    let order = plain(disk.asked());
    assert_eq!(order[2], 500, "the oldest begins the first batch");
    assert_eq!(order[18], 80, "and the second, since it waited too long: {order:?}");
}

#[test]
fn more_than_there_are_places_for_are_served() {
    let disk = Disk::new();
    let blk = queue(&disk, Scheduler::Deadline, 2);
    disk.close();
    let calls = PLACES as u64 + 20;
    scope(|s| {
        for i in 0..calls {
            let blk = &blk;
            s.spawn(move || assert_eq!(transfer(blk, true, i * PAGE), Ok(page(i * PAGE))));
        }
        while blk.queue.load().0 < PLACES {
            yield_now();
        }
        disk.open();
    });
    for i in 0..calls {
        assert_eq!(read(&blk, i * PAGE, PAGE_BYTES), Ok(page(i * PAGE)));
    }
    let seen = statistics(&blk);
    assert_eq!((seen.writes + seen.merges, seen.sectors_written), (calls, calls * PAGE));
    assert_eq!((seen.reads, blk.queue.load()), (calls, (0, 0)));
}

/// Each thread's sectors lie between the others', so that what is merged is always of several threads.
fn hammer(scheduler: Scheduler, depth: u32, rounds: u64) -> Statistics {
    const THREADS: u64 = 6;
    const EACH: u64 = 8;
    let disk = Disk::new();
    disk.slow.store(10, SeqCst);
    let blk = queue(&disk, scheduler, depth);
    let (reads, writes) = (AtomicU64::new(0), AtomicU64::new(0));
    scope(|s| {
        for thread in 0..THREADS {
            let (blk, reads, writes) = (&blk, &reads, &writes);
            s.spawn(move || {
                let mut model = [0_u8; EACH as usize];
                let mut random = thread * 0x9E37_79B9 + 1;
                for round in 0..rounds {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let index = (random >> 33) % EACH;
                    let sector = index * THREADS + thread;
                    if random >> 63 == 0 {
                        let value = (round + thread) as u8;
                        assert_eq!(write(blk, sector, &[value; SECTOR]), Ok(SECTOR));
                        model[index as usize] = value;
                        writes.fetch_add(1, SeqCst);
                    } else {
                        assert_eq!(read(blk, sector, SECTOR), Ok(vec![model[index as usize]; SECTOR]));
                        reads.fetch_add(1, SeqCst);
                    }
                    if round % 64 == 0 {
                        assert_eq!(blk.flush(), Ok(()));
                    }
                }
            });
        }
    });
    let seen = statistics(&blk);
    let (reads, writes) = (reads.load(SeqCst), writes.load(SeqCst));
    assert_eq!((seen.sectors_read, seen.sectors_written), (reads, writes));
    assert_eq!(seen.reads + seen.writes + seen.merges, reads + writes);
    assert_eq!(disk.asked().len() as u64, seen.reads + seen.writes);
    assert_eq!((seen.errors, blk.queue.load()), (0, (0, 0)));
    seen
}

#[test]
fn many_threads_each_find_what_they_wrote() {
    for scheduler in [Scheduler::None, Scheduler::Deadline] {
        for depth in [1, 2, 4] {
            let seen = hammer(scheduler, depth, 1000);
            assert!(depth > 1 || seen.merges > 0, "the test tests something: {seen:?}");
        }
    }
}

#[test]
fn a_vectored_request_goes_down_as_it_came() {
    let disk = Disk::new();
    let blk = queue(&disk, Scheduler::None, 1);
    let blocks = |sectors: &[u64]| Blocks::new(PAGE_BYTES, sectors.iter().copied()).unwrap();
    let places = [40, 0, 24];
    let data: Vec<u8> = places.into_iter().flat_map(page).collect();
    // It waits beside a request that it touches on both sides, and is merged with nothing.
    disk.close();
    scope(|scope| {
        let first = scope.spawn(|| read(&blk, 800, SECTOR));
        disk.until_asked(1);
        let many = scope.spawn(|| blk.write_many(blocks(&places), &mut InBuf::new(&data)));
        let single = scope.spawn(|| write(&blk, 8, &page(8)));
        while blk.queue.load().0 < 2 {
            yield_now();
        }
        disk.open();
        assert!(first.join().unwrap().is_ok());
        assert_eq!(many.join().unwrap(), Ok(data.len()));
        assert_eq!(single.join().unwrap(), Ok(PAGE_BYTES));
    });
    assert_eq!((disk.many.load(SeqCst), disk.asked().len(), statistics(&blk).merges), (1, 5, 0));
    let mut room = vec![0; data.len()];
    assert_eq!(blk.read_many(blocks(&places), &mut OutBuf::new(&mut room)), Ok(data.len()));
    assert!(room == data, "each block lies where it was to");
    let Statistics { reads, sectors_read, writes, sectors_written, errors, .. } = statistics(&blk);
    assert_eq!((reads, sectors_read, writes, sectors_written, errors), (4, 25, 4, 32, 0));
    disk.bad.store(3, SeqCst);
    assert_eq!(blk.read_many(blocks(&places), &mut OutBuf::new(&mut room)), Ok(PAGE_BYTES), "up to the bad one");
    assert_eq!(blk.read_many(blocks(&[0, 40]), &mut OutBuf::new(&mut room)), Err(Errno::EIO));
    assert_eq!((statistics(&blk).reads, statistics(&blk).errors), (5, 2));
}

#[test]
fn a_vectored_request_stays_within_its_partition() {
    let disk = Disk::new();
    let part = Partition::new(disk.clone(), 100..200).unwrap();
    let mut room = [0; 3 * SECTOR];
    let mut read = |sectors: [u64; 3]| part.read_many(Blocks::new(SECTOR, sectors)?, &mut OutBuf::new(&mut room));
    assert_eq!(read([99, 0, 50]), Ok(3 * SECTOR));
    assert_eq!(disk.asked(), [(false, 199, 1), (false, 100, 1), (false, 150, 1)]);
    assert_eq!(read([1, 100, 2]), Ok(SECTOR), "nothing beyond the end");
    assert_eq!(read([u64::MAX, 1, 2]), Err(Errno::EIO));
    assert_eq!(disk.asked().len(), 4);
    let data = &mut InBuf::new(&[0; SECTOR]);
    assert_eq!(part.write_many(Blocks::new(SECTOR, [100]).unwrap(), data), Err(Errno::ENOSPC));
}
