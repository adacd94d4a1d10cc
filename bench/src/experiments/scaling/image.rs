//! A disk that is made ready once, and that every boot of every kernel begins with.
//!
//! It is made by the monolithic kernel, through the same workloads that find it later: files that a session finds it does
//! not make. Each boot has a copy of its own, of which it pays for what it writes (`kd_machine`'s medium). So 100,000 files and
//! a file of 1 GiB, which some kernels would need minutes for, cost a run seconds, and all kernels have the same disk.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use kd_boot::Manifest;
use kd_boot::control::Task;
use kd_boot::manifest::MediumName;
use kd_machine::memory::Memory;

use crate::app::probe::Probed;
use crate::boot::{Boot, BootFailure};
use crate::experiments::latency::Configuration;

/// How long one of the workloads may make its files.
const PATIENCE: Duration = Duration::from_secs(60);

/// The disk, as long as this lives.
pub struct Image {
    memory: OwnedFd,
    bytes: usize,
}

impl Image {
    /// Makes a disk of so many bytes, which is sparse, with the files of these workloads. What does not fit is not there, and
    /// the kernel that is asked for it then says so.
    pub fn make(bytes: usize, workloads: &[String]) -> Result<Image, BootFailure> {
        let refused = |error| BootFailure::Refused(format!("the host has no memory for a disk: {error}"));
        let image = Image { memory: Memory::new("kd-image", bytes).map_err(refused)?.into_fd(), bytes };
        let boot = Boot::new(&image.disk_of(Configuration::MONOLITHIC, MediumName::Named(image.path())))?;
        let mut app = boot.start(1, false, Task::Probe(workloads.to_vec()))?;
        while app.line_within::<Probed>(PATIENCE)?.is_some() {}
        Ok(image)
    }

    /// The manifest of a configuration with a copy of it.
    pub fn manifest(&self, configuration: Configuration) -> Manifest {
        self.disk_of(configuration, MediumName::Copy(self.path()))
    }

    /// By which other processes open it.
    fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.memory.as_raw_fd()).into()
    }

    /// A configuration's standard manifest, with the disk behind the ring on another medium.
    fn disk_of(&self, configuration: Configuration, medium: MediumName) -> Manifest {
        let mut manifest = configuration.manifest();
        for entry in &mut manifest.entries {
            if let Some(ring) = &mut entry.ring {
                (ring.medium, entry.disk) = (medium.clone(), self.bytes);
            }
        }
        manifest
    }
}
