//! The device, driven step by step from both sides, with a clock of its own.

use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;

use kd_api::device::{Completion, Descriptor, Op, Outcome, PAGE, Register, State, parse_status};
use kd_api::interfaces::block::SECTOR;

use super::controller::Controller;
use super::frames::Frames;
use super::iommu::Bus;
use super::medium::Medium;
use super::panel::{self, Count, Kinds, Panel};
use super::registers::{self, Registers};
use crate::memory::Memory;

/// Where the lent frames are for the device, and somebody else's memory.
const LENT: u64 = 0x10_0000;
const VICTIM: u64 = 0x80_0000;
const FRAMES: usize = 16 * PAGE;
/// Where the rings and the data are in the frames.
const COMPLETIONS: u64 = 2048;
const DATA: u64 = PAGE as u64;
/// Bytes of the disk.
const DISK: usize = 64 << 10;

/// Both sides of a device.
struct Bench {
    device: Controller,
    panel: Panel,
    registers: Registers,
    frames: Frames,
    victim: Frames,
    size: u32,
    tail: u32,
    head: u32,
    now: Cell<u64>,
}

fn mapped(memory: &Memory, address: u64) -> Frames {
    Frames::new(address, memory.map().expect("mapped"))
}

impl Bench {
    fn over(medium: Medium) -> Bench {
        let memory = |size| Memory::new("test", size).expect("memory");
        let (page, board, lent, victim) =
            (memory(registers::SIZE), memory(panel::SIZE), memory(FRAMES), memory(FRAMES));
        let registers = || Registers::map(&page).expect("mapped");
        let panel = || Panel::map(&board).expect("mapped");
        let bus = Bus::new(vec![mapped(&lent, LENT), mapped(&victim, VICTIM)]);
        let device = Controller::new(registers(), panel(), bus, medium, |_, _| ());
        let (panel, registers) = (panel(), registers());
        panel.set_iommu(true);
        assert!(panel.allow(LENT, FRAMES));
        let (frames, victim) = (mapped(&lent, LENT), mapped(&victim, VICTIM));
        let mut bench =
            Bench { device, panel, registers, frames, victim, size: 8, tail: 0, head: 0, now: Cell::new(1000) };
        assert_eq!(bench.reset(1), State::Ready);
        bench
    }

    fn new() -> Bench {
        Bench::over(Medium::memory(DISK).expect("memory"))
    }

    fn work(&mut self) -> Option<u64> {
        self.device.work(|| self.now.get())
    }

    /// A driver starts.
    fn reset(&mut self, session: u64) -> State {
        self.registers.set(Register::QueueSize, self.size.into());
        self.registers.set(Register::Submissions, LENT);
        self.registers.set(Register::Completions, LENT + COMPLETIONS);
        self.registers.set(Register::Tail, 0);
        self.registers.set(Register::Control, session);
        (self.tail, self.head) = (0, 0);
        self.work();
        let (answered, state) = parse_status(self.registers.get(Register::Status));
        assert_eq!(answered, session);
        state
    }

    /// Puts words into the ring, and says so.
    fn put(&mut self, words: [u64; 4]) {
        for (i, word) in words.into_iter().enumerate() {
            let at = (self.tail % self.size) as usize * 32 + i * 8;
            self.frames.word(at).expect("in the frames").store(word, Relaxed);
        }
        self.tail = self.tail.wrapping_add(1);
        self.registers.set(Register::Tail, self.tail.into());
    }

    fn submit(&mut self, descriptor: Descriptor) {
        self.put(descriptor.encode());
    }

    /// The completions since the last look.
    fn completions(&mut self) -> Vec<(u16, Outcome)> {
        let mut all = Vec::new();
        loop {
            let at = COMPLETIONS as usize + (self.head % self.size) as usize * 8;
            let Completion { outcome, id, count } =
                Completion::parse(self.frames.word(at).expect("in the frames").load(Relaxed));
            if count != self.head.wrapping_add(1) {
                return all;
            }
            self.head = count;
            all.push((id, outcome));
        }
    }

    fn one(&mut self, op: Op, fua: bool, sector: u64, len: u32, address: u64) -> Outcome {
        self.submit(Descriptor { op, fua, id: 3, len, sector, address });
        self.work();
        let all = self.completions();
        assert!(matches!(all[..], [(3, _)]), "{all:?}");
        all[0].1
    }

