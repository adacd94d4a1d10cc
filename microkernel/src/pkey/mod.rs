//! The placement behind protection keys: every component in one process, each domain of them behind a key.
//!
//! The thread that calls is the thread that serves: it enters the server's domain through a gate and comes back
//! ([`kd_nucleus::pkey`] has the mechanism, and says what keys do not stop). A fault ends the call, the domain is emptied
//! and its components started anew ([`restart`]). Two strengths, by domain: `pkey` reads nothing of other domains,
//! `pkey-integrity` reads everything; neither writes anything but its own.
//!
//! What a domain reaches besides its arena, stacks and statics: the windows of its clients' calls ([`plan`]), the stacks
//! for signals, and, to read, all memory without a key.

mod plan;
mod restart;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use kd_api::client::Port;
use kd_api::interfaces::kernel::{self, KernelInfo};
use kd_api::module::HostTable;
use kd_api::server::Dispatch;
use kd_api::{Caller, Handle, Imports};
use kd_boot::hosted::{self, KernelPage, Wiring};
use kd_boot::start::{BootError, Loaded, Prepared, Started, host_table};
use kd_boot::trace::{Counts, Origin, TracedPort};
use kd_boot::{Manifest, Placement, info, log, stamps};
use kd_nucleus::module::Snapshot;
use kd_nucleus::pkey::domain::{self, State};
use kd_nucleus::pkey::scan::{self, Finding, Kind};
use kd_nucleus::pkey::thread::{outside, within};
use kd_nucleus::pkey::{COMMON, GatePort, Key, Rights, SERVICES, server, space};
use kd_nucleus::threads;

use plan::{Holder, Plan};

/// The core.
pub struct Domains {
    plan: Plan,
    /// The manifest's, with a thread that burns CPU time.
    patience: u32,
    keys: OnceLock<Keys>,
    /// Domains that were made, with their keys.
    opened: Mutex<Vec<(usize, Key)>>,
    running: Mutex<Vec<Arc<Running>>>,
    /// Crossings, if this boot counts them.
    counts: Option<Counts>,
    /// Executable memory that was looked through for instructions which change rights.
    scanned: Mutex<Vec<std::ops::Range<usize>>>,
}

/// The keys that are lent to this process.
struct Keys {
    signals: Key,
    windows: Vec<Key>,
}

/// A component in its domain, and what it takes to start it again.
struct Running {
    at: Server,
    counts: Option<Counts>,
    prepared: &'static Prepared,
    loaded: Loaded<'static>,
    statics: Option<Snapshot>,
    imports: Vec<Import>,
    /// The component itself, in its domain's memory: what its neighbours there hold.
    own: Mutex<Option<&'static Handle>>,
}

/// A component as its clients find it: its domain, its number there, and that in the manifest.
#[derive(Clone, Copy)]
struct Server {
    domain: usize,
    member: usize,
    number: usize,
}

impl Server {
    /// A port to it, for whoever is to hold it, made where it is held.
    fn port(self, caller: Caller, counts: Option<Counts>, from: Origin) -> Arc<dyn Port> {
        let port = Arc::new(GatePort::new(self.domain, self.member, caller));
        match counts {
            // The kernel's own answers are no component's.
            Some(counts) if self.domain != SERVICES => {
                Arc::new(TracedPort { inner: port, counts, from, component: self.number })
            }
            _ => port,
        }
    }
}

/// What a component calls.
enum Import {
    /// A component of another domain.
    Apart { name: String, to: Server, client: fn(Arc<dyn Port>) -> Handle },
    /// One of its own domain.
    Beside(Arc<Running>),
}

static HOST: HostTable = host_table(panicked);

/// A panic that a module's fence stopped, if it came so far: it ends the domain as every other fault does.
extern "C" fn panicked(text: *const u8, len: usize) -> ! {
    log::module_line(text, len);
    std::process::abort()
}

impl Domains {
    /// The core of a kernel of this manifest. Nothing is done yet.
    ///
    /// # Errors
    /// What the manifest asks for and this machine, or this core, has not; each names the entry.
    pub fn new(manifest: &Manifest) -> Result<Domains, BootError> {
        Ok(Domains {
            plan: Plan::new(manifest)?,
            patience: manifest.patience,
            keys: OnceLock::new(),
            opened: Mutex::default(),
            running: Mutex::default(),
            counts: manifest.trace.then(Counts::new).transpose()?,
            scanned: Mutex::default(),
        })
    }

