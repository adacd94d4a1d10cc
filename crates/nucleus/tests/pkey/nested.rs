//! Threads that are in several domains when one of them dies.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::*};
use std::time::Duration;

use kd_nucleus::pkey::Entry;
use kd_nucleus::pkey::domain::{self, State};
use kd_nucleus::pkey::thread::{self, DIED};
use kd_nucleus::{futex, threads};

use super::{FULL, INTEGRITY, OTHER, add, enter, read, revive, world};

/// Chains of three: each of the domains, of either strength, in each place.
const CHAINS: [[usize; 3]; 3] = [[FULL, OTHER, INTEGRITY], [OTHER, INTEGRITY, FULL], [INTEGRITY, FULL, OTHER]];

extern "C" fn onwards_to_a_fault(_: usize, _: usize, _: usize) -> u64 {
    thread::call(OTHER, read, 0, 0, false).map_or(1, |code| if code == DIED { 77 } else { 2 })
}

pub fn a_fault_further_down_is_the_culprits() {
    let before = domain::get(FULL).faults().0;
    assert_eq!(enter(FULL, onwards_to_a_fault, 0), 77);
    assert_eq!(domain::get(FULL).faults().0, before);
    revive(OTHER);
}

/// In which state a thread further down is, and whether it may go on.
static BELOW: AtomicU32 = AtomicU32::new(0);
static GO_ON: AtomicU32 = AtomicU32::new(0);
/// How often the domain that calls on came back from that, and the one that called it.
static CAME_BACK: AtomicUsize = AtomicUsize::new(0);
static TOLD: AtomicUsize = AtomicUsize::new(0);

fn note(word: &'static AtomicU32, value: u32) {
    thread::outside(|| {
        word.store(value, SeqCst);
        futex::wake(word, u32::MAX);
    });
}

fn wait_while(word: &AtomicU32, value: u32) {
    while word.load(SeqCst) == value {
        futex::wait_for(word, value, 10_000_000);
    }
}

extern "C" fn linger(_: usize, _: usize, _: usize) -> u64 {
    note(&BELOW, 1);
    wait_while(&GO_ON, 0);
    note(&BELOW, 2);
    5
}

extern "C" fn wait_for_ever(_: usize, _: usize, _: usize) -> u64 {
    note(&BELOW, 1);
    loop {
        futex::park(&GO_ON, 0, true);
    }
}

/// Who calls whom, and what is done in the last of them.
struct Chain {
    domains: [usize; 3],
    entry: Entry,
    blocking: bool,
}

/// In the first domain: calls the second, and goes on when that died.
extern "C" fn first(chain: usize, _: usize, _: usize) -> u64 {
    // SAFETY: `die_above` passes its own chain, which outlives the call; domains read it.
    let [_, middle, _] = unsafe { &*(chain as *const Chain) }.domains;
    let code = thread::call(middle, second, chain, 0, false).unwrap_or(1);
    thread::outside(|| TOLD.fetch_add(1, SeqCst));
    code
}

extern "C" fn second(chain: usize, _: usize, _: usize) -> u64 {
    // SAFETY: as above.
    let Chain { domains: [.., last], entry, blocking } = unsafe { &*(chain as *const Chain) };
    let code = thread::call(*last, *entry, 0, 0, *blocking).unwrap_or(1);
    thread::outside(|| CAME_BACK.fetch_add(1, SeqCst));
    code
}

/// A thread is in the last of three domains while the middle one dies. Returns what the first was told.
fn die_above(domains: [usize; 3], entry: Entry, blocking: bool, then: impl FnOnce()) -> u64 {
    world();
    BELOW.store(0, SeqCst);
    GO_ON.store(0, SeqCst);
    let before = [CAME_BACK.load(SeqCst), TOLD.load(SeqCst)];
    let faults = domains.map(|number| domain::get(number).faults().0);
    let chain = Chain { domains, entry, blocking };
    let middle = domains[1];
    let told = std::thread::scope(|scope| {
        let chain = &raw const chain as usize;
        let caller = scope.spawn(move || thread::call(domains[0], first, chain, 0, false).expect("enlisted"));
        wait_while(&BELOW, 0);
        domain::condemn(middle);
        revive(middle);
        // Its successor works, whoever is still on the way back through its predecessor.
        assert_eq!(enter(middle, add, 1), 1);
        then();
        // As the core does: who was not waiting yet when the domain died may be now.
        while !caller.is_finished() {
            domain::expel_stragglers();
            std::thread::sleep(Duration::from_millis(1));
        }
        caller.join().expect("no panic")
    });
    let came = [CAME_BACK.load(SeqCst), TOLD.load(SeqCst)];
    assert_eq!(came, [before[0], before[1] + 1], "the caller goes on, and nobody in a domain that is no more");
    let died = domains.map(|number| domain::get(number).faults().0);
    assert_eq!(died, [faults[0], faults[1] + 1, faults[2]], "of {domains:?} the middle one died");
    for number in domains {
        assert_eq!((domain::get(number).state(), enter(number, add, 1)), (State::Alive, 1));
    }
    told
}

pub fn a_domain_dies_while_its_thread_is_further_down() {
    for chain in CHAINS {
        let told = die_above(chain, linger, false, || {
            assert_eq!(BELOW.load(SeqCst), 1, "who is further down finishes what it does");
            GO_ON.store(1, SeqCst);
            futex::wake(&GO_ON, u32::MAX);
        });
        assert_eq!((told, BELOW.load(SeqCst)), (DIED, 2), "{chain:?}");
    }
}

pub fn who_waits_for_ever_is_not_waited_for() {
    for chain in CHAINS {
        assert_eq!(die_above(chain, wait_for_ever, true, || ()), DIED, "{chain:?}");
    }
}

pub fn threads_of_a_domain_end_with_it() {
    extern "C" fn spawn(_: usize, _: usize, _: usize) -> u64 {
        let body = || {
            assert_eq!(thread::here(), FULL);
            linger(0, 0, 0);
        };
        u64::from(threads::spawn("of-a-domain".into(), body).is_ok())
    }
    BELOW.store(0, SeqCst);
    GO_ON.store(0, SeqCst);
    let others = thread::all().count();
    assert_eq!(enter(FULL, spawn, 0), 1);
    wait_while(&BELOW, 0);
    assert_eq!(thread::all().count(), others + 1);
    domain::condemn(FULL);
    revive(FULL);
    while thread::all().count() > others {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(BELOW.load(SeqCst), 1);
}
