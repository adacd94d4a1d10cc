//! A domain: a process with one component, or with several that share it.
//!
//! A process becomes one in two steps. First it *prepares*: it forgets what is not its own, moves to an arena, and maps
//! channels, devices and modules. Then, told to *go*, it starts its components, which may call others and take devices over,
//! and answers. Between the two it touches nothing that another process uses: so a standby can wait there while its
//! predecessor still answers, for as long as it takes.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};

use kd_api::module::HostTable;
use kd_api::{Caller, Handle};
use kd_boot::control::Patch;
use kd_boot::manifest::Entry;
use kd_boot::order::Together;
use kd_boot::root::TICK;
use kd_boot::start::{BootError, Loaded, Prepared, host_table};
use kd_boot::version::check_health;
use kd_boot::{Manifest, Placement, log};
use kd_machine::clock;
use kd_machine::memory::{Memory, Words};
use kd_nucleus::berth::{Berth, Succession};
use kd_nucleus::channel::{Gate, Pool};
use kd_nucleus::last_words::Testament;
use kd_nucleus::process::{self, Child};
use kd_nucleus::ring::Ring;
use kd_nucleus::{arena, last_words, threads};

use super::exec;
use super::wiring::{Client, Result, Wiring};
use crate::thread;

/// Words of a domain's page: how far it is, when it was told to go, when it answered, its last words, its gate, and where
/// each member's code can be patched.
pub(super) const STATE: usize = 0;
const GO_AT: usize = 1;
const READY_AT: usize = 2;
const LAST_WORDS: usize = 3;
const GATE: usize = LAST_WORDS + last_words::WORDS;
const PATCH: usize = GATE + 1;

/// States after the first, in which it prepares: it waits for the word; it answers; it could not.
const PREPARED: u64 = 1;
const READY: u64 = 2;
pub(super) const FAILED: u64 = 3;
/// How much a standby gives way while it prepares: as much as the host knows.
const POLITE: i32 = 19;

/// Bytes of each piece of its private memory that a standby brings in: more than a component uses until it answers.
const BROUGHT_IN: usize = 256 * 1024;

/// What a domain may take of the host beyond its arena: addresses for its modules, channels and the stacks of some hundred
/// threads; descriptors for what it looks up in `/proc`, beside all that it inherits and closes when it has loaded.
const MORE_BYTES: usize = 1 << 30;
const DESCRIPTORS: u64 = 128;

/// How a domain is begun.
#[derive(Clone, Copy)]
pub enum Begin<'a> {
    /// To answer as soon as it can.
    AtOnce,
    /// The same, with nothing of this process's memory: from the program's file.
    Cold,
    /// To prepare when the cores have nothing better to do, and wait until this one dies.
    Standby(&'a Domain),
    /// To prepare, wait until this one is idle, and answer nobody before it has been found well.
    Successor(&'a Domain),
}

impl<'a> Begin<'a> {
    /// Whom it follows, and silences when its time comes, by what stands in that one's page.
    fn predecessor(self) -> Option<&'a Domain> {
        match self {
            Begin::Standby(predecessor) | Begin::Successor(predecessor) => Some(predecessor),
            Begin::AtOnce | Begin::Cold => None,
        }
    }
}

/// What a supervisor shares with its domains.
#[derive(Clone)]
pub struct Shared {
    /// By which they call for its attention.
    pub ring: &'static Ring,
    /// The place of one of them, for who takes it next.
    pub berth: Berth,
    /// From what they can be executed; nothing where they cannot.
    pub image: Option<Arc<Manifest>>,
}

/// A domain's process, as the supervisor knows it.
pub struct Domain {
    /// The process.
    pub child: Child,
    page: Arc<Words>,
    members: usize,
}

/// The places of a domain in the direct map: its arena, and its disk's frames, or its store, right after.
pub const fn places(number: usize) -> (usize, usize) {
    (2 * number, 2 * number + 1)
}

static HOST: HostTable = host_table(panicked);

/// A panic that the module's fence stopped ends the domain: what it was doing cannot be trusted any more.
extern "C" fn panicked(text: *const u8, len: usize) -> ! {
    log::module_line(text, len);
    std::process::abort()
}

