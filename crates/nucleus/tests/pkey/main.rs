//! Domains behind protection keys: what they reach, what becomes of their faults, how threads leave them.
//!
//! Without libtest, which hides that a machine without keys runs none of this. `cargo debate vm-test` runs it there.

mod faults;
mod nested;
mod outside;
mod planted;
mod reach;

use std::sync::OnceLock;

use kd_nucleus::arena;
use kd_nucleus::pkey::domain::{self, Fault, State};
use kd_nucleus::pkey::thread::{self, DIED};
use kd_nucleus::pkey::{self, COMMON, DOMAINS, Entry, FIRST, Key, Rights, SERVICES, space};

const TESTS: [(&str, fn()); 14] = [
    ("a_call_crosses_and_comes_back", a_call_crosses_and_comes_back),
    ("a_domain_allocates_from_its_own_arena", a_domain_allocates_from_its_own_arena),
    ("services_do_what_a_domain_may_not", services_do_what_a_domain_may_not),
    ("domains_reach_what_the_table_says", reach::domains_reach_what_the_table_says),
    ("every_fault_ends_the_call_alone", faults::every_fault_ends_the_call_alone),
    ("ten_thousand_faults_leave_nothing_behind", faults::ten_thousand_faults_leave_nothing_behind),
    ("a_fault_further_down_is_the_culprits", nested::a_fault_further_down_is_the_culprits),
    ("a_domain_dies_while_its_thread_is_further_down", nested::a_domain_dies_while_its_thread_is_further_down),
    ("who_waits_for_ever_is_not_waited_for", nested::who_waits_for_ever_is_not_waited_for),
    ("threads_of_a_domain_end_with_it", nested::threads_of_a_domain_end_with_it),
    ("who_changes_rights_is_found", planted::who_changes_rights_is_found),
    ("only_the_gates_of_this_program_change_rights", planted::only_the_gates_of_this_program_change_rights),
    ("what_is_planted_in_memory_is_told_by_its_kind", planted::what_is_planted_in_memory_is_told_by_its_kind),
    ("what_is_planted_in_a_module_is_told_by_its_kind", planted::what_is_planted_in_a_module_is_told_by_its_kind),
];

fn main() {
    if outside::asked() {
        return;
    }
    if let Err(error) = pkey::available() {
        println!("skipped: {error}");
        return;
    }
    domain::set_up(signals()).expect("set up");
    let filter = std::env::args().nth(1).filter(|argument| !argument.starts_with('-')).unwrap_or_default();
    for (name, test) in TESTS.into_iter().filter(|(name, _)| name.contains(&filter)) {
        print!("test {name} ... ");
        test();
        println!("ok");
    }
}

/// The key of the stacks for signals.
fn signals() -> Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    *KEY.get_or_init(|| Key::allocate().expect("a key"))
}

/// The strong domains, and the one that reads everything. Each calls by windows under a key of its own, and is called
/// from outside and by the one before it.
fn world() {
    static WORLD: std::sync::Once = std::sync::Once::new();
    WORLD.call_once(|| {
        space::map_windows(COMMON, window_key(COMMON)).expect("mapped");
        domain::set_rights(COMMON, domain::rights(COMMON).writing(window_key(COMMON)));
        for (number, rights) in [
            (FULL, Rights::NONE.reading(Key::COMMON)),
            (OTHER, Rights::NONE.reading(Key::COMMON)),
            (INTEGRITY, Rights::READ),
        ] {
            domain::map(number, key(number)).expect("mapped");
            space::map_windows(number, window_key(number)).expect("mapped");
            let own = rights.writing(signals()).writing(key(number)).writing(window_key(number));
            let clients = own.writing(window_key(COMMON));
            domain::set_rights(number, if number == FULL { clients } else { clients.writing(window_key(number - 1)) });
            domain::get(number).set(State::Alive);
        }
    });
}

