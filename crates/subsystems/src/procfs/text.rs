//! The texts, a function each. Where Linux has a file of the name, the form is Linux's.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write;

use kd_api::interfaces::block::BlockDevice;
use kd_api::interfaces::kernel::{ComponentInfo, KernelInfo};
use kd_api::{Errno, OutBuf, Result};

use crate::vfs::MOUNTS;

/// Longest kernel log that is shown, in bytes.
const LOG: usize = 128 * 1024;
const NANOS: u64 = 1_000_000_000;

/// Disks by the names of their drivers.
type Disks = [(String, Arc<dyn BlockDevice>)];

/// One file.
pub struct Topic {
    pub name: &'static str,
    pub text: fn(&dyn KernelInfo, &Disks) -> Result<Vec<u8>>,
}

/// The files of the root directory.
pub const TOPICS: &[Topic] = &[
    Topic { name: "cmdline", text: |kernel, _| raw(512, |out| kernel.command_line(out)) },
    Topic { name: "diskstats", text: |_, disks| diskstats(disks) },
    Topic { name: "interrupts", text: |_, disks| interrupts(disks) },
    Topic { name: "kmsg", text: |kernel, _| raw(LOG, |out| kernel.log(out)) },
    Topic { name: "meminfo", text: |kernel, _| meminfo(kernel) },
    Topic { name: "modules", text: |kernel, _| modules(kernel) },
    Topic { name: "mounts", text: |kernel, _| mounts(kernel) },
    Topic { name: "uptime", text: |kernel, _| uptime(kernel) },
    Topic { name: "version", text: |_, _| written(|text| writeln!(text, "Kernel Debate version {}", VERSION)) },
];

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// All components, in the manifest's order.
pub fn components(kernel: &dyn KernelInfo) -> impl Iterator<Item = ComponentInfo> {
    (0..).map_while(|number| kernel.component(number).ok())
}

/// A text that somebody else writes.
fn raw(most: usize, write: impl FnOnce(&mut OutBuf<'_>) -> Result<usize>) -> Result<Vec<u8>> {
    let mut bytes = vec![0; most];
    let count = write(&mut OutBuf::new(&mut bytes))?;
    bytes.truncate(count);
    Ok(bytes)
}

/// A text written here.
fn written(write: impl FnOnce(&mut String) -> core::fmt::Result) -> Result<Vec<u8>> {
    let mut text = String::new();
    write(&mut text).map_err(|_| Errno::ENOMEM)?;
    Ok(text.into_bytes())
}

/// The columns of Linux's `/proc/diskstats`, and errors behind them. Times are 0, since no clock is read on the way;
/// merges of both directions stand with the reads; nothing is discarded.
fn diskstats(disks: &Disks) -> Result<Vec<u8>> {
    written(|text| {
        for (number, (name, disk)) in disks.iter().enumerate() {
            let Ok(s) = disk.statistics() else { continue };
            writeln!(
                text,
                "{:4} {number:7} {name} {} {} {} 0 {} 0 {} 0 0 0 0 0 0 0 0 {} 0 {}",
                1, s.reads, s.merges, s.sectors_read, s.writes, s.sectors_written, s.flushes, s.errors
            )?;
        }
        Ok(())
    })
}

fn interrupts(disks: &Disks) -> Result<Vec<u8>> {
    written(|text| {
        for (number, (name, disk)) in disks.iter().enumerate() {
            let Ok(statistics) = disk.statistics() else { continue };
            writeln!(text, "{number:3}: {:10} {name}", statistics.interrupts)?;
        }
        Ok(())
    })
}

/// Memory by domain: each counts once, whatever runs in it.
fn meminfo(kernel: &dyn KernelInfo) -> Result<Vec<u8>> {
    let mut domains: BTreeMap<u32, (u64, Vec<String>)> = BTreeMap::new();
    for component in components(kernel).filter(|component| component.domain != 0) {
        let domain = domains.entry(component.domain).or_default();
        domain.0 = domain.0.max(component.resident);
        domain.1.push(component.name);
    }
    written(|text| {
        writeln!(text, "Resident: {:10} kB", domains.values().map(|(bytes, _)| bytes / 1024).sum::<u64>())?;
        for (domain, (bytes, names)) in &domains {
            writeln!(text, "Domain{domain}: {:10} kB {}", bytes / 1024, names.join(","))?;
        }
        Ok(())
    })
}

/// Name, state and file hash of each driver module.
fn modules(kernel: &dyn KernelInfo) -> Result<Vec<u8>> {
    written(|text| {
        for ComponentInfo { name, module, domain, .. } in components(kernel).filter(|one| !one.module.is_empty()) {
            writeln!(text, "{name} {} {module}", if domain == 0 { "Unloading" } else { "Live" })?;
        }
        Ok(())
    })
}

fn mounts(kernel: &dyn KernelInfo) -> Result<Vec<u8>> {
    written(|text| {
        for component in components(kernel) {
            let name = component.name.as_str();
            match MOUNTS.iter().find(|(mounted, _, _)| *mounted == name) {
                Some((_, path, _)) => writeln!(text, "{name} /{path} {name} rw 0 0")?,
                None if name == "ramfs" => writeln!(text, "ramfs / ramfs rw 0 0")?,
                None if name == "vfs" => writeln!(text, "devtmpfs /dev devtmpfs rw 0 0")?,
                None => {}
            }
        }
        Ok(())
    })
}

fn uptime(kernel: &dyn KernelInfo) -> Result<Vec<u8>> {
    let nanos = kernel.uptime()?;
    written(|text| writeln!(text, "{}.{:02}", nanos / NANOS, nanos % NANOS / (NANOS / 100)))
}

/// One component's file.
pub fn component(kernel: &dyn KernelInfo, number: u32) -> Result<Vec<u8>> {
    let component = kernel.component(number)?;
    let ComponentInfo { name, interface, placement, module, domain, restarts, crossings, resident } = component;
    written(|text| {
        writeln!(text, "Name:\t{name}\nInterface:\t{interface}\nPlacement:\t{placement}")?;
        writeln!(text, "State:\t{}\nDomain:\t{domain}", if domain == 0 { "dead" } else { "running" })?;
        writeln!(text, "Restarts:\t{restarts}\nResident:\t{} kB", resident / 1024)?;
        match crossings {
            Some(count) => writeln!(text, "Crossings:\t{count}")?,
            None => writeln!(text, "Crossings:\tnot counted")?,
        }
        if !module.is_empty() {
            writeln!(text, "Module:\t{module}")?;
        }
        Ok(())
    })
}
