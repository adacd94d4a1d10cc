//! Starting one component from its manifest entry: compiled in, or loaded as a driver module.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use kd_api::around::Around;
use kd_api::component::StartError;
use kd_api::interfaces::block::{BlockDevice, BlockDeviceAround};
use kd_api::interfaces::kernel::{self, KernelInfo};
use kd_api::interfaces::syscalls::Syscalls;
use kd_api::module::{DriverEnv, HostTable, Medium};
use kd_api::{Component, Handle, Imports, Operation, Store};
use kd_machine::device::port::Port;
use kd_machine::disk::DiskMedium;
use kd_machine::memory::{Memory, Words};
use kd_nucleus::module::{MappedModule, ModuleError, room};
use kd_nucleus::pkey::KeyError;
use kd_nucleus::{arena, futex};

use crate::app::AppMain;
use crate::control::Patch;
use crate::devices::Link;
use crate::info;
use crate::log;
use crate::manifest::{Entry, Kernel, Manifest, Placement, Source};
use crate::order::OrderError;
use crate::policy::PolicyError;
use crate::sabotage;
use crate::stamps;
use crate::version::Version;

/// What a program that boots kernels brings along.
#[derive(Clone, Copy)]
pub struct Parts {
    /// The registered components.
    pub components: fn() -> Vec<Component>,
    /// The table of system calls over the components that apps may call.
    pub syscalls: fn(&Imports) -> Result<Arc<dyn Syscalls>, StartError>,
    /// What apps run.
    pub app: AppMain,
}

