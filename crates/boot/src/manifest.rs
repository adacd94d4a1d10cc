//! Manifests: from what a kernel boots. Placement is data; nothing in a component says where it runs.

use std::path::Path;

use kd_api::Component;
use kd_nucleus::channel::Wait;
use serde::{Deserialize, Serialize};

use crate::policy::Policy;
use crate::sabotage::Sabotage;

/// Which kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kernel {
    /// Direct calls in one domain.
    Monolithic,
    /// Messages between domains.
    Microkernel,
    /// The host's own.
    Linux,
}

impl Kernel {
    /// Its name in manifests and results.
    pub const fn name(self) -> &'static str {
        match self {
            Kernel::Monolithic => "monolithic",
            Kernel::Microkernel => "microkernel",
            Kernel::Linux => "linux",
        }
    }
}

/// What stands between a component and those that call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// Nothing.
    Direct,
    /// A thread of its own in one process: panics stay inside, memory is not protected.
    Thread,
    /// A protection key of its own in one process, which keeps others from its memory, and it from theirs.
    Pkey,
    /// The same, but it may read what is others'.
    #[serde(rename = "pkey-integrity")]
    PkeyIntegrity,
    /// A process of its own.
    Process,
}

impl Placement {
    /// All of them, the weakest first.
    pub const ALL: [Placement; 5] =
        [Placement::Direct, Placement::Thread, Placement::PkeyIntegrity, Placement::Pkey, Placement::Process];

    /// Its name in manifests and results.
    pub const fn name(self) -> &'static str {
        match self {
            Placement::Direct => "direct",
            Placement::Thread => "thread",
            Placement::Pkey => "pkey",
            Placement::PkeyIntegrity => "pkey-integrity",
            Placement::Process => "process",
        }
    }

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Placement> {
        Placement::ALL.into_iter().find(|placement| placement.name() == name)
    }

    /// Whether a protection key stands there.
    pub const fn is_pkey(self) -> bool {
        matches!(self, Placement::Pkey | Placement::PkeyIntegrity)
    }
}

/// Where a component's code comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// It is compiled in.
    Subsystem,
    /// A driver module with parameters.
    Module(Vec<(String, u64)>),
}

/// A device with a ring, in a process of the machine's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingDevice {
    /// Where it stores.
    pub medium: MediumName,
    /// Whether it reaches nothing but the frames lent to it. If not, the kernel's arenas become memory that it reaches
    /// as well.
    pub iommu: bool,
    /// Nanoseconds that each request takes at least.
    pub latency: u64,
}

/// What stores a device's sectors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediumName {
    /// Memory.
    Memory,
    /// A file of the host's without a name, in this folder.
    File(std::path::PathBuf),
    /// A file of the host's by its name, to make a disk ready that others begin with.
    Named(std::path::PathBuf),
    /// Memory that begins as such a file.
    Copy(std::path::PathBuf),
}

impl RingDevice {
    /// A device over memory, as fast as it goes, that reaches nothing but its frames.
    pub const fn memory() -> RingDevice {
        RingDevice { medium: MediumName::Memory, iommu: true, latency: 0 }
    }

    /// The same over a file in a folder.
    pub fn file(folder: &Path) -> RingDevice {
        RingDevice { medium: MediumName::File(folder.into()), ..RingDevice::memory() }
    }
}

/// One component of a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Where its code comes from.
    pub source: Source,
    /// The components it calls.
    pub imports: Vec<String>,
    /// Threads of its server; at least 2, since blocking calls never get the last.
    pub threads: u32,
    /// Bytes of the disk that its device has; 0 for none.
    pub disk: usize,
    /// The ring before that disk, if the driver does not map it as memory.
    #[serde(default)]
    pub ring: Option<RingDevice>,
    /// Whether apps may call it directly.
    pub apps: bool,
    /// What stands between it and its callers in other domains, if not what the manifest says for all.
    pub placement: Option<Placement>,
    /// The domain that it is in, if not one of its own. Entries of one domain call each other directly, and one fault
    /// reaches all of them.
    #[serde(default)]
    pub domain: Option<String>,
    /// What becomes of it when it dies, where it is in a process. Those in one domain have one policy.
    #[serde(default)]
    pub policy: Policy,
}

/// A kernel to boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Which core.
    pub kernel: Kernel,
    /// How its components are isolated.
    pub placement: Placement,
    /// How clients and servers of the process placement wait.
    pub wait: WaitName,
    /// The components.
    pub entries: Vec<Entry>,
    /// End the machine at the first oops.
    pub panic_on_oops: bool,
    /// Have a further kernel loaded and waiting, which boots when this one has ended itself: Linux's kexec. For a kernel in
    /// one process.
    #[serde(default)]
    pub kexec: bool,
    /// Cores that the kernel and its apps may use.
    pub cores: Vec<usize>,
    /// Apps that can run at once, each with one partner that shares its descriptors.
    pub apps: u32,
    /// Count crossings and bytes by a wrapper around every import, and note when interrupts are raised and drivers answer:
    /// for boots alone of which nothing else is timed.
    pub trace: bool,
    /// CPU time, in milliseconds, that a server may burn over one call without finishing any other before a supervisor
    /// says that it hangs; so many looks, one every [`TICK`](crate::root::TICK), may find it asleep over one.
    pub patience: u32,
    /// What is to fail.
    #[serde(default)]
    pub sabotage: Option<Sabotage>,
}

/// A [`Wait`] by name, as manifests and results write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WaitName(pub Wait);