impl Domain {
    /// Forks one.
    pub fn begin(
        how: Begin<'_>,
        of: &Together,
        prepared: &[Prepared],
        wiring: &mut Wiring,
        shared: &Shared,
    ) -> Result<Domain> {
        let Together { name, members } = of;
        let memory = Memory::new("kd-domain", 4096)?;
        let mapping = memory.map()?;
        mapping.keep_from_children()?;
        let page = Arc::new(Words::new(mapping));
        if let (Begin::Cold, Some(manifest)) = (how, &shared.image) {
            let child = exec::start(manifest, of, prepared, wiring, &memory, shared.ring)?;
            return Ok(Domain { child, page, members: members.len() });
        }
        if let Begin::Successor(_) = how {
            Gate::new(page.get_half(GATE)).begin_shut();
        }
        let fork = |wiring: &mut Wiring| {
            process::fork(|| {
                process::set_name(&format!("kd-{name}"));
                // It stays mapped as long as this process lives: last words are written to it.
                let page: &'static Arc<Words> = Box::leak(Box::new(page.clone()));
                let own = Own { name, members, prepared, page, shared };
                match own.run(how, wiring) {
                    Ok(never) => never,
                    Err(error) => {
                        log::say(&format!("{name}: {error}"));
                        page.get(STATE).store(FAILED, Release);
                        shared.ring.ring();
                        1
                    }
                }
            })
        };
        // Nobody else has a domain's page and its place: who wrote there could shut it, or have it replaced.
        let lend = |share| {
            shared.berth.share_with_children(share)?;
            let followed = how.predecessor().map(|predecessor| &predecessor.page);
            [&page].into_iter().chain(followed).try_for_each(|page| page.share_with_children(share))
        };
        lend(true)?;
        let child = wiring.with_children(|wire| wire.is_of(members), fork);
        lend(false)?;
        Ok(Domain { child: child??, page, members: members.len() })
    }

    /// Waits until it answers; `look`, called at every [`TICK`] with its number, may say that it never will.
    pub fn wait(&mut self, name: &str, ring: &Ring, mut look: impl FnMut(i32) -> Option<&'static str>) -> Result<()> {
        let mut last = clock::now();
        loop {
            // Before looking: who rings while we look is looked at again.
            ring.clear();
            match self.page.get(STATE).load(Acquire) {
                READY => return Ok(()),
                FAILED => return Err(BootError::Ended(name.into(), self.child.wait().to_string())),
                _ => {}
            }
            if let Some((_, signal)) = self.last_words() {
                return Err(BootError::Ended(name.into(), process::signal_name(signal).into()));
            }
            if let Some(exit) = self.child.poll() {
                return Err(BootError::Ended(name.into(), exit.to_string()));
            }
            if clock::now() - last >= TICK.as_nanos() as u64 {
                last = clock::now();
                if let Some(why) = look(self.child.pid()) {
                    return Err(BootError::Hung(name.into(), why));
                }
            }
            // The newcomer needs this core if it is the only one. It rings when it answers or fails.
            process::poll(&[ring.fd(), self.child.pidfd()], Some(TICK));
        }
    }

    /// Since when it answers, if it does.
    pub fn ready_at(&self) -> Option<u64> {
        (self.page.get(STATE).load(Acquire) == READY).then(|| self.page.get(READY_AT).load(Acquire))
    }

    /// Whether it waits for the word.
    pub fn is_prepared(&self) -> bool {
        self.page.get(STATE).load(Acquire) == PREPARED
    }

    /// Whether it said that it cannot start.
    pub fn failed(&self) -> bool {
        self.page.get(STATE).load(Acquire) == FAILED
    }

    /// When it was told to go, if it has noticed.
    pub fn told_at(&self) -> Option<u64> {
        Some(self.page.get(GO_AT).load(Acquire)).filter(|&at| at != 0)
    }

    /// Makes sure that it executes no instruction any more, see [`last_words`].
    pub fn silence(&self) {
        let threads = last_words::threads(&self.page, LAST_WORDS);
        last_words::silence(self.child.pid(), self.child.pidfd(), &threads);
        if self.last_words().is_none() {
            // It may have been killed, and end right now.
            last_words::give_way(self.child.pid(), &threads);
        }
    }

    /// What is left of one that is of no more use: its process, and the threads in it.
    pub fn remains(self) -> (Child, Vec<i32>) {
        let threads = last_words::threads(&self.page, LAST_WORDS);
        (self.child, threads)
    }

    /// What it said when it died by a fault: when, and by which signal.
    pub fn last_words(&self) -> Option<(u64, i32)> {
        last_words::said(&self.page, LAST_WORDS)
    }

    /// What keeps it from taking requests up; it has one if it has one member.
    pub fn gate(&self) -> Gate<'_> {
        Gate::new(self.page.get_half(GATE))
    }

    /// Where the code of each member can be patched.
    pub fn patches(&self) -> impl Iterator<Item = Option<Patch>> + '_ {
        let word = |i: usize| self.page.get(i).load(Acquire) as usize;
        (0..self.members).map(move |member| {
            let first = PATCH + 3 * member;
            (word(first) != 0).then(|| Patch { base: word(first), code: word(first + 1), data: word(first + 2) })
        })
    }
}

/// The domain's own half.
pub(super) struct Own<'a> {
    pub name: &'a str,
    pub members: &'a [usize],
    pub prepared: &'a [Prepared],
    pub page: &'static Words,
    pub shared: &'a Shared,
}