/// Why a kernel did not boot.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The manifest's imports do not fit together.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// A component did not start.
    #[error("`{0}` did not start: {1}")]
    Start(String, StartError),
    /// A component that nobody registered.
    #[error("the manifest names `{0}`, which is not registered: see `list` for what is")]
    Unknown(String),
    /// A boundary where the kernel has none.
    #[error(
        "the manifest places `{0}` behind {1}, but every component of a monolithic kernel is called directly: drop the placement, or boot the microkernel"
    )]
    NoBoundary(String, &'static str),
    /// Protected domains, and no keys.
    #[error("the manifest places `{0}` behind a protection key, but {1}")]
    NoKeys(String, KeyError),
    /// More protected domains than keys.
    #[error(
        "the manifest places `{name}` behind a protection key as number {number}, but this process has keys for {keys}: \
         place it `process`, `thread` or `direct` in another manifest, or fewer components behind keys"
    )]
    TooManyDomains {
        /// The first entry without one.
        name: String,
        /// Which one it is.
        number: usize,
        /// How many there are keys for.
        keys: usize,
    },
    /// Code that opens every domain.
    #[error(
        "`{name}` cannot run behind a protection key: with it, {image} is in the process, whose code executes {instruction} \
         at {address:#x} and so could open every domain; build it without, or place components in processes (`process`)"
    )]
    ChangesRights {
        /// The entry that was about to start.
        name: String,
        /// Whose code it is.
        image: String,
        /// `WRPKRU` or `XRSTOR`.
        instruction: &'static str,
        /// Where it is.
        address: usize,
    },
    /// Memory of a disk that another has.
    #[error(
        "the disk of `{name}` ({bytes} bytes) has no room at place {place} of the direct map: what is mapped there, or in \
         the places behind, is another one's; a place has {room} bytes: give it a smaller disk"
    )]
    NoRoom {
        /// The entry.
        name: String,
        /// How much it wants.
        bytes: usize,
        /// Where.
        place: usize,
        /// Bytes of a place.
        room: usize,
    },
    /// Placements that do not go together.
    #[error("the manifest places `{0}` {1}, beside components behind protection keys: {2}")]
    Mixed(String, &'static str, &'static str),
    /// A driver module that cannot be loaded.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// A folder of the host in which no disk can be made.
    #[error("no disk can be made in {}: {source}; name a folder that exists and can be written", folder.display())]
    HostDisk {
        /// The folder.
        folder: std::path::PathBuf,
        /// What the host said.
        source: std::io::Error,
    },
    /// The host refused something.
    #[error("the host refused: {0}")]
    Host(#[from] std::io::Error),
    /// One of these, met in the kernel's own process.
    #[error("{0}")]
    Within(String),
    /// A component's process ended before it was ready.
    #[error("`{0}` ended before it was ready: {1}")]
    Ended(String, String),
    /// A component's process does not get ready.
    #[error("`{0}` hung while it started: it {1}")]
    Hung(String, &'static str),
    /// A component that runs and does not answer as it should.
    #[error("`{0}` started but failed its health check: {1}")]
    Unhealthy(String, String),
    /// A policy that makes no sense.
    #[error("the policy of `{0}`: {1}")]
    Policy(String, PolicyError),
    /// Components that die together and are to come back in different ways.
    #[error("`{0}` and `{1}` share a domain and so die together, but their policies differ: give both the same one")]
    Policies(String, String),
}

/// A component that runs.
pub struct Started {
    /// Its handle.
    pub handle: Handle,
    /// Where its code can be patched: beside its module, or beside the program it is compiled into.
    pub patch: Option<Patch>,
}

/// What a domain gives its modules: its arena, its parking, the boot's log. What a panic does is the core's decision.
pub const fn host_table(panicked: extern "C" fn(text: *const u8, len: usize) -> !) -> HostTable {
    HostTable {
        allocate: arena::module_allocate,
        deallocate: arena::module_deallocate,
        panicked,
        log: log::module_line,
        wait: futex::park,
        wake: futex::wake,
    }
}

/// What is needed to start a component, again and again: found and checked once, before the kernel boots.
pub struct Prepared {
    /// Its manifest entry.
    pub entry: Entry,
    /// Where the manifest places it.
    pub placement: Placement,
    /// The domain that it is in.
    pub domain: String,
    /// The component as it is registered; for a driver module, what stands for it.
    pub component: Component,
    /// Its module, in the version that is started next.
    pub(crate) module: Option<Mutex<Arc<Version>>>,
    /// The disk of its device, where the driver maps it.
    pub disk: Option<Memory>,
    /// The way to its device, where that has a ring.
    pub link: Option<Link>,
    /// What it keeps where it outlives its instances; only where they come and go without the kernel.
    pub(crate) store: Option<Memory>,
    /// The disk as this process maps it, once: a driver started anew in the same process finds it where it was.
    pub(crate) medium: OnceLock<&'static DiskMedium>,
}

/// Checks every entry of a manifest and opens what it names. No module's code runs.
pub fn prepare(manifest: &Manifest, parts: &Parts) -> Result<Vec<Prepared>, BootError> {
    let mut registered = (parts.components)();
    let mut prepared = Vec::new();
    for entry in &manifest.entries {
        let (component, module) = match &entry.source {
            Source::Subsystem => {
                let found = registered.iter().position(|component| component.name == entry.name);
                (registered.swap_remove(found.ok_or_else(|| BootError::Unknown(entry.name.clone()))?), None)
            }
            Source::Module(parameters) => {
                let version = Version::find(&entry.name, None, parameters)?;
                (module_component(&entry.name), Some(Mutex::new(Arc::new(version))))
            }
        };
        let (disk, link) = match (entry.disk, &entry.ring) {
            (0, None) => (None, None),
            (bytes, None) => (Some(Memory::new(&format!("kd-disk-{}", entry.name), bytes)?), None),
            (bytes, Some(ring)) => (None, Some(Link::new(prepared.len(), &entry.name, bytes, ring)?)),
        };
        let placement = manifest.placement_of(entry);
        if manifest.kernel == Kernel::Monolithic && placement != Placement::Direct {
            return Err(BootError::NoBoundary(entry.name.clone(), placement.name()));
        }
        prepared.push(Prepared {
            entry: entry.clone(),
            placement,
            domain: manifest.domain_of(entry).into(),
            component,
            module,
            disk,
            link,
            store: None,
            medium: OnceLock::new(),
        });
    }
    // Domains that are forked from here need not look; a host that does not tell takes the fault experiments away.
    let _ = room::program();
    info::open(manifest, &prepared)?;
    if manifest.trace {
        stamps::open()?;
    }
    Ok(prepared)
}

/// What stands for a driver module among the components: its interface, without a way to start it.
pub(crate) fn module_component(name: &str) -> Component {
    Component::new::<dyn BlockDevice, ()>(name, &[], |_| Err(StartError::Refused(kd_api::Errno::ENODEV)))
}

/// A component whose code is in this process and has not run yet.
pub struct Loaded<'a> {
    prepared: &'a Prepared,
    module: Option<LoadedDriver>,
    store: Option<Store>,
    host: &'static HostTable,
    /// Where its code can be patched: beside its module, or beside the program it is compiled into.
    pub patch: Option<Patch>,
}