impl Serialize for WaitName {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for WaitName {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        let unknown = || serde::de::Error::custom(format!("unknown wait `{name}`: use spin, yield, block or adaptive"));
        Wait::from_name(&name).map(WaitName).ok_or_else(unknown)
    }
}

/// Threads of a server unless a manifest says otherwise: three blocking calls at once, and one for everything else.
pub const THREADS: u32 = 4;
/// Milliseconds of CPU time over one call: some thousand times what the longest honest one takes.
pub const PATIENCE: u32 = 50;
/// The interface of what can be mounted.
pub const FILE_SYSTEM: &str = "FileSystem";
/// The domain of everything that has no boundary, and the process of everything that needs none of its own.
pub const CORE: &str = "core";
/// Bytes of the standard RAM disk.
pub const RAMDISK_BYTES: usize = 16 << 20;
/// The driver of the standard disk behind a ring, and the one of a disk that is a file of the host.
const DISK: &str = "vdisk";
const HOST_DISK: &str = "filedisk";
/// Bytes of the standard disk behind a ring.
pub const VDISK_BYTES: usize = 128 << 20;

impl Manifest {
    /// Where a component is placed.
    pub fn placement_of(&self, entry: &Entry) -> Placement {
        entry.placement.unwrap_or(self.placement)
    }

    /// The name of the domain that an entry is in.
    pub fn domain_of<'a>(&self, entry: &'a Entry) -> &'a str {
        match (self.placement_of(entry), &entry.domain) {
            (Placement::Direct, _) => CORE,
            (_, Some(domain)) => domain,
            (_, None) => &entry.name,
        }
    }

    /// The name of the process that an entry is in where domains are processes. Those that need none of their own share
    /// one; between each other they are called directly, or by threads.
    pub fn process_of<'a>(&self, entry: &'a Entry) -> &'a str {
        if self.placement_of(entry) == Placement::Process { self.domain_of(entry) } else { CORE }
    }

    /// Whether any domain is a process, and apps with them.
    pub fn has_processes(&self) -> bool {
        self.entries.iter().any(|entry| self.placement_of(entry) == Placement::Process)
    }

    /// Whether any domain is behind a protection key.
    pub fn has_keys(&self) -> bool {
        self.entries.iter().any(|entry| self.placement_of(entry).is_pkey())
    }

    /// The standard kernel: every component that is registered, and the driver modules.
    pub fn standard(kernel: Kernel, placement: Placement, registered: &[Component]) -> Manifest {
        let entries: Vec<Entry> = registered
            .iter()
            .map(|component| Entry {
                name: component.name.clone(),
                source: Source::Subsystem,
                imports: component.imports.iter().map(|import| import.to_string()).collect(),
                threads: THREADS,
                disk: 0,
                ring: None,
                apps: component.apps,
                placement: None,
                domain: None,
                policy: Policy::default(),
            })
            .collect();
        let mut standard = Manifest {
            kernel,
            placement,
            wait: WaitName(Wait::Adaptive),
            entries,
            panic_on_oops: false,
            kexec: false,
            cores: Vec::new(),
            apps: 1,
            trace: false,
            patience: PATIENCE,
            sabotage: None,
        };
        // The VFS mounts what there is besides its root.
        let mounted = registered.iter().filter(|one| one.interface.name == FILE_SYSTEM).map(|one| one.name.clone());
        if let Some(vfs) = standard.entries.iter_mut().find(|entry| entry.name == "vfs") {
            let more: Vec<_> = mounted.filter(|name| !vfs.imports.contains(name)).collect();
            vfs.imports.extend(more);
        }
        standard.add_driver("ramdisk", RAMDISK_BYTES, None);
        standard.add_driver("nullblk", 0, None);
        standard.add_driver(DISK, VDISK_BYTES, Some(RingDevice::memory()));
        standard
    }

    /// Puts the disk that the file system at `/mnt` lies on into a file of the host, in this folder: the driver `filedisk`
    /// takes the place of `vdisk`. With the host's own kernel, a directory in this folder is what `/mnt` shows.
    pub fn put_disk_in(&mut self, folder: &Path) {
        let is_disk = |name: &String| name == DISK;
        for entry in &mut self.entries {
            entry.imports.iter_mut().filter(|import| is_disk(import)).for_each(|import| *import = HOST_DISK.into());
            if is_disk(&entry.name) {
                entry.name = HOST_DISK.into();
                entry.ring = Some(RingDevice::file(folder));
            }
        }
    }

    /// The folder of the host that a disk's file is to be in, if there is such a disk.
    pub fn host_folder(&self) -> Option<&Path> {
        self.entries.iter().find_map(|entry| match &entry.ring.as_ref()?.medium {
            MediumName::File(folder) => Some(folder.as_path()),
            MediumName::Memory | MediumName::Named(_) | MediumName::Copy(_) => None,
        })
    }

    /// Adds a driver module whose device the VFS shows under `/dev` and `procfs` in its tables: directly, or by the queue
    /// that is before it.
    pub fn add_driver(&mut self, name: &str, disk: usize, ring: Option<RingDevice>) {
        self.entries.push(Entry {
            name: name.into(),
            source: Source::Module(Vec::new()),
            imports: Vec::new(),
            threads: THREADS,
            disk,
            ring,
            apps: false,
            placement: None,
            domain: None,
            policy: Policy::default(),
        });
        let queue = self.entries.iter().find(|entry| entry.imports.iter().any(|import| import == name));
        let shown = queue.map_or(name, |queue| &queue.name).to_owned();
        for entry in self.entries.iter_mut().filter(|entry| ["vfs", "procfs"].contains(&entry.name.as_str())) {
            entry.imports.push(shown.clone());
        }
    }
}