    fn write(&mut self, sector: u64, fua: bool, bytes: &[u8]) -> Outcome {
        self.frames.store(DATA as usize, bytes);
        self.one(Op::Write, fua, sector, bytes.len() as u32, LENT + DATA)
    }

    fn read(&mut self, sector: u64, len: usize) -> Vec<u8> {
        assert_eq!(self.one(Op::Read, false, sector, len as u32, LENT + DATA), Outcome::Done);
        let mut bytes = vec![0xEE; len];
        self.frames.load(DATA as usize, &mut bytes);
        bytes
    }

    fn flush(&mut self) -> Outcome {
        self.one(Op::Flush, false, 0, 0, 0)
    }

    fn fail_power(&mut self) {
        self.panel.fail_power();
        assert!(!self.panel.power_failed());
        self.work();
        assert!(self.panel.power_failed());
    }
}

fn sectors(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|&byte| [byte; SECTOR]).collect()
}

#[test]
fn what_is_written_is_read_and_each_round_raises_one_interrupt() {
    let mut bench = Bench::new();
    assert_eq!(bench.registers.get(Register::Capacity), (DISK / SECTOR) as u64);
    let before = bench.registers.interrupts();
    // Sectors 6 to 9 straddle two blocks of the cache.
    assert_eq!(bench.write(6, false, &sectors(&[1, 2, 3, 4])), Outcome::Done);
    assert_eq!(bench.read(5, 6 * SECTOR), sectors(&[0, 1, 2, 3, 4, 0]));
    assert_eq!(bench.registers.interrupts(), before + 2);
    // A whole ring at once, three times around it: one interrupt each.
    for round in 0..3 {
        for id in 0..8 {
            bench.submit(Descriptor {
                op: Op::Read,
                fua: false,
                id: round * 8 + id,
                len: SECTOR as u32,
                sector: 6,
                address: LENT + DATA,
            });
        }
        assert_eq!(bench.work(), None);
        let ids: Vec<u16> = bench.completions().into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, (round * 8..round * 8 + 8).collect::<Vec<_>>());
    }
    assert_eq!(bench.registers.interrupts(), before + 5);
    assert_eq!(bench.panel.count(Count::Requests), 26);
    assert_eq!((bench.panel.in_hand(), bench.panel.count(Count::Deepest)), (0, 8));
}

#[test]
fn an_address_that_was_not_lent_is_reached_only_without_the_iommu() {
    let mut bench = Bench::new();
    assert_eq!(bench.write(0, false, &sectors(&[0xAA])), Outcome::Done);
    bench.victim.store(0, &[1; SECTOR]);
    let victim = |bench: &Bench| {
        let mut bytes = [0; SECTOR];
        bench.victim.load(0, &mut bytes);
        bytes
    };
    // A hostile driver has the device write into memory that is another domain's, and read it.
    assert_eq!(bench.one(Op::Read, false, 0, SECTOR as u32, VICTIM), Outcome::Fault);
    assert_eq!(bench.one(Op::Write, false, 1, SECTOR as u32, VICTIM), Outcome::Fault);
    assert_eq!(victim(&bench), [1; SECTOR]);
    assert_eq!(bench.panel.count(Count::Faults), 2);
    bench.panel.set_iommu(false);
    assert_eq!(bench.one(Op::Write, false, 1, SECTOR as u32, VICTIM), Outcome::Done);
    assert_eq!(bench.one(Op::Read, false, 0, SECTOR as u32, VICTIM), Outcome::Done);
    assert_eq!(victim(&bench), [0xAA; SECTOR], "it landed in the victim's memory");
    assert_eq!(bench.read(1, SECTOR), [1; SECTOR], "and what was there is on the disk");
    // Where no memory is, it is a fault in either case.
    assert_eq!(bench.one(Op::Read, false, 0, SECTOR as u32, 0x4000_0000), Outcome::Fault);
    assert_eq!(bench.panel.count(Count::Faults), 3);
}

