//! Devices with rings: each in a process of the machine's, forked by the root before anything of a kernel, so that it
//! outlives kernel and driver and maps nothing of either but the frames lent to it.
//!
//! A [`Link`] is the way to one: its registers and frames, which the driver's domain maps, and its panel, which nobody
//! but the root and the device does.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;

use kd_api::device::{PAGE, QUEUE_MAX};
use kd_api::module::HostTable;
use kd_machine::clock;
use kd_machine::device::controller::Controller;
use kd_machine::device::frames::Frames;
use kd_machine::device::iommu::Bus;
use kd_machine::device::medium::Medium;
use kd_machine::device::panel::{self, Count, Kinds, Panel};
use kd_machine::device::port::Port;
use kd_machine::device::registers::{self, Registers};
use kd_machine::memory::Memory;
use kd_nucleus::process::{self, Child};
use kd_nucleus::{arena, futex};
use serde::{Deserialize, Serialize};

use crate::control::{Event, What};
use crate::log;
use crate::manifest::{MediumName, RingDevice};
use crate::stamps::{self, Moment};
use crate::start::BootError;

/// Bytes of the frames that are lent to a device: a page for the rings, and one for each of their entries.
const FRAMES: usize = PAGE * (1 + QUEUE_MAX);
/// How long the root waits for a device that was told to lose its power.
const PATIENCE: u64 = 1_000_000_000;

/// The way to a device.
pub struct Link {
    /// The component that drives it.
    name: String,
    device: RingDevice,
    bytes: usize,
    registers: Memory,
    /// Nothing in a process that inherits its driver's side alone.
    panel: Option<Memory>,
    frames: Memory,
    /// Where the frames are, for driver and device alike.
    address: usize,
    /// All memory of the machine, if nothing keeps the device from it.
    physical: Option<&'static Memory>,
    /// The driver's end as this process maps it, once: a driver started anew in the same process finds it where it was.
    port: OnceLock<&'static Port>,
}

impl Link {
    /// The way to the device of `bytes` that the `number`-th component drives. Frames are at the upper end of the direct
    /// map, away from every arena.
    pub fn new(number: usize, name: &str, bytes: usize, device: &RingDevice) -> io::Result<Link> {
        let place = arena::PLACES.checked_sub(number + 1).ok_or(io::ErrorKind::InvalidInput)?;
        let physical = if device.iommu { None } else { Some(arena::physical()?) };
        let frames = match physical {
            Some(physical) => physical.part(place * arena::PLACE, FRAMES)?,
            None => Memory::new("kd-frames", FRAMES)?,
        };
        let registers = Memory::new("kd-registers", registers::SIZE)?;
        let panel = Some(Memory::new("kd-panel", panel::SIZE)?);
        Ok(Link {
            name: name.into(),
            device: device.clone(),
            bytes,
            registers,
            panel,
            frames,
            address: arena::place(place),
            physical,
            port: OnceLock::new(),
        })
    }

    /// The driver's side of one that a device is at already.
    pub fn inherited(
        name: &str,
        device: &RingDevice,
        bytes: usize,
        (registers, frames): (Memory, Memory),
        address: usize,
    ) -> Link {
        let (name, device, port) = (name.into(), device.clone(), OnceLock::new());
        Link { name, device, bytes, registers, panel: None, frames, address, physical: None, port }
    }

    /// Registers and frames, and the frames' address: what a driver's domain maps.
    pub fn driver_side(&self) -> (&Memory, &Memory, usize) {
        (&self.registers, &self.frames, self.address)
    }

    /// The driver's end, mapped in this process.
    pub fn port(&self, host: &'static HostTable) -> io::Result<&'static Port> {
        if let Some(port) = self.port.get() {
            return Ok(port);
        }
        let port = Port::map(&self.registers, &self.frames, self.address, host)?;
        Ok(self.port.get_or_init(|| Box::leak(Box::new(port))))
    }

    /// What stores its sectors.
    fn medium(&self) -> Result<Medium, BootError> {
        match &self.device.medium {
            MediumName::Memory => Ok(Medium::memory(self.bytes)?),
            MediumName::Named(file) => Ok(Medium::named(file)?),
            MediumName::Copy(file) => Ok(Medium::copy(file)?),
            MediumName::File(folder) => Medium::file(folder, self.bytes)
                .map_err(|source| BootError::HostDisk { folder: folder.clone(), source }),
        }
    }

    /// The memory that the device is connected to, mapped in this process.
    fn bus(&self) -> io::Result<Bus> {
        let (address, memory) = match self.physical {
            Some(physical) => (arena::DIRECT_MAP, physical),
            None => (self.address, &self.frames),
        };
        Ok(Bus::new(vec![Frames::new(address as u64, memory.map()?)]))
    }
}

/// What the machine's owner may have a device do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Lose power: its cache and every request in hand are gone, and its driver must be started anew.
    FailPower,
    /// Take so many nanoseconds for a request.
    Latency(u64),
    /// Fail reads and writes of sectors from the first to before the second; none if they are alike.
    Bad(u64, u64),
    /// Fail the request of this number, counted from the device's start.
    FailAt(u64),
    /// Switch the IOMMU; a device that was started with it is connected to nothing but its frames anyway.
    Iommu(bool),
    /// Nothing: only tell the counts.
    Count,
}

