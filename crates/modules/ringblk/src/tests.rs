//! The driver over the machine's own device, which works whenever its doorbell rings or the driver would sleep.

extern crate std;

use std::boxed::Box;
use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::vec;
use std::vec::Vec;

use kd_machine::device::controller::Controller;
use kd_machine::device::frames::Frames;
use kd_machine::device::iommu::Bus;
use kd_machine::device::medium::Medium;
use kd_machine::device::panel::{self, Count, Kinds, Panel};
use kd_machine::device::registers::{self, Registers};
use kd_machine::memory::Memory;

use super::*;

const ADDRESS: u64 = 0x7000_0000;
/// Bytes of the disk.
const DISK: usize = 1 << 20;

struct Machine {
    controller: StdMutex<Controller>,
    registers: Registers,
    panel: Panel,
    frames: Frames,
    sleeps: AtomicUsize,
    rings: AtomicUsize,
}

impl Machine {
    fn new(frames: usize) -> &'static Machine {
        let memory = |size| Memory::new("test", size).unwrap();
        let (page, board, lent) = (memory(registers::SIZE), memory(panel::SIZE), memory(frames));
        let frames = || Frames::new(ADDRESS, lent.map().unwrap());
        let (registers, panel) = (|| Registers::map(&page).unwrap(), || Panel::map(&board).unwrap());
        let medium = Medium::memory(DISK).unwrap();
        let controller = Controller::new(registers(), panel(), Bus::new(vec![frames()]), medium, |_, _| ());
        let machine = Machine {
            controller: StdMutex::new(controller),
            registers: registers(),
            panel: panel(),
            frames: frames(),
            sleeps: AtomicUsize::new(0),
            rings: AtomicUsize::new(0),
        };
        machine.panel.set_iommu(true);
        machine.panel.allow(ADDRESS, lent.size());
        Box::leak(Box::new(machine))
    }

    fn driver(&'static self) -> RingBlock {
        self.probe(64).unwrap()
    }

    fn probe(&'static self, depth: u64) -> Result<RingBlock> {
        RingBlock::probe(&DriverEnv { medium: None, device: Some(self), parameters: &[] }, depth, 256)
    }

    fn work(&self) {
        // Time flies: what is due some time is due now.
        let mut controller = self.controller.lock().unwrap();
        while controller.work(|| 1).is_some() {
            self.panel.set_latency(0);
            if controller.work(|| u64::MAX - 1).is_none() {
                break;
            }
        }
    }
}

impl Device for Machine {
    fn register(&self, register: Register) -> u64 {
        self.registers.get(register)
    }
    fn set_register(&self, register: Register, value: u64) {
        self.registers.set(register, value);
    }
    fn ring(&self) {
        self.rings.fetch_add(1, Relaxed);
    }
    fn interrupts(&self) -> u32 {
        self.registers.interrupts()
    }
    fn wait(&self, _: u32) {
        assert!(self.sleeps.fetch_add(1, Relaxed) < 100_000, "it would sleep for ever");
        self.work();
    }
    fn frames(&self) -> usize {
        self.frames.size()
    }
    fn address(&self) -> u64 {
        ADDRESS
    }
    fn word(&self, offset: usize) -> u64 {
        self.frames.word(offset).unwrap().load(Relaxed)
    }
    fn set_word(&self, offset: usize, value: u64) {
        self.frames.word(offset).unwrap().store(value, Relaxed);
    }
    fn read(&self, offset: usize, len: usize, out: &mut OutBuf<'_>) -> usize {
        self.frames.read(offset, len, out)
    }
    fn write(&self, offset: usize, len: usize, data: &mut InBuf<'_>) -> usize {
        self.frames.write(offset, len, data)
    }
}

const WHOLE: usize = page(QUEUE_MAX);

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 % 251) as u8).collect()
}

fn read(driver: &RingBlock, sector: u64, len: usize) -> Result<Vec<u8>> {
    let mut room = vec![0xEE; len];
    driver.read(sector, &mut OutBuf::new(&mut room)).map(|count| {
        assert_eq!(count, len);
        room
    })
}