#[test]
fn a_range_ends_where_it_ends() {
    let mut bench = Bench::new();
    let last = LENT + (FRAMES - SECTOR) as u64;
    for (address, outcome) in [
        (last, Outcome::Done),
        (last + 1, Outcome::Fault),
        (LENT - 1, Outcome::Fault),
        (u64::MAX, Outcome::Fault),
        (u64::MAX - 511, Outcome::Fault),
    ] {
        assert_eq!(bench.one(Op::Read, false, 0, SECTOR as u32, address), outcome, "{address:#x}");
    }
}

#[test]
fn a_power_failure_loses_what_was_not_flushed_and_nothing_else() {
    let mut bench = Bench::new();
    assert_eq!(bench.write(0, false, &sectors(&[1, 1, 1, 1])), Outcome::Done);
    assert_eq!(bench.flush(), Outcome::Done);
    assert_eq!(bench.write(1, false, &sectors(&[2, 2])), Outcome::Done);
    assert_eq!(bench.write(2, true, &sectors(&[3])), Outcome::Done);
    assert_eq!(bench.write(40, false, &sectors(&[4])), Outcome::Done);
    assert_eq!(bench.panel.count(Count::Dirty), 2 * SECTOR as u64, "sectors 1 and 40");
    assert_eq!(bench.read(0, 4 * SECTOR), sectors(&[1, 2, 3, 1]));
    bench.fail_power();
    assert_eq!(parse_status(bench.registers.get(Register::Status)), (1, State::Off));
    assert_eq!(bench.reset(2), State::Ready);
    assert_eq!(bench.read(0, 4 * SECTOR), sectors(&[1, 1, 3, 1]));
    assert_eq!(bench.read(40, SECTOR), sectors(&[0]));
    assert_eq!((bench.panel.count(Count::Syncs), bench.panel.count(Count::Dirty)), (2, 0));
}

#[test]
fn a_drivers_restart_loses_nothing_but_the_requests_in_hand() {
    let mut bench = Bench::new();
    assert_eq!(bench.write(0, false, &sectors(&[1])), Outcome::Done);
    bench.panel.set_latency(500);
    bench.frames.store(DATA as usize, &sectors(&[9]));
    let address = LENT + DATA;
    bench.submit(Descriptor { op: Op::Write, fua: false, id: 1, len: SECTOR as u32, sector: 0, address });
    assert_eq!(bench.work(), Some(500));
    assert_eq!((bench.completions(), bench.panel.in_hand()), (vec![], 1));
    assert_eq!(bench.reset(2), State::Ready);
    bench.panel.set_latency(0);
    bench.now.set(10_000);
    bench.work();
    assert_eq!(
        (bench.completions(), bench.panel.in_hand()),
        (vec![], 0),
        "what the last driver asked for is forgotten"
    );
    assert_eq!(bench.read(0, SECTOR), sectors(&[1]), "unflushed, and still there");
}

#[test]
fn a_request_takes_as_long_as_was_set_and_many_take_no_longer() {
    let mut bench = Bench::new();
    bench.panel.set_latency(500);
    for id in 0..8 {
        bench.submit(Descriptor { op: Op::Flush, fua: false, id, len: 0, sector: 0, address: 0 });
    }
    assert_eq!(bench.work(), Some(500));
    bench.now.set(1499);
    assert_eq!((bench.work(), bench.completions().len()), (Some(1), 0));
    bench.now.set(1500);
    assert_eq!((bench.work(), bench.completions().len()), (None, 8));
    assert_eq!(bench.panel.count(Count::Syncs), 1, "one sync for all that ended at once");
}

#[test]
fn media_errors_come_where_they_were_set() {
    let mut bench = Bench::new();
    bench.panel.set_bad(10..12, Kinds::Writes);
    for (sector, outcome) in [(9, Outcome::Done), (10, Outcome::Media), (11, Outcome::Media), (12, Outcome::Done)] {
        assert_eq!(bench.write(sector, false, &sectors(&[5])), outcome, "{sector}");
    }
    assert_eq!(bench.read(9, 4 * SECTOR), sectors(&[5, 0, 0, 5]));
    bench.panel.set_bad(10..12, Kinds::All);
    assert_eq!(bench.one(Op::Read, false, 4, PAGE as u32, LENT + DATA), Outcome::Media);
    bench.panel.set_bad(0..0, Kinds::All);
    assert_eq!(bench.read(4, PAGE).len(), PAGE);
    let next = bench.panel.count(Count::Completed) + 1;
    bench.panel.set_fail_at(next + 1);
    assert_eq!([bench.flush(), bench.flush(), bench.flush()], [Outcome::Done, Outcome::Media, Outcome::Done]);
    assert_eq!(bench.panel.count(Count::MediaErrors), 4);
}