impl Own<'_> {
    /// Prepares, waits for the word, starts, answers for ever.
    pub fn run(&self, how: Begin<'_>, wiring: &mut Wiring) -> Result<i32> {
        let Own { name, members, page, .. } = *self;
        let Shared { ring, berth, .. } = self.shared.clone();
        wiring.keep(|wire| wire.is_of(members));
        // A panic ends the domain, as every other fault does: its caller must not wait for a thread that is gone.
        log::panics(name.into(), || std::process::abort());
        arena::adopt(places(members[0]).0)?;
        // What runs away with memory, threads or descriptors of the host ends at a limit of its own.
        process::limit(MORE_BYTES, DESCRIPTORS)?;
        // Without its last words the supervisor hears of its death later, from the host.
        let testament = Testament { page, first: LAST_WORDS, berth: berth.clone(), ring };
        let _ = last_words::install(testament);
        let loaded = match how {
            Begin::AtOnce | Begin::Cold | Begin::Successor(_) => self.load()?,
            Begin::Standby(_) => politely(|| self.load())?,
        };
        if let Some(predecessor) = how.predecessor() {
            process::close_descriptors_but([ring.fd(), predecessor.child.pidfd()]);
            let threads: u32 = members.iter().map(|&member| self.prepared[member].entry.threads).sum();
            threads::reserve(threads as usize)?;
            politely(|| process::bring_in(BROUGHT_IN));
            page.get(STATE).store(PREPARED, Release);
            ring.ring();
            let succession = berth.wait();
            page.get(GO_AT).store(clock::now(), Release);
            if succession == Succession::HandedOver {
                predecessor.silence();
                wiring.server_died(members);
            }
        }
        process::close_descriptors_but([ring.fd()]);
        wiring.let_others_finish(members, |server| self.prepared[server].component.interface);
        let check = matches!(how, Begin::Successor(_));
        let mut pools = self.go(loaded, wiring, check)?.into_iter();
        page.get(READY_AT).store(clock::now(), Release);
        page.get(STATE).store(READY, Release);
        if let Some(first) = pools.next() {
            first.lead(move || {
                pools.for_each(Pool::start);
                ring.ring();
            });
        }
        // Nobody outside may call it.
        ring.ring();
        loop {
            std::thread::park();
        }
    }

    fn load(&self) -> Result<Vec<Loaded<'_>>> {
        self.members.iter().map(|&number| self.prepared[number].load(places(number).1, &HOST)).collect()
    }

    /// Starts the components and asks them for their health if so; returns what is to answer for them.
    fn go(&self, loaded: Vec<Loaded<'_>>, wiring: &Wiring, check: bool) -> Result<Vec<&'static Pool>> {
        let prepared = self.prepared;
        let mut started: Vec<(usize, Handle)> = Vec::new();
        for (i, (&number, loaded)) in self.members.iter().zip(loaded).enumerate() {
            let mine = &prepared[number];
            let mut imports = wiring.imports(Client::Component(number), prepared);
            for (other, handle) in &started {
                if mine.entry.imports.contains(&prepared[*other].entry.name) {
                    imports.insert(&prepared[*other].entry.name, neighbour(mine, &prepared[*other], handle));
                }
            }
            let component = loaded.run(&imports)?;
            if check {
                check_health(&component.handle).map_err(|why| BootError::Unhealthy(mine.entry.name.clone(), why))?;
            }
            if let Some(patch) = component.patch {
                for (word, address) in [patch.base, patch.code, patch.data].into_iter().enumerate() {
                    self.page.get(PATCH + 3 * i + word).store(address as u64, Release);
                }
            }
            started.push((number, component.handle));
        }
        let mut pools = Vec::new();
        for (number, handle) in started {
            // Without a bell there is no channel.
            let Some(bell) = wiring.bell(number) else { continue };
            let threads = prepared[number].entry.threads;
            let gate = (self.members.len() == 1).then(|| Gate::new(self.page.get_half(GATE)));
            let pool = Pool::gated(wiring.clients_of(number), bell, handle.serve(), wiring.wait(), threads, gate);
            pools.push(pool);
        }
        Ok(pools)
    }
}

/// Does something on a thread that gives way to everybody, since a thread that was nice can never be otherwise.
fn politely<R: Send>(what: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let polite = scope.spawn(|| {
            process::be_nice(0, POLITE);
            what()
        });
        polite.join().unwrap_or_else(|_| std::process::abort())
    })
}

/// What a component holds of another in its own process: the other itself, unless threads stand between their domains.
fn neighbour(mine: &Prepared, prepared: &Prepared, handle: &Handle) -> Handle {
    if mine.domain == prepared.domain || prepared.placement == Placement::Direct {
        return handle.clone();
    }
    let Entry { name, threads, .. } = &prepared.entry;
    (prepared.component.client)(thread::connect(handle.serve(), name, *threads, Caller::KERNEL))
}
