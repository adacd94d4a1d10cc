//! A device in a process of its own, a hostile driver in another, and somebody else's memory in a third: what the
//! driver has the device do to that memory with the IOMMU off and on. And many threads that share a ring.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use kd_api::device::{Completion, Descriptor, Device, Op, Outcome, Register, State, parse_status};
use kd_api::interfaces::block::{BlockDevice, SECTOR};
use kd_api::module::{DriverEnv, HostTable};
use kd_api::{InBuf, OutBuf};
use kd_boot::devices::{DeviceCounts, Devices, Link, Order};
use kd_boot::manifest::RingDevice;
use kd_boot::start::host_table;
use kd_machine::memory::{Memory, Words};
use kd_nucleus::process::{self, Exit};
use kd_nucleus::socket::Socket;
use kd_nucleus::zygote::Zygote;
use kd_nucleus::{arena, futex};
use kd_ringblk::RingBlock;

kd_nucleus::zygote_entry!(root_main);

extern "C" fn panicked(_: *const u8, _: usize) -> ! {
    std::process::abort()
}

static HOST: HostTable = host_table(panicked);
/// Words that root, victim and driver share: where the victim's secret is, what it found there, what the driver got.
const ADDRESS: usize = 0;
const ROUND: usize = 1;
const FOUND: usize = 2;
const OUTCOME: usize = 3;
const STOLEN: usize = 4;

const SECRET: u64 = 0x5ec2_e700_5ec2_e700;
const FORGED: u64 = 0xbad0_bad0_bad0_bad0;

static PARK: kd_sync::Park = kd_sync::Park { wait: futex::park, wake: futex::wake };

fn root_main(purpose: &str, control: Socket) {
    kd_sync::install(&PARK);
    // A root that fails leaves its test without an answer, which fails it.
    let _ = match purpose {
        "crowd" => control.send(&crowd().map_err(|error| error.to_string()), &[]),
        _ => control.send(&run().map_err(|error| error.to_string()), &[]),
    };
}

/// What a hostile driver achieved: outcome, what it read of the victim, what the victim has left; IOMMU off, then on.
type Seen = [(u64, u64, u64); 2];

fn run() -> std::io::Result<Seen> {
    let shared = Words::new(Memory::new("test", 4096)?.map()?);
    let link = Link::new(0, "disk", 1 << 20, &RingDevice { iommu: false, ..RingDevice::memory() })?;
    let devices = Devices::start(std::iter::once(&link)).map_err(std::io::Error::other)?;
    let _victim = process::fork(|| victim(&shared))?;
    until(&shared, ADDRESS, |address| address != 0);
    let mut seen = [(0, 0, 0); 2];
    for (round, seen) in (1..).zip(&mut seen) {
        devices.order("disk", &Order::Iommu(round == 2));
        let mut driver = process::fork(|| driver(&shared, &link))?;
        assert_eq!(driver.wait(), Exit::Code(0));
        shared.get(FOUND).store(0, SeqCst);
        shared.get(ROUND).store(round, SeqCst);
        futex::wake(shared.get_half(ROUND), u32::MAX);
        until(&shared, FOUND, |found| found != 0);
        *seen = [OUTCOME, STOLEN, FOUND].map(|word| shared.get(word).load(SeqCst)).into();
    }
    Ok(seen)
}

fn until(shared: &Words, word: usize, holds: impl Fn(u64) -> bool) {
    while !holds(shared.get(word).load(SeqCst)) {
        futex::wait_for(shared.get_half(word), 0, 1_000_000);
    }
}

/// A domain with an object in its heap.
fn victim(shared: &Words) -> i32 {
    arena::adopt(4).expect("the place is free");
    // A sector of them, since nothing smaller is written.
    let secrets: Vec<AtomicU64> = (0..SECTOR / 8).map(|_| AtomicU64::new(SECRET)).collect();
    shared.get(ADDRESS).store(secrets.as_ptr() as u64, SeqCst);
    for round in 1.. {
        until(shared, ROUND, |now| now == round);
        shared.get(FOUND).store(secrets[5].load(SeqCst), SeqCst);
        secrets.iter().for_each(|secret| secret.store(SECRET, SeqCst));
    }
    0
}

/// A driver that has its device copy the victim's memory to the disk, and something else over it.
fn driver(shared: &Words, link: &Link) -> i32 {
    arena::adopt(2).expect("the place is free");
    let device = link.port(&HOST).expect("mapped");
    let session = device.register(Register::Control) + 1;
    let mut rings = Rings { device, submitted: 0, page: device.address() + 4096 };
    device.set_register(Register::QueueSize, 1);
    device.set_register(Register::Submissions, device.address());
    device.set_register(Register::Completions, device.address() + 2048);
    device.set_register(Register::Tail, 0);
    device.set_register(Register::Control, session);
    device.ring();
    while parse_status(device.register(Register::Status)) != (session, State::Ready) {
        device.wait(device.interrupts().wrapping_sub(1));
    }
    let victim = shared.get(ADDRESS).load(SeqCst);
    device.write(4096, SECTOR, &mut InBuf::new(&FORGED.to_le_bytes().repeat(SECTOR / 8)));
    rings.request(Op::Write, 0, rings.page);
    rings.request(Op::Write, 1, victim);
    let outcome = rings.request(Op::Read, 0, victim);
    rings.request(Op::Read, 1, rings.page);
    let mut stolen = [0; 8];
    device.read(4096, 8, &mut OutBuf::new(&mut stolen));
    shared.get(STOLEN).store(u64::from_le_bytes(stolen), SeqCst);
    shared.get(OUTCOME).store(outcome as u64, SeqCst);
    0
}

