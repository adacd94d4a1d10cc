//! Domains that begin cold: the program executed anew, which maps what it is left and loads its module from the file.
//!
//! Nothing of the supervisor's memory is in such a process; a kernel whose servers are programs of their own would start them
//! so. It is left, by descriptor, its channels and bells, its page, the supervisor's ring, its devices and disks, and the log;
//! the manifest comes by a socket. Boots that count or fail on purpose, and those whose device reaches all memory, keep things in
//! memory that only a fork inherits: there `cold` is a fork that loads.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Release;

use kd_boot::inherit::{self, Left, memory, named};
use kd_boot::order::Together;
use kd_boot::start::{Parts, Prepared};
use kd_boot::{Manifest, log};
use kd_machine::memory::{Memory, Words};
use kd_nucleus::berth::Berth;
use kd_nucleus::process::{self, Child};
use kd_nucleus::ring::Ring;
use kd_nucleus::socket::Socket;
use kd_nucleus::zygote;
use serde::{Deserialize, Serialize};

use super::domain::{Begin, FAILED, Own, STATE, Shared};
use super::wiring::{self, Result, Wiring};

/// What the program is told so that it becomes a domain.
pub const PURPOSE: &str = "domain";

/// Everything that a domain begins with; descriptors by their numbers.
#[derive(Serialize, Deserialize)]
struct Image {
    name: String,
    members: Vec<usize>,
    manifest: Manifest,
    boot: inherit::Boot,
    page: RawFd,
    ring: RawFd,
    components: Vec<(usize, Left)>,
    wiring: wiring::Left,
}

impl Image {
    fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        let components = self.components.iter().flat_map(|(_, left)| left.descriptors());
        let bells = self.wiring.0.iter().map(|(_, bell)| *bell);
        let wires = self.wiring.1.iter().map(|(.., wire)| *wire);
        [self.page, self.ring].into_iter().chain(self.boot.descriptors()).chain(components).chain(bells).chain(wires)
    }
}

/// Whether a boot of this manifest can execute its domains.
pub fn is_possible(manifest: &Manifest) -> bool {
    let reaches_all = manifest.entries.iter().any(|entry| entry.ring.as_ref().is_some_and(|ring| !ring.iommu));
    !manifest.trace && manifest.sabotage.is_none() && !reaches_all
}

/// Starts one.
///
/// # Errors
/// The host's, for want of processes or descriptors.
pub fn start(
    manifest: &Manifest,
    of: &Together,
    prepared: &[Prepared],
    wiring: &Wiring,
    page: &Memory,
    ring: &Ring,
) -> Result<Child> {
    let image = Image {
        name: of.name.clone(),
        members: of.members.clone(),
        manifest: manifest.clone(),
        boot: inherit::Boot::of_this(),
        page: named(page),
        ring: ring.fd(),
        components: of.members.iter().map(|&member| (member, Left::of(&prepared[member]))).collect(),
        wiring: wiring.left_to(&of.members),
    };
    let (ours, theirs) = Socket::pair()?;
    ours.send(&image, &[])?;
    Ok(process::fork(|| {
        let error = zygote::execute(PURPOSE, &theirs, image.descriptors());
        log::say(&format!("{}: the host does not execute the program: {error}", image.name));
        1
    })?)
}

/// A domain that was executed, from its first to its last instruction.
pub fn run(control: &Socket, parts: &Parts) {
    // Who sent it has gone on to other things; without it there is nobody to tell.
    let Ok((image, _)) = control.receive::<Image>() else { return };
    process::set_name(&format!("kd-{}", image.name));
    let name = image.name.clone();
    if let Err(error) = become_domain(image, parts) {
        log::say(&format!("{name}: {error}"));
        // What it holds is the supervisor's as well; nothing is to be put away.
        process::exit_now(1);
    }
}

fn become_domain(image: Image, parts: &Parts) -> Result<()> {
    let Image { name, members, manifest, boot, page, ring, components, wiring } = image;
    boot.adopt()?;
    // They live as long as the process.
    let page: &'static Arc<Words> = Box::leak(Box::new(Arc::new(Words::new(memory(page)?.map()?))));
    let ring: &'static Ring = Box::leak(Box::new(Ring::from_fd(process::inherit(ring))));
    let failed = |error| {
        page.get(STATE).store(FAILED, Release);
        ring.ring();
        error
    };
    let prepared = inherit::prepare(&manifest, parts, components).map_err(failed)?;
    let mut wiring = Wiring::inherit(&manifest, wiring)?;
    // Nobody stands by for who begins cold, so its place is never handed over.
    let shared = Shared { ring, berth: Berth::new()?, image: None };
    let own = Own { name: &name, members: &members, prepared: &prepared, page, shared: &shared };
    own.run(Begin::AtOnce, &mut wiring).map(drop).map_err(failed)
}