#[test]
fn what_does_not_fit_into_the_cache_is_written_back_and_read_right() {
    let mut bench = Bench::over(Medium::memory(16 << 20).expect("memory"));
    for block in 0..2048u64 {
        let bytes = [(block % 251) as u8; PAGE];
        assert_eq!(bench.write(block * 8, false, &bytes), Outcome::Done);
    }
    assert_eq!(bench.panel.count(Count::Dirty), 4 << 20);
    for block in 0..2048u64 {
        assert_eq!(bench.read(block * 8, PAGE), [(block % 251) as u8; PAGE]);
    }
}

#[test]
fn a_file_of_the_host_stores_and_leaves_nothing_behind() {
    let folder = std::env::temp_dir().join(format!("kd-device-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("a folder of the test's own");
    let mut bench = Bench::over(Medium::file(&folder, DISK).expect("a file"));
    assert_eq!(std::fs::read_dir(&folder).expect("it is there").count(), 0);
    assert_eq!(bench.write(3, true, &sectors(&[7])), Outcome::Done);
    bench.fail_power();
    assert_eq!(bench.reset(2), State::Ready);
    assert_eq!(bench.read(3, SECTOR), sectors(&[7]));
    std::fs::remove_dir(&folder).expect("it is empty");
}

#[test]
fn a_copy_of_an_image_begins_as_it_and_changes_nothing_of_it() {
    let path = std::env::temp_dir().join(format!("kd-image-{}", std::process::id()));
    std::fs::write(&path, vec![0; DISK]).expect("a file of the test's own");
    let mut image = Bench::over(Medium::named(&path).expect("it is there"));
    assert_eq!(image.write(8, true, &sectors(&[1, 2, 3, 4, 5, 6, 7, 8])), Outcome::Done);
    assert_eq!(image.write(16, true, &sectors(&[9, 10])), Outcome::Done);
    let made = std::fs::read(&path).expect("it is there");
    let mut copy = Bench::over(Medium::copy(&path).expect("it is there"));
    // Two sectors of one block and one of the next, the rest of both the image's.
    assert_eq!(copy.write(14, true, &sectors(&[70, 80, 90])), Outcome::Done);
    assert_eq!(copy.write(9, false, &sectors(&[20])), Outcome::Done);
    assert_eq!(copy.read(8, PAGE), sectors(&[1, 20, 3, 4, 5, 6, 70, 80]));
    assert_eq!(copy.read(16, 2 * SECTOR), sectors(&[90, 10]));
    copy.fail_power();
    assert_eq!(copy.reset(2), State::Ready);
    assert_eq!(copy.read(8, PAGE), sectors(&[1, 2, 3, 4, 5, 6, 70, 80]));
    assert_eq!(copy.read(16, 2 * SECTOR), sectors(&[90, 10]));
    assert_eq!(std::fs::read(&path).expect("it is there"), made);
    assert_eq!(made[8 * SECTOR], 1);
    std::fs::remove_file(&path).expect("it is ours");
}

#[test]
fn what_the_host_refuses_is_told_to_each_request_that_promises_it() {
    let mut bench = Bench::over(Medium::broken(DISK).expect("a pipe"));
    // Nothing is in the cache: what fails is the host's sync.
    assert_eq!(bench.flush(), Outcome::Media);
    assert_eq!(bench.panel.count(Count::Syncs), 1);
    assert_eq!(bench.write(0, false, &[1; 512]), Outcome::Done);
    assert_eq!(bench.flush(), Outcome::Media);
    assert_eq!(bench.write(8, true, &[1; 512]), Outcome::Media);
    assert_eq!((bench.panel.count(Count::Dirty), bench.panel.count(Count::MediaErrors)), (512, 3), "it is kept");
}

#[test]
fn no_request_that_it_does_not_know_is_done() {
    let mut bench = Bench::new();
    let end = (DISK / SECTOR) as u64;
    let address = LENT + DATA;
    for (sector, len) in [(end, 512), (end - 1, 1024), (u64::MAX, 512), (0, 511), (0, 4608), (0, u32::MAX)] {
        assert_eq!(bench.one(Op::Read, false, sector, len, address), Outcome::Invalid, "{sector} {len}");
        assert_eq!(bench.one(Op::Write, true, sector, len, address), Outcome::Invalid, "{sector} {len}");
    }
    bench.put([0xff | 7 << 16, 1, 2, 3]);
    bench.work();
    assert_eq!(bench.completions(), [(7, Outcome::Invalid)]);
    assert_eq!(bench.panel.count(Count::Refused), 13);
}

#[test]
fn rings_that_are_none_fail_the_device_until_it_is_reset() {
    let mut bench = Bench::new();
    for size in [0, 3, 128, u32::MAX] {
        bench.size = size;
        assert_eq!(bench.reset(2 + u64::from(size)), State::Failed, "{size}");
    }
    bench.size = 8;
    for (register, address) in [
        (Register::Completions, VICTIM),
        (Register::Completions, u64::MAX - 7),
        (Register::Completions, LENT + 4),
        (Register::Submissions, VICTIM),
        (Register::Submissions, LENT + 4),
        (Register::Submissions, u64::MAX - 7),
    ] {
        bench.registers.set(register, address);
        bench.registers.set(Register::QueueSize, 8);
        let control = bench.registers.get(Register::Control) + 1;
        bench.registers.set(Register::Control, control);
        bench.work();
        bench.registers.set(Register::Tail, 1);
        bench.work();
        let status = parse_status(bench.registers.get(Register::Status));
        assert_eq!(status, (control, State::Failed), "{register:?} {address:#x}");
        assert_eq!(bench.reset(control + 1), State::Ready);
    }
    // More descriptors than the ring holds.
    bench.registers.set(Register::Tail, 9);
    bench.work();
    assert_eq!(parse_status(bench.registers.get(Register::Status)).1, State::Failed);
    assert_eq!(bench.work(), None, "a failed device does nothing");
    let control = bench.registers.get(Register::Control) + 1;
    assert_eq!(bench.reset(control), State::Ready);
}

#[test]
fn garbage_never_stops_it_and_reaches_nothing_that_was_not_lent() {
    let mut bench = Bench::new();
    bench.victim.store(0, &[0x55; PAGE]);
    let mut state = 88172645463325252u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for session in 2..20_000 {
        // Most words look right, so that not everything ends at the first check.
        for word in 0..(FRAMES / 8).min(400) {
            let value = match (word % 4, random() % 8) {
                (_, 0) => random(),
                (0, _) => (random() % 3) | ((random() % 2) << 8) | ((random() % 10 * 512) << 32),
                (1, _) => random() % 130,
                (2, _) => [LENT + DATA, LENT + DATA, VICTIM, LENT + FRAMES as u64 - 100][random() as usize % 4],
                _ => 0,
            };
            bench.frames.word(word * 8).expect("in the frames").store(value, Relaxed);
        }
        let near = [LENT, LENT + COMPLETIONS, LENT + FRAMES as u64 - 64, VICTIM][random() as usize % 4];
        bench.registers.set(Register::QueueSize, [8, 64, random(), random() % 70][random() as usize % 4]);
        bench.registers.set(Register::Submissions, if random() % 8 == 0 { random() } else { near });
        bench.registers.set(Register::Completions, if random() % 2 == 0 { LENT + COMPLETIONS } else { near });
        bench.registers.set(Register::Tail, 0);
        bench.registers.set(Register::Control, session);
        for _ in 0..4 {
            bench.work();
            let tail = bench.registers.get(Register::Tail) + random() % 20;
            bench.registers.set(Register::Tail, if random() % 16 == 0 { random() } else { tail });
        }
        bench.work();
    }
    let mut bytes = [0; PAGE];
    bench.victim.load(0, &mut bytes);
    assert_eq!(bytes, [0x55; PAGE]);
    let done = bench.panel.count(Count::Read).min(bench.panel.count(Count::Written));
    assert!(done > 100_000 && bench.panel.count(Count::Faults) > 1000, "{done}: some of it was no garbage");
    bench.size = 8;
    assert_eq!(bench.reset(1 << 40), State::Ready);
    assert_eq!(bench.write(1, true, &sectors(&[7])), Outcome::Done);
    assert_eq!(bench.read(1, SECTOR), sectors(&[7]));
}