struct LoadedDriver {
    version: Arc<Version>,
    mapped: Arc<MappedModule>,
    medium: Option<&'static DiskMedium>,
    device: Option<&'static Port>,
}

impl Loaded<'_> {
    /// Starts it.
    pub fn start(&self, imports: &Imports) -> Result<Handle, BootError> {
        sabotage::around(&self.prepared.entry.name, self.patch.map(|patch| patch.base), || self.start_code(imports))
    }

    fn start_code(&self, imports: &Imports) -> Result<Handle, BootError> {
        let entry = &self.prepared.entry;
        let Some(LoadedDriver { version, mapped, medium, device }) = &self.module else {
            let mut imports = imports.clone();
            self.store.into_iter().for_each(|store| imports.set_store(store));
            let started = (self.prepared.component.start)(&imports);
            let started = started.map_err(|error| BootError::Start(entry.name.clone(), error))?;
            return Ok(sabotage::handle(&entry.name, started));
        };
        let parameters = version.parameters();
        let medium = medium.map(|medium| medium as &'static dyn Medium);
        let device = device.map(|device| sabotage::device(&entry.name, device));
        let driver = mapped.start(self.host, &DriverEnv { medium, device, parameters: &parameters })?;
        let device: Arc<dyn BlockDevice> = match &self.prepared.link {
            Some(_) if stamps::noted() => Arc::new(BlockDeviceAround { around: stamps::Answers, inner: driver }),
            _ => Arc::new(BlockDeviceAround { around: Plain, inner: driver }),
        };
        Ok(sabotage::handle(&entry.name, Handle::new(device)))
    }

    /// The same with a store at `place` of the direct map, if it wants one, for as long as this process lives.
    ///
    /// # Errors
    /// A store that has no room there; the host's, for want of memory.
    pub fn with_store(mut self, place: usize) -> std::io::Result<Self> {
        let words = self.prepared.component.store;
        if words > 0 {
            let memory = arena::lasting(place, "kd-store", 8 * words)?;
            self.store = Some(Words::new(memory.map_at(arena::place(place))?).leak());
        }
        Ok(self)
    }

    /// Starts it for as long as this process lives, with what the kernel knows of itself if it asks for that.
    pub fn run(self, imports: &Imports) -> Result<Started, BootError> {
        let mut imports = imports.clone();
        if let Some(info) = info::get().filter(|_| self.prepared.imports_kernel()) {
            imports.insert(kernel::NAME, Handle::new::<dyn KernelInfo>(info.clone()));
        }
        let handle = self.start(&imports)?;
        let patch = self.patch;
        // Its code is used as long as the process lives.
        std::mem::forget(self);
        Ok(Started { handle, patch })
    }

    /// Its module, if it is one.
    pub fn module(&self) -> Option<&MappedModule> {
        self.module.as_ref().map(|module| &*module.mapped)
    }

    /// The memory outside its heap that it writes, as address and bytes: its store, its module's statics, its device, and
    /// what is kept free for patches.
    pub fn memory(&self) -> std::io::Result<Vec<(usize, usize)>> {
        let mut memory: Vec<_> = self.patch.iter().map(|patch| (patch.data, room::PAGE)).collect();
        memory.extend(self.store.map(|store| (store.as_ptr() as usize, size_of_val(store))));
        if let Some(LoadedDriver { mapped, medium, device, .. }) = &self.module {
            memory.extend(mapped.statics()?.into_iter().map(|range| (range.start, range.len())));
            memory.extend(medium.map(DiskMedium::memory));
            memory.extend(device.iter().flat_map(|device| device.memory()));
        }
        Ok(memory)
    }
}