    /// The keys, borrowed at the first start of a component; with them comes what all domains share.
    fn keys(&'static self) -> Result<&'static Keys, BootError> {
        if let Some(keys) = self.keys.get() {
            return Ok(keys);
        }
        let lent = |_| Key::allocate().map_err(|error| BootError::NoKeys("the kernel".into(), error));
        let signals = lent(0)?;
        domain::set_up(signals)?;
        let windows = match self.plan.has_window_keys() {
            true => (0..self.plan.groups()).map(lent).collect::<Result<_, _>>()?,
            false => vec![signals],
        };
        let keys = self.keys.get_or_init(|| Keys { signals, windows });
        if let Some(key) = self.window_key(Holder::Outside) {
            space::map_windows(COMMON, key)?;
            domain::set_rights(COMMON, domain::rights(COMMON).writing(key));
        }
        // In a boot that counts, every domain does it itself.
        for (start, size) in self.counts.iter().map(Counts::memory).chain(stamps::memory()) {
            signals.protect(start, size)?;
        }
        if let Some(info) = info::get() {
            let dispatch = Handle::new::<dyn KernelInfo>(info.clone()).serve();
            server::publish(SERVICES, 0, Box::leak(Box::new(dispatch)));
        }
        Ok(keys)
    }

    fn window_key(&self, holder: Holder) -> Option<Key> {
        let group = self.plan.group(holder)?;
        self.keys.get()?.windows.get(group).copied()
    }

    /// The key of a domain, which is made for the first of its components.
    fn open(&self, keys: &Keys, domain: usize, prepared: &Prepared) -> Result<Key, BootError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, key)) = opened.iter().find(|(other, _)| *other == domain) {
            return Ok(*key);
        }
        let key = Key::allocate().map_err(|error| BootError::NoKeys(prepared.entry.name.clone(), error))?;
        domain::map(domain, key)?;
        let others = match prepared.placement {
            Placement::PkeyIntegrity => Rights::READ,
            _ => Rights::NONE.reading(Key::COMMON),
        };
        let mut rights = others.writing(keys.signals).writing(key);
        if let Some(window) = self.window_key(Holder::Domain(domain)) {
            space::map_windows(domain, window)?;
            rights = rights.writing(window);
        }
        domain::set_rights(domain, rights);
        opened.push((domain, key));
        Ok(key)
    }

    /// Lets a component's domain reach the windows outside domains, if it is called from there, and those that it calls
    /// reach its own.
    fn let_reach(&self, domain: usize, number: usize, imports: &[Import]) {
        let grant = |to, window| domain::set_rights(to, domain::rights(to).writing(window));
        if let Some(window) = self.window_key(Holder::Outside).filter(|_| self.plan.is_called_from_outside(number)) {
            grant(domain, window);
        }
        for import in imports {
            if let (Import::Apart { to, .. }, Some(window)) = (import, self.window_key(Holder::Domain(domain)))
                && to.domain != SERVICES
            {
                grant(to.domain, window);
            }
        }
    }

    /// Refuses a component with which code has come that changes rights, outside the gates and what is listed. Bytes that
    /// would do so within other instructions are there by accident of addresses: the log has them, and the kernel boots.
    fn nobody_else_changes_rights(&self, prepared: &Prepared) -> Result<(), BootError> {
        let mut scanned = self.scanned.lock().unwrap_or_else(PoisonError::into_inner);
        for Finding { instruction, address, image, kind } in
            scan::process(&mut scanned)?.into_iter().filter(|finding| !finding.is_listed())
        {
            if kind == Kind::Instruction {
                return Err(BootError::ChangesRights {
                    name: prepared.entry.name.clone(),
                    image,
                    instruction,
                    address,
                });
            }
            log::say(&format!(
                "pkey: {image} has the bytes of {instruction} at {address:#x}, within other instructions"
            ));
        }
        Ok(())
    }

    fn imports(&self, domain: usize, prepared: &Prepared) -> Vec<Import> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let behind_keys = running.iter().filter(|other| prepared.entry.imports.contains(&other.prepared.entry.name));
        let import = |other: &Arc<Running>| match other.at.domain == domain {
            true => Import::Beside(other.clone()),
            false => Import::Apart {
                name: other.prepared.entry.name.clone(),
                to: other.at,
                client: other.prepared.component.client,
            },
        };
        let mut imports: Vec<Import> = behind_keys.map(import).collect();
        if prepared.imports_kernel() {
            let client = Handle::client::<dyn KernelInfo>;
            let to = Server { domain: SERVICES, member: 0, number: 0 };
            imports.push(Import::Apart { name: kernel::NAME.into(), to, client });
        }
        imports
    }
}

/// The place of a component's disk, or its store, in the direct map: behind the arenas of all domains.
const fn place_of(component: usize) -> usize {
    2 * kd_nucleus::pkey::DOMAINS + component
}