#[test]
fn one_request_is_in_the_ring_page_by_page_at_once() {
    let machine = Machine::new(WHOLE);
    let driver = machine.driver();
    assert_eq!(driver.capacity(), Ok((DISK / SECTOR) as u64));
    let bytes = pattern(128 << 10);
    assert_eq!(driver.write(3, false, &mut InBuf::new(&bytes)), Ok(bytes.len()));
    assert_eq!((machine.panel.count(Count::Requests), machine.panel.count(Count::Deepest)), (32, 32));
    let before = machine.panel.count(Count::Interrupts);
    assert_eq!(read(&driver, 3, bytes.len()), Ok(bytes));
    assert_eq!((machine.panel.count(Count::Requests), machine.panel.count(Count::Interrupts)), (64, before + 1));
    // Not whole pages, and more than the ring holds.
    let bytes = pattern(PAGE * 63 + 3 * SECTOR);
    driver.write(5, false, &mut InBuf::new(&bytes)).unwrap();
    assert_eq!(machine.panel.count(Count::Deepest), 64);
    assert_eq!(read(&driver, 5, bytes.len()).unwrap(), bytes);
    assert_eq!(driver.ring.lock().free, u64::MAX, "every entry is given back");
}

/// 32 pages all over the disk, and what is to be there.
fn scattered() -> (Blocks, Vec<u8>) {
    let blocks = Blocks::new(PAGE, (0..32).map(|i| (i * 11 % 32) * 24 + 1)).unwrap();
    (blocks, pattern(blocks.bytes()))
}

fn read_many(driver: &RingBlock, blocks: Blocks) -> Result<Vec<u8>> {
    let mut room = vec![0xEE; blocks.bytes()];
    let mut out = OutBuf::new(&mut room);
    let count = driver.read_many(blocks, &mut out)?;
    assert_eq!(out.written(), count);
    room.truncate(count);
    Ok(room)
}

#[test]
fn scattered_blocks_are_in_the_ring_at_once_with_one_doorbell() {
    let machine = Machine::new(WHOLE);
    let driver = machine.driver();
    let (blocks, bytes) = scattered();
    let counts = || {
        let panel = [Count::Requests, Count::Deepest, Count::Interrupts].map(|count| machine.panel.count(count));
        (panel, machine.rings.load(Relaxed))
    };
    let ([_, _, interrupts], rings) = counts();
    assert_eq!(driver.write_many(blocks, &mut InBuf::new(&bytes)), Ok(bytes.len()));
    assert_eq!(counts(), ([32, 32, interrupts + 1], rings + 1));
    assert_eq!(read_many(&driver, blocks).unwrap(), bytes);
    assert_eq!(counts(), ([64, 32, interrupts + 2], rings + 2));
    for (sector, block) in blocks.at().iter().zip(bytes.chunks(PAGE)) {
        assert_eq!(read(&driver, *sector, PAGE).unwrap(), block);
    }
    let Statistics { reads, sectors_read, writes, sectors_written, errors, .. } = driver.statistics().unwrap();
    assert_eq!((reads, sectors_read, writes, sectors_written, errors), (64, 512, 32, 256, 0));
    assert_eq!(driver.ring.lock().free, u64::MAX, "every entry is given back");
}

#[test]
fn blocks_need_not_be_pages_nor_fit_the_ring() {
    let machine = Machine::new(page(5));
    let driver = machine.driver();
    for (size, at) in
        [(SECTOR, vec![9, 0, 7, 8, 100]), (PAGE + SECTOR, vec![50, 10, 30, 70, 1]), (9 * PAGE, vec![3, 200])]
    {
        let blocks = Blocks::new(size, at).unwrap();
        let bytes = pattern(blocks.bytes());
        assert_eq!(driver.write_many(blocks, &mut InBuf::new(&bytes)), Ok(bytes.len()));
        assert_eq!(read_many(&driver, blocks).unwrap(), bytes, "{size}");
        assert_eq!(read(&driver, blocks.at()[1], size).unwrap(), bytes[size..2 * size]);
    }
    assert_eq!(machine.panel.count(Count::Deepest), 4);
}