/// What a device counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct DeviceCounts {
    pub requests: u64,
    pub completed: u64,
    pub read: u64,
    pub written: u64,
    pub syncs: u64,
    pub interrupts: u64,
    pub faults: u64,
    pub refused: u64,
    pub media_errors: u64,
    pub dirty: u64,
    pub deepest: u64,
}

/// The devices of a boot, as its root drives them.
#[derive(Default)]
pub struct Devices(Vec<Running>);

struct Running {
    /// The component that drives it.
    name: String,
    child: Option<Child>,
    registers: Registers,
    panel: Panel,
}

impl Devices {
    /// Switches on the devices at the ends of these ways.
    ///
    /// # Errors
    /// A folder of the host in which no disk can be made; what else the host refuses.
    pub fn start<'a>(links: impl Iterator<Item = &'a Link>) -> Result<Devices, BootError> {
        let mut all = Vec::new();
        for link in links {
            let Some(panel) = &link.panel else { continue };
            let panel = Panel::map(panel)?;
            panel.set_iommu(link.device.iommu);
            panel.set_latency(link.device.latency);
            panel.allow(link.address as u64, FRAMES);
            let medium = link.medium()?;
            let child = process::fork(|| match run(link, medium) {
                Ok(never) => never,
                Err(error) => {
                    log::say(&format!("device of {}: {error}", link.name));
                    1
                }
            })?;
            let registers = Registers::map(&link.registers)?;
            all.push(Running { name: link.name.clone(), child: Some(child), registers, panel });
        }
        Ok(Devices(all))
    }

    /// Descriptors that are readable when a device's process ends.
    pub fn watched(&self) -> impl Iterator<Item = i32> + '_ {
        self.0.iter().filter_map(|device| Some(device.child.as_ref()?.pidfd()))
    }

    /// Tells the drivers of devices whose processes ended; such a device does not come back.
    pub fn tick(&mut self, events: &mut Vec<Event>) {
        for device in &mut self.0 {
            let Some(exit) = device.child.as_mut().and_then(Child::poll) else { continue };
            device.child = None;
            device.registers.gone(futex::wake);
            let who = format!("device of {}", device.name);
            events.push(Event { at: clock::now(), who, what: What::Died(exit.to_string()) });
        }
    }

    /// Whether the device of a component has requests in hand, so that its driver may be waiting for it.
    pub fn busy(&self, component: &str) -> bool {
        self.0.iter().any(|device| device.name == component && device.child.is_some() && device.panel.in_hand() > 0)
    }

    /// Has the device of a component do something; returns what it counted so far, or nothing if there is no device.
    pub fn order(&self, component: &str, order: &Order) -> Option<DeviceCounts> {
        let Running { registers, panel, child, .. } = self.0.iter().find(|device| device.name == component)?;
        match *order {
            Order::FailPower => panel.fail_power(),
            Order::Latency(nanos) => panel.set_latency(nanos),
            Order::Bad(from, to) => panel.set_bad(from..to, Kinds::All),
            Order::FailAt(number) => panel.set_fail_at(number),
            Order::Iommu(on) => panel.set_iommu(on),
            Order::Count => {}
        }
        let end = clock::now() + PATIENCE;
        while child.is_some() && !panel.power_failed() && clock::now() < end {
            let seen = registers.interrupts();
            registers.ring(futex::wake);
            registers.wait(seen, |line, seen| futex::wait_for(line, seen, PATIENCE / 1000));
        }
        let count = |count| panel.count(count);
        Some(DeviceCounts {
            requests: count(Count::Requests),
            completed: count(Count::Completed),
            read: count(Count::Read),
            written: count(Count::Written),
            syncs: count(Count::Syncs),
            interrupts: count(Count::Interrupts),
            faults: count(Count::Faults),
            refused: count(Count::Refused),
            media_errors: count(Count::MediaErrors),
            dirty: count(Count::Dirty),
            deepest: count(Count::Deepest),
        })
    }
}

/// The device's own process: works when the doorbell rings or a request is due, sleeps otherwise.
fn run(link: &Link, medium: Medium) -> io::Result<i32> {
    process::set_name("kd-disk");
    let panel = link.panel.as_ref().ok_or(io::ErrorKind::InvalidInput)?;
    let (registers, panel) = (Registers::map(&link.registers)?, Panel::map(panel)?);
    let bus = link.bus()?;
    process::close_descriptors_but(medium.descriptors());
    let mut device = Controller::new(registers, panel, bus, medium, futex::wake);
    if stamps::noted() {
        device = device.witnessed(|| stamps::note(Moment::Raised));
    }
    loop {
        let seen = device.registers().rings();
        match device.work(clock::now) {
            Some(0) => {}
            Some(nanos) => {
                device.registers().sleep(seen, |bell: &AtomicU32, seen| futex::wait_for(bell, seen, nanos));
            }
            None => device.registers().sleep(seen, futex::wait),
        }
    }
}