impl Wiring for Domains {
    fn install(&'static self, page: &'static KernelPage) {
        // A domain's panic faults before it gets here; that of the core's own thread unwinds.
        log::panics("kernel thread".into(), || ());
        threads::prepare_with(|| ());
        // Without it nothing is restarted, which the first fault would show.
        let _ = threads::spawn("supervisor".into(), move || restart::supervise(self, page));
    }

    fn start(
        &'static self,
        prepared: &'static Prepared,
        number: usize,
        imports: Imports,
    ) -> Result<Started, BootError> {
        if !prepared.placement.is_pkey() {
            return prepared.start(&imports, place_of(number), &HOST);
        }
        let keys = self.keys()?;
        let place = self.plan.place(number);
        let (domain, member) = place.ok_or_else(|| BootError::Unknown(prepared.entry.name.clone()))?;
        let imports = self.imports(domain, prepared);
        let key = self.open(keys, domain, prepared)?;
        self.let_reach(domain, number, &imports);
        let loaded = prepared.load(place_of(number), &HOST)?.with_store(place_of(number))?;
        let statics = loaded.module().map(|module| module.snapshot()).transpose()?;
        for (start, size) in loaded.memory()? {
            key.protect(start, size)?;
        }
        let patch = loaded.patch;
        self.nobody_else_changes_rights(prepared)?;
        let own = Mutex::default();
        let (at, counts) = (Server { domain, member, number }, self.counts);
        let running = Arc::new(Running { at, counts, prepared, loaded, statics, imports, own });
        running.start()?;
        domain::get(domain).set(State::Alive);
        let client = running.client(Caller::KERNEL);
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push(running);
        Ok(Started { handle: client, patch })
    }

    fn arena(&self, component: usize) -> usize {
        self.plan.place(component).map_or(hosted::ARENA, |(domain, _)| domain::place(domain))
    }

    fn store(&self, prepared: &Prepared, component: usize) -> Option<(usize, usize)> {
        let bytes = Some(8 * prepared.component.store).filter(|bytes| prepared.placement.is_pkey() && *bytes > 0)?;
        Some((kd_nucleus::arena::place(place_of(component)), bytes))
    }

    /// A component behind a key is handed its imports in its domain instead.
    fn client(&self, prepared: &'static Prepared, number: usize, started: &Handle, holder: hosted::Holder) -> Handle {
        match self.plan.place(number) {
            Some((domain, member)) => {
                // A component without a key is counted with the kernel, which its caller is.
                let from = if holder.caller == Caller::KERNEL { Origin::Supervisor } else { Origin::App };
                let at = Server { domain, member, number };
                (prepared.component.client)(at.port(holder.caller, self.counts, from))
            }
            None => started.clone(),
        }
    }

    fn counts(&self, prepared: &[Prepared]) -> Vec<(String, u64, u64)> {
        self.counts.map_or_else(Vec::new, |counts| counts.named(prepared))
    }
}

impl Running {
    /// A client of it, for the core or an app.
    fn client(&self, caller: Caller) -> Handle {
        (self.prepared.component.client)(self.at.port(caller, self.counts, Origin::Supervisor))
    }

    /// Starts the component in its domain: clients of its imports, and all that it makes, come from its arena.
    fn start(&self) -> Result<(), BootError> {
        let failed: Mutex<Option<String>> = Mutex::default();
        let fails = |why: &dyn std::fmt::Display| {
            outside(|| *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_string()));
        };
        let mut beside: Vec<(&str, &'static Handle)> = Vec::new();
        for import in &self.imports {
            if let Import::Beside(other) = import
                && let Some(handle) = *other.own.lock().unwrap_or_else(PoisonError::into_inner)
            {
                beside.push((&other.prepared.entry.name, handle));
            }
        }
        let own = Origin::Component(self.at.number);
        let survived = within(self.at.domain, &|| {
            let mut imports = Imports::default();
            beside.iter().for_each(|(name, handle)| imports.insert(name, (*handle).clone()));
            for import in &self.imports {
                if let Import::Apart { name, to, client } = import {
                    imports.insert(name, client(to.port(Caller::KERNEL, self.counts, own)));
                }
            }
            match self.loaded.start(&imports) {
                // The component lives as long as its domain.
                Ok(handle) => {
                    let server: &'static Arc<dyn Dispatch> = Box::leak(Box::new(handle.serve()));
                    let handle: &'static Handle = Box::leak(Box::new(handle));
                    std::mem::forget(imports);
                    outside(|| {
                        *self.own.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
                        server::publish(self.at.domain, self.at.member, server);
                    });
                }
                Err(error) => fails(&error),
            }
        })?;
        let name = || self.prepared.entry.name.clone();
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            _ if !survived => Err(BootError::Ended(name(), restart::describe(domain::get(self.at.domain).faults().1))),
            Some(why) => Err(BootError::Ended(name(), why)),
            None => Ok(()),
        }
    }
}