#[test]
fn a_bad_block_cuts_a_request_short_and_nothing_else_is_lost() {
    let machine = Machine::new(WHOLE);
    let driver = machine.driver();
    let (blocks, bytes) = scattered();
    let sector = blocks.at()[20];
    machine.panel.set_bad(sector..sector + 1, Kinds::All);
    assert_eq!(driver.write_many(blocks, &mut InBuf::new(&bytes)), Ok(20 * PAGE));
    assert_eq!(read_many(&driver, blocks).unwrap(), bytes[..20 * PAGE]);
    let rest = Blocks::new(PAGE, blocks.at()[20..].iter().copied()).unwrap();
    assert_eq!(read_many(&driver, rest), Err(Errno::EIO), "who asks again learns why");
    assert_eq!(machine.panel.count(Count::MediaErrors), 3);
    // Those behind it were in the ring with it, and were moved.
    for (i, sector) in blocks.at().iter().enumerate().filter(|(i, _)| *i != 20) {
        assert_eq!(read(&driver, *sector, PAGE).unwrap(), bytes[i * PAGE..][..PAGE]);
    }
    let ring = driver.ring.lock();
    assert_eq!((ring.free, ring.in_hand, ring.failed, ring.statistics.errors), (u64::MAX, 0, 0, 3));
}

#[test]
fn blocks_beyond_the_end_or_of_no_sectors_are_not_asked_for() {
    let machine = Machine::new(WHOLE);
    let driver = machine.driver();
    let end = (DISK / SECTOR) as u64;
    let blocks = |size, at: &[u64]| Blocks::new(size, at.iter().copied()).unwrap();
    assert_eq!(read_many(&driver, blocks(SECTOR, &[1, end, 0])).map(|bytes| bytes.len()), Ok(SECTOR));
    assert_eq!(machine.panel.count(Count::Requests), 1);
    assert_eq!(read_many(&driver, blocks(PAGE, &[end - 7])), Err(Errno::EIO));
    assert_eq!(read_many(&driver, blocks(SECTOR, &[u64::MAX])), Err(Errno::EIO));
    assert_eq!(driver.write_many(blocks(SECTOR, &[end]), &mut InBuf::new(&[0; SECTOR])), Err(Errno::ENOSPC));
    assert_eq!(read_many(&driver, blocks(100, &[0])), Err(Errno::EINVAL));
    assert_eq!(driver.read_many(blocks(SECTOR, &[0, 1]), &mut OutBuf::new(&mut [0; SECTOR])), Err(Errno::EINVAL));
    assert_eq!(driver.write_many(blocks(SECTOR, &[0, 1]), &mut InBuf::new(&[0; SECTOR])), Err(Errno::EINVAL));
    assert_eq!(machine.panel.count(Count::Requests), 1);
    machine.registers.gone(|_, _| ());
    assert_eq!(read_many(&driver, blocks(SECTOR, &[0])), Err(Errno::EIO));
}

#[test]
fn a_short_ring_takes_a_long_request_in_turns() {
    let machine = Machine::new(page(5));
    for (depth, entries) in [(64, 4), (3, 2), (1, 1)] {
        let driver = machine.probe(depth).unwrap();
        assert_eq!(driver.depth, entries);
        let bytes = pattern(9 * PAGE + SECTOR);
        driver.write(1, false, &mut InBuf::new(&bytes)).unwrap();
        assert_eq!(read(&driver, 1, bytes.len()).unwrap(), bytes);
    }
    assert_eq!(Machine::new(PAGE).probe(64).err(), Some(Errno::ENODEV));
}