const FULL: usize = FIRST;
const OTHER: usize = FIRST + 1;
const INTEGRITY: usize = FIRST + 2;

/// A domain's key.
fn key(domain: usize) -> Key {
    static KEYS: [OnceLock<Key>; DOMAINS] = [const { OnceLock::new() }; DOMAINS];
    *KEYS[domain].get_or_init(|| Key::allocate().expect("a key"))
}

/// That of the windows that it calls by.
fn window_key(domain: usize) -> Key {
    static KEYS: [OnceLock<Key>; DOMAINS] = [const { OnceLock::new() }; DOMAINS];
    *KEYS[domain].get_or_init(|| Key::allocate().expect("a key"))
}

fn enter(domain: usize, entry: Entry, first: usize) -> u64 {
    world();
    thread::call(domain, entry, first, 0, false).expect("enlisted")
}

fn revive(domain: usize) {
    assert_eq!(domain::get(domain).state(), State::Dead);
    domain::evacuate(domain, &[]).expect("evacuated");
    domain::get(domain).set(State::Alive);
}

/// Enters and finds that the domain died; returns the fault, and revives it.
fn dies(domain: usize, entry: Entry, first: usize) -> Fault {
    let before = domain::get(domain).faults().0;
    assert_eq!(enter(domain, entry, first), DIED);
    let (faults, fault) = domain::get(domain).faults();
    assert_eq!(faults, before + 1);
    revive(domain);
    assert_eq!(enter(domain, add, 2), 2 + COMMON_CALLER);
    fault
}

const COMMON_CALLER: u64 = pkey::COMMON as u64;

extern "C" fn add(first: usize, second: usize, caller: usize) -> u64 {
    (first + second + caller) as u64
}

fn a_call_crosses_and_comes_back() {
    world();
    assert_eq!(thread::call(FULL, add, 40, 2, false).expect("enlisted"), 42);
    assert_eq!(thread::here(), pkey::COMMON);
    extern "C" fn onwards(first: usize, _: usize, _: usize) -> u64 {
        assert_eq!(thread::here(), FULL);
        thread::call(OTHER, add, first, 0, false).unwrap_or(0)
    }
    assert_eq!(enter(FULL, onwards, 5), 5 + FULL as u64);
    std::thread::scope(|scope| {
        for number in 0..8 {
            scope.spawn(move || {
                (0..1000).for_each(|i| assert_eq!(enter(FULL, onwards, i + number), (i + number + FULL) as u64))
            });
        }
    });
}

extern "C" fn allocate(bytes: usize, _: usize, _: usize) -> u64 {
    Box::into_raw(vec![7u8; bytes].into_boxed_slice()).cast::<u8>() as u64
}

fn a_domain_allocates_from_its_own_arena() {
    for number in [FULL, OTHER] {
        let at = enter(number, allocate, 100) as usize;
        let place = arena::place(domain::place(number));
        assert!((place..place + arena::PLACE).contains(&at), "{at:#x}");
    }
}

extern "C" fn read(address: usize, _: usize, _: usize) -> u64 {
    // SAFETY: the test wants to know whether the processor lets it through.
    unsafe { u64::from((address as *const u8).read_volatile()) }
}

extern "C" fn write(address: usize, _: usize, _: usize) -> u64 {
    // SAFETY: as above.
    unsafe { (address as *mut u8).write_volatile(9) };
    0
}

fn services_do_what_a_domain_may_not() {
    extern "C" fn ask(address: usize, _: usize, _: usize) -> u64 {
        let mut mine = 1;
        let told = thread::outside(|| {
            assert_eq!(thread::here(), SERVICES);
            mine = 2;
            write(address, 0, 0);
            vec![String::from("from the core's heap")].len()
        });
        assert_eq!(thread::here(), FULL);
        (told + mine) as u64
    }
    let mut byte = 0u8;
    assert_eq!(enter(FULL, ask, &raw mut byte as usize), 3);
    assert_eq!(byte, 9);
}