/// Nothing, around each operation: a module's borrowed object as an owned one.
struct Plain;

impl Around for Plain {
    #[inline]
    fn around<R>(&self, _: &'static Operation, _: usize, operation: impl FnOnce() -> R) -> R {
        operation()
    }
}

impl Prepared {
    /// Where its store is, as address and bytes, if it has one at this place.
    pub fn store_at(&self, place: usize) -> Option<(usize, usize)> {
        self.store.as_ref().map(|store| (arena::place(place), store.size()))
    }

    /// Starts it in this process. Its disk is mapped at `place` of the direct map, in this process alone.
    pub fn start(&self, imports: &Imports, place: usize, host: &'static HostTable) -> Result<Started, BootError> {
        self.load(place, host)?.run(imports)
    }

    /// Whether it wants to know of the kernel itself.
    pub fn imports_kernel(&self) -> bool {
        self.entry.imports.iter().any(|name| name == kernel::NAME)
    }

    /// Maps its module here, so that processes forked from this one need not: each has its own copy of what it writes.
    ///
    /// # Errors
    /// Those of mapping a module.
    pub fn warm_up(&self) -> Result<(), BootError> {
        self.version().map_or(Ok(()), |version| Ok(version.warm_up(&self.entry.name)?))
    }

    /// Its module in the version that is started next, if it is a module.
    pub fn version(&self) -> Option<Arc<Version>> {
        let module = self.module.as_ref()?;
        Some(module.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// From now on this version is started; the one until now, if it is a module at all.
    pub fn exchange(&self, version: Arc<Version>) -> Option<Arc<Version>> {
        let module = self.module.as_ref()?;
        Some(std::mem::replace(&mut *module.lock().unwrap_or_else(PoisonError::into_inner), version))
    }

    /// Has it find again what it stored when it is started anew, with the machine still up: at `place` of the direct map.
    ///
    /// # Errors
    /// A store that has no room there; the host's, for want of memory.
    pub fn keep_store(&mut self, place: usize) -> std::io::Result<()> {
        if self.component.store > 0 {
            let name = format!("kd-store-{}", self.entry.name);
            self.store = Some(arena::lasting(place, &name, 8 * self.component.store)?);
        }
        Ok(())
    }

    /// Brings everything into this process that it needs, without running any of its code.
    pub fn load(&self, place: usize, host: &'static HostTable) -> Result<Loaded<'_>, BootError> {
        let Some(version) = self.version() else {
            // A host that does not tell where its programs lie only takes the fault experiments away.
            let room = room::reserve_beside_program().ok();
            let patch = room.map(|(base, code, data)| Patch { base, code, data });
            let map = |memory: &Memory| Ok(Words::new(memory.map_at(arena::place(place))?).leak());
            let store = self.store.as_ref().map(map).transpose().map_err(BootError::Host)?;
            return Ok(Loaded { prepared: self, module: None, store, host, patch });
        };
        let medium = self.medium(place)?;
        let device = self.link.as_ref().map(|link| link.port(host)).transpose()?;
        let mapped = version.mapped(&self.entry.name)?;
        let patch = Patch { base: mapped.range.start, code: mapped.patch_code, data: mapped.patch_data };
        let module = Some(LoadedDriver { version, mapped, medium, device });
        Ok(Loaded { prepared: self, module, store: None, host, patch: Some(patch) })
    }

    fn medium(&self, place: usize) -> Result<Option<&'static DiskMedium>, BootError> {
        let Some(disk) = &self.disk else { return Ok(None) };
        if let Some(medium) = self.medium.get() {
            return Ok(Some(medium));
        }
        let medium = DiskMedium::map_at(disk, arena::place(place)).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                BootError::NoRoom { name: self.entry.name.clone(), bytes: self.entry.disk, place, room: arena::PLACE }
            }
            _ => error.into(),
        })?;
        Ok(Some(self.medium.get_or_init(|| Box::leak(Box::new(medium)))))
    }

    /// The SHA-256 of its module's file, if it is a module.
    pub fn module_hash(&self) -> Option<String> {
        self.version().map(|version| version.file().sha256())
    }
}