#[test]
fn refuses_what_is_no_request() {
    let driver = Machine::new(WHOLE).driver();
    let end = (DISK / SECTOR) as u64;
    assert_eq!(read(&driver, 0, SECTOR - 1), Err(Errno::EINVAL));
    assert_eq!(read(&driver, 0, 257 << 10), Err(Errno::EINVAL));
    assert_eq!(read(&driver, end - 1, 2 * SECTOR), Err(Errno::EIO));
    assert_eq!(read(&driver, u64::MAX, SECTOR), Err(Errno::EIO));
    assert_eq!(driver.write(end, false, &mut InBuf::new(&[0; SECTOR])), Err(Errno::ENOSPC));
    assert_eq!(read(&driver, end, 0), Ok(vec![]));
}

#[test]
fn flush_and_fua_reach_the_medium_and_a_restart_keeps_the_rest() {
    let machine = Machine::new(WHOLE);
    let driver = machine.driver();
    let write = |driver: &RingBlock, sector, fua| driver.write(sector, fua, &mut InBuf::new(&[7; SECTOR])).unwrap();
    write(&driver, 0, false);
    driver.flush().unwrap();
    write(&driver, 1, false);
    write(&driver, 2, true);
    assert_eq!(machine.panel.count(Count::Syncs), 2);
    let next = machine.driver();
    assert_eq!(read(&next, 0, 3 * SECTOR).unwrap(), [7; 3 * SECTOR]);
    assert_eq!(read(&driver, 0, SECTOR), Err(Errno::EIO), "the device is another instance's now");
    machine.panel.fail_power();
    machine.work();
    assert_eq!(read(&next, 0, SECTOR), Err(Errno::EIO), "only a driver that starts anew resets it");
    let third = machine.driver();
    assert_eq!(read(&third, 0, 3 * SECTOR).unwrap(), [[7; SECTOR], [0; SECTOR], [7; SECTOR]].concat());
}

#[test]
fn a_failed_page_fails_its_request_alone() {
    let machine = Machine::new(WHOLE);
    let driver = machine.driver();
    machine.panel.set_bad(20..21, Kinds::All);
    assert_eq!(read(&driver, 0, 4 * PAGE), Err(Errno::EIO));
    assert_eq!(driver.write(16, false, &mut InBuf::new(&[1; PAGE])), Err(Errno::EIO));
    assert_eq!(read(&driver, 0, 2 * PAGE), Ok(vec![0; 2 * PAGE]));
    assert_eq!(machine.panel.count(Count::MediaErrors), 2);
    assert_eq!(driver.ring.lock().failed, 0);
}

#[test]
fn slow_requests_complete_when_they_do() {
    let machine = Machine::new(WHOLE);
    let driver = machine.driver();
    machine.panel.set_latency(1_000_000);
    assert_eq!(read(&driver, 0, 4 * PAGE), Ok(vec![0; 4 * PAGE]));
}

#[test]
fn completions_that_nobody_waits_for_are_passed_over() {
    let machine = Machine::new(WHOLE);
    let driver = machine.driver();
    for (count, id) in (1..).zip([63, 64, u16::MAX]) {
        let word = Completion { outcome: Outcome::Media, id, count }.encode();
        machine.set_word(COMPLETIONS + (count as usize - 1) * 8, word);
    }
    driver.take_in(&mut driver.ring.lock());
    let ring = driver.ring.lock();
    assert_eq!((ring.head, ring.free, ring.failed, ring.in_hand), (3, u64::MAX, 0, 0));
}

#[test]
fn a_device_that_is_gone_is_an_error() {
    let machine = Machine::new(WHOLE);
    let driver = machine.driver();
    machine.registers.gone(|_, _| ());
    assert_eq!(read(&driver, 0, SECTOR), Err(Errno::EIO));
    assert_eq!(driver.flush(), Err(Errno::EIO));
    let env = DriverEnv { medium: None, device: None, parameters: &[] };
    assert_eq!(RingBlock::probe(&env, 64, 1).err(), Some(Errno::ENODEV));
}