struct Rings {
    device: &'static dyn Device,
    submitted: u32,
    page: u64,
}

impl Rings {
    fn request(&mut self, op: Op, sector: u64, address: u64) -> Outcome {
        let request = Descriptor { op, fua: false, id: 0, len: SECTOR as u32, sector, address };
        for (i, word) in request.encode().into_iter().enumerate() {
            self.device.set_word(8 * i, word);
        }
        self.submitted += 1;
        self.device.set_register(Register::Tail, self.submitted.into());
        self.device.ring();
        loop {
            let seen = self.device.interrupts();
            let completion = Completion::parse(self.device.word(2048));
            if completion.count == self.submitted {
                return completion.outcome;
            }
            self.device.wait(seen);
        }
    }
}

#[test]
fn without_an_iommu_a_driver_reaches_every_domain_through_its_device() {
    let control = Zygote::get().and_then(|zygote| zygote.boot("devices")).expect("a root");
    let (seen, _) = control.receive::<Result<Seen, String>>().expect("the root answers");
    let [off, on] = seen.expect("the host has memory and processes");
    assert_eq!(off, (Outcome::Done as u64, SECRET, FORGED), "it read the victim's memory and wrote over it");
    assert_eq!(on.0, Outcome::Fault as u64);
    assert_eq!(on.2, SECRET, "the victim is whole");
    // The sector that the device should have filled holds what the round before stole: nothing new came.
    assert_eq!(on.1, SECRET);
}

/// Threads of the crowd, each with a part of the disk, and the requests of each.
const CROWD: usize = 8;
const PART: usize = 256 << 10;
const REQUESTS: usize = 1500;

/// Threads share a ring of eight entries: all read what they wrote, and none waits for ever.
fn crowd() -> std::io::Result<DeviceCounts> {
    let link = Link::new(0, "disk", CROWD * PART, &RingDevice::memory())?;
    let devices = Devices::start(std::iter::once(&link)).map_err(std::io::Error::other)?;
    let env = DriverEnv { medium: None, device: Some(link.port(&HOST)?), parameters: &[] };
    let driver = RingBlock::probe(&env, 8, 1024).map_err(|errno| std::io::Error::other(errno.to_string()))?;
    std::thread::scope(|scope| {
        for thread in 0..CROWD {
            let driver = &driver;
            scope.spawn(move || member(driver, thread));
        }
    });
    devices.order("disk", &Order::Count).ok_or(std::io::ErrorKind::NotFound.into())
}

fn member(driver: &RingBlock, thread: usize) {
    let mut model = vec![0u8; PART];
    let mut state = 88172645463325252u64 + thread as u64;
    for request in 0..REQUESTS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let start = state as usize % (PART / SECTOR);
        // Mostly a page or less; now and then more than the ring holds.
        let most = if state >> 60 == 0 { 100 } else { 8 };
        let count = 1 + (state >> 32) as usize % most.min(PART / SECTOR - start);
        let (range, sector) = (start * SECTOR..(start + count) * SECTOR, (thread * PART / SECTOR + start) as u64);
        if state >> 63 == 0 {
            model[range.clone()].fill(request as u8);
            let data = &mut InBuf::new(&model[range.clone()]);
            assert_eq!(driver.write(sector, request % 64 == 0, data), Ok(range.len()));
        } else {
            let mut room = vec![0xEE; range.len()];
            assert_eq!(driver.read(sector, &mut OutBuf::new(&mut room)), Ok(range.len()));
            assert!(room == model[range], "thread {thread}, request {request}");
        }
    }
}

#[test]
fn a_crowd_shares_a_short_ring_and_nobody_waits_for_ever() {
    let control = Zygote::get().and_then(|zygote| zygote.boot("crowd")).expect("a root");
    let answered = process::poll(&[control.fd().as_raw_fd()], Some(Duration::from_secs(60)));
    assert_eq!(answered, [true], "somebody waits for ever");
    let (counts, _) = control.receive::<Result<DeviceCounts, String>>().expect("every thread ends well");
    let counts = counts.expect("the host has memory and processes");
    assert_eq!((counts.requests, counts.refused, counts.faults), (counts.completed, 0, 0), "{counts:?}");
    assert!(counts.requests > (CROWD * REQUESTS) as u64 && counts.deepest == 8, "{counts:?}");
}
