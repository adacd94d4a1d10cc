//! The domains: whether each lives, what it may reach, what became of it.

use std::io;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};

use super::keys::{Key, Rights};
use super::{COMMON, DOMAINS, FIRST, SERVICES, gate, space, thread};
use crate::module::{MappedModule, Snapshot};
use crate::{arena, futex};

/// What is known of a domain. It lies in the core's memory: domains read it, and cannot write it.
pub struct Domain {
    state: AtomicU32,
    faults: AtomicU64,
    signal: AtomicI32,
    address: AtomicUsize,
    instruction: AtomicUsize,
}

/// Whether a domain may be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is none of this number, or it is being started.
    Absent,
    /// It may.
    Alive,
    /// It died; a successor may follow.
    Dead,
    /// It died and none will.
    Gone,
}

/// Why a domain died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The signal by which the host reported it; 0: it made no progress.
    pub signal: i32,
    /// The address that was accessed.
    pub address: usize,
    /// The instruction.
    pub instruction: usize,
}

static DOMAIN: [Domain; DOMAINS] = [const {
    Domain {
        state: AtomicU32::new(0),
        faults: AtomicU64::new(0),
        signal: AtomicI32::new(0),
        address: AtomicUsize::new(0),
        instruction: AtomicUsize::new(0),
    }
}; DOMAINS];

/// Deaths so far: whoever restarts domains sleeps on it.
static DEATHS: AtomicU32 = AtomicU32::new(0);

/// The domain of a number below [`DOMAINS`].
pub fn get(number: usize) -> &'static Domain {
    &DOMAIN[number]
}

/// Where a domain's arena is in the direct map; behind it is a hole.
pub const fn place(domain: usize) -> usize {
    2 * domain
}

/// Maps what all domains need, once: stacks for signals under a key that every domain writes, and those of services.
pub fn set_up(signals: Key) -> io::Result<()> {
    gate::PKRU[COMMON].store(Rights::NONE.writing(Key::COMMON).writing(signals).0, Relaxed);
    gate::PKRU[SERVICES].store(Rights::ALL.0, Relaxed);
    space::map_signal_stacks(signals)?;
    space::map_stacks(SERVICES, Key::COMMON)?;
    get(SERVICES).set(State::Alive);
    membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)?;
    super::fault::install()
}

/// Maps a domain's stacks and an empty arena.
pub fn map(domain: usize, key: Key) -> io::Result<()> {
    space::map_stacks(domain, key)?;
    let place = place(domain);
    arena::found(place)?;
    key.protect(arena::place(place), arena::PLACE)
}

/// Says what threads of a domain may reach.
pub fn set_rights(domain: usize, rights: Rights) {
    gate::PKRU[domain].store(rights.0, Relaxed);
}

/// What they may reach.
pub fn rights(domain: usize) -> Rights {
    Rights(gate::PKRU[domain].load(Relaxed))
}

impl Domain {
    /// Whether it may be entered.
    #[inline]
    pub fn state(&self) -> State {
        match self.state.load(Acquire) {
            0 => State::Absent,
            1 => State::Alive,
            2 => State::Dead,
            _ => State::Gone,
        }
    }

    /// Says so, and wakes who waits for it.
    pub fn set(&self, state: State) {
        self.state.store(state as u32, SeqCst);
        futex::wake(&self.state, u32::MAX);
    }

    /// Waits until it is alive or gone; who restarts domains does not wait for itself.
    pub fn wait(&self) -> State {
        loop {
            match self.state() {
                State::Absent | State::Dead if !thread::restarts_domains() => {}
                state => return state,
            }
            let seen = self.state.load(Acquire);
            if seen != State::Alive as u32 && seen != State::Gone as u32 {
                futex::wait(&self.state, seen);
            }
        }
    }

    /// Notes a fault and condemns it, unless it is dead already; one that is being started is its starter's to condemn.
    /// Safe to call from a signal handler.
    pub(super) fn condemn(&self, fault: Fault) {
        let alive = self.state.compare_exchange(State::Alive as u32, State::Dead as u32, SeqCst, Relaxed).is_ok();
        if !alive && self.state() != State::Absent {
            return;
        }
        self.signal.store(fault.signal, Relaxed);
        self.address.store(fault.address, Relaxed);
        self.instruction.store(fault.instruction, Relaxed);
        if !alive {
            return;
        }
        self.faults.fetch_add(1, Release);
        DEATHS.fetch_add(1, SeqCst);
        futex::wake(&DEATHS, u32::MAX);
    }

    /// Faults so far, and the last one.
    pub fn faults(&self) -> (u64, Fault) {
        let count = self.faults.load(Acquire);
        let fault = Fault {
            signal: self.signal.load(Relaxed),
            address: self.address.load(Relaxed),
            instruction: self.instruction.load(Relaxed),
        };
        (count, fault)
    }
}

/// Deaths so far.
pub fn deaths() -> u32 {
    DEATHS.load(SeqCst)
}

/// Sleeps until there are more deaths than `seen`, at most so many nanoseconds; may return early.
pub fn wait_for_deaths(seen: u32, nanos: u64) {
    futex::wait_for(&DEATHS, seen, nanos);
}

/// Ends a domain that makes no progress.
pub fn condemn(domain: usize) {
    get(domain).condemn(Fault { signal: 0, address: 0, instruction: 0 });
}

/// Gets every thread out of a dead domain: those in it leave at once, those that it called come back to its callers.
/// Then its arena is discarded, its modules' statics are what they were, and the domain is as [`map`] made it.
///
/// Threads inside the core's services finish there first. What a domain further down does for a thread is finished as
/// well, since it holds locks of domains that live; unless it waits for an event that may never come.
pub fn evacuate(domain: usize, modules: &[(&MappedModule, &Snapshot)]) -> io::Result<()> {
    debug_assert!(domain >= FIRST && get(domain).state() != State::Alive);
    // Whoever saw the domain alive before it was condemned has its slot say so from here on.
    membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)?;
    while thread::raised(|| super::fault::expel(domain)) > 0 {
        std::thread::sleep(std::time::Duration::from_micros(50));
    }
    thread::raised(|| {
        for (module, snapshot) in modules {
            // SAFETY: nobody is in the domain any more, and all that the module made of itself lay in the arena, which
            // is discarded as well; all rights write its statics.
            unsafe { module.restore(snapshot) };
        }
        arena::refound(place(domain))
    })
}

/// Asks threads to come back that wait in a domain for an event, on behalf of one that is no more.
pub fn expel_stragglers() {
    thread::raised(super::fault::expel_stragglers);
}

/// What a thread did since somebody looked last, for whoever looks for those that make no progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The host's number of the thread.
    pub thread: i32,
    /// The domain that it is in.
    pub domain: usize,
    /// Calls that it made, through all the domains that it is in.
    pub calls: usize,
    /// It waits for an event.
    pub parked: bool,
}

/// Where every thread is that is in a domain.
pub fn progress() -> Vec<Progress> {
    let of = |thread: &'static thread::Thread| {
        let chain = thread.chain();
        let calls = chain.iter().map(|domain| thread.slot(domain).calls.load(Relaxed)).sum();
        let domain = chain.innermost();
        let parked = thread.slot(domain).parked.load(Relaxed);
        (domain >= FIRST).then_some(Progress { thread: thread.id(), domain, calls, parked })
    };
    thread::raised(|| thread::all().filter_map(of).collect())
}

/// A full barrier on every thread of this process that runs, or the registration for it.
fn membarrier(command: i32) -> io::Result<()> {
    // SAFETY: plain system call.
    match unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
