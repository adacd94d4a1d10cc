//! Domains behind protection keys: what they reach, what becomes of their faults, how threads leave them.
//!
//! Without libtest, which hides that a machine without keys runs none of this. `cargo debate vm-test` runs it there.

use std::alloc::Layout;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::*};
use std::time::Duration;

use kd_nucleus::pkey::domain::{self, Fault, State};
use kd_nucleus::pkey::thread::{self, DIED};
use kd_nucleus::pkey::{self, Entry, FIRST, Key, Rights, SERVICES, scan};
use kd_nucleus::{arena, futex, threads};

const TESTS: [(&str, fn()); 13] = [
    ("a_call_crosses_and_comes_back", a_call_crosses_and_comes_back),
    ("a_domain_allocates_from_its_own_arena", a_domain_allocates_from_its_own_arena),
    ("memory_without_a_key_is_read_and_not_written", memory_without_a_key_is_read_and_not_written),
    ("full_domains_read_nothing_of_others", full_domains_read_nothing_of_others),
    ("domains_of_integrity_read_and_do_not_write", domains_of_integrity_read_and_do_not_write),
    ("every_fault_ends_the_call_alone", every_fault_ends_the_call_alone),
    ("services_do_what_a_domain_may_not", services_do_what_a_domain_may_not),
    ("a_fault_further_down_is_the_culprits", a_fault_further_down_is_the_culprits),
    ("a_domain_dies_while_its_thread_is_further_down", a_domain_dies_while_its_thread_is_further_down),
    ("who_waits_for_ever_is_not_waited_for", who_waits_for_ever_is_not_waited_for),
    ("threads_of_a_domain_end_with_it", threads_of_a_domain_end_with_it),
    ("a_thousand_faults_leave_nothing_behind", a_thousand_faults_leave_nothing_behind),
    ("who_changes_rights_is_found", who_changes_rights_is_found),
];

fn main() {
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
    static KEY: std::sync::OnceLock<Key> = std::sync::OnceLock::new();
    *KEY.get_or_init(|| Key::allocate().expect("a key"))
}

/// Three domains: one that reads nothing of others, one more, and one that reads everything.
fn world() {
    static WORLD: std::sync::Once = std::sync::Once::new();
    WORLD.call_once(|| {
        for (number, rights) in [
            (FULL, Rights::NONE.reading(Key::COMMON)),
            (OTHER, Rights::NONE.reading(Key::COMMON)),
            (INTEGRITY, Rights::READ),
        ] {
            let key = Key::allocate().expect("a key");
            domain::map(number, key).expect("mapped");
            domain::set_rights(number, rights.writing(signals()).writing(key));
            domain::get(number).set(State::Alive);
        }
    });
}

const FULL: usize = FIRST;
const OTHER: usize = FIRST + 1;
const INTEGRITY: usize = FIRST + 2;

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

fn memory_without_a_key_is_read_and_not_written() {
    static WORD: AtomicU32 = AtomicU32::new(5);
    let heap = Box::new(6u8);
    let stack = 7u8;
    for (address, value) in
        [(WORD.as_ptr() as usize, 5), (&raw const *heap as usize, 6), (&raw const stack as usize, 7)]
    {
        for number in [FULL, INTEGRITY] {
            assert_eq!(enter(number, read, address), value);
            let fault = dies(number, write, address);
            assert_eq!((fault.signal, fault.address), (libc::SIGSEGV, address));
        }
    }
    assert_eq!((WORD.load(SeqCst), *heap, stack), (5, 6, 7));
}

fn full_domains_read_nothing_of_others() {
    let arena = enter(OTHER, allocate, 10) as usize;
    let stack = pkey::space::top(OTHER, 0);
    for address in [arena, stack] {
        for access in [read as Entry, write] {
            let fault = dies(FULL, access, address);
            assert_eq!((fault.signal, fault.address), (libc::SIGSEGV, address));
        }
    }
    assert_eq!(enter(OTHER, read, arena), 7);
}

fn domains_of_integrity_read_and_do_not_write() {
    let arena = enter(OTHER, allocate, 10) as usize;
    assert_eq!(enter(INTEGRITY, read, arena), 7);
    assert_eq!(dies(INTEGRITY, write, arena).signal, libc::SIGSEGV);
    assert_eq!(enter(OTHER, read, arena), 7);
}

#[allow(unconditional_recursion)]
extern "C" fn overflow(depth: usize, _: usize, _: usize) -> u64 {
    let room = black_box([depth; 64]);
    overflow(black_box(depth + 1), 0, 0) + black_box(room)[1] as u64
}

fn every_fault_ends_the_call_alone() {
    extern "C" fn illegal(_: usize, _: usize, _: usize) -> u64 {
        // SAFETY: the test wants the fault.
        unsafe { std::arch::asm!("ud2") };
        0
    }
    extern "C" fn divide(_: usize, _: usize, _: usize) -> u64 {
        // SAFETY: as above.
        unsafe { std::arch::asm!("xor ecx, ecx", "div ecx", out("rax") _, out("rdx") _, out("rcx") _) };
        0
    }
    extern "C" fn abort(_: usize, _: usize, _: usize) -> u64 {
        std::process::abort()
    }
    extern "C" fn panic(_: usize, _: usize, _: usize) -> u64 {
        panic!("a domain's")
    }
    extern "C" fn raise(_: usize, _: usize, _: usize) -> u64 {
        // SAFETY: as above; by hand, since the C library would write its own memory first.
        unsafe {
            libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::syscall(libc::SYS_gettid), libc::SIGABRT) as u64
        }
    }
    extern "C" fn wild_stack(_: usize, _: usize, _: usize) -> u64 {
        // SAFETY: as above.
        unsafe { std::arch::asm!("mov rsp, 64", "push rax", options(noreturn)) }
    }
    let faults: [(Entry, &[i32]); 8] = [
        (read, &[libc::SIGSEGV]),
        (overflow, &[libc::SIGSEGV]),
        (illegal, &[libc::SIGILL]),
        (divide, &[libc::SIGFPE]),
        (abort, &[libc::SIGSEGV, libc::SIGABRT]),
        (panic, &[libc::SIGSEGV]),
        (raise, &[libc::SIGABRT]),
        (wild_stack, &[libc::SIGSEGV]),
    ];
    for (number, (entry, signals)) in faults.into_iter().enumerate() {
        let fault = dies(FULL, entry, 0);
        assert!(signals.contains(&fault.signal), "fault {number}: {fault:?}");
    }
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

extern "C" fn onwards_to_a_fault(_: usize, _: usize, _: usize) -> u64 {
    thread::call(OTHER, read, 0, 0, false).map_or(1, |code| if code == DIED { 77 } else { 2 })
}

fn a_fault_further_down_is_the_culprits() {
    let before = domain::get(FULL).faults().0;
    assert_eq!(enter(FULL, onwards_to_a_fault, 0), 77);
    assert_eq!(domain::get(FULL).faults().0, before);
    revive(OTHER);
}

/// In which state a thread further down is, and whether it may go on.
static BELOW: AtomicU32 = AtomicU32::new(0);
static GO_ON: AtomicU32 = AtomicU32::new(0);
static CAME_BACK: AtomicUsize = AtomicUsize::new(0);

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

extern "C" fn call_below(entry: usize, blocking: usize, _: usize) -> u64 {
    // SAFETY: the tests pass entries.
    let entry: Entry = unsafe { std::mem::transmute::<usize, Entry>(entry) };
    let code = thread::call(OTHER, entry, 0, 0, blocking != 0).unwrap_or(1);
    thread::outside(|| CAME_BACK.fetch_add(1, SeqCst));
    code
}

/// A thread calls FULL, which calls OTHER; FULL dies meanwhile. Returns what the thread was told.
fn die_above(entry: Entry, blocking: bool, then: impl FnOnce()) -> u64 {
    world();
    BELOW.store(0, SeqCst);
    GO_ON.store(0, SeqCst);
    let before = CAME_BACK.load(SeqCst);
    let told = std::thread::scope(|scope| {
        let call =
            move || thread::call(FULL, call_below, entry as usize, usize::from(blocking), false).expect("enlisted");
        let caller = scope.spawn(call);
        wait_while(&BELOW, 0);
        domain::condemn(FULL);
        revive(FULL);
        // Its successor works, whoever is still on the way back through its predecessor.
        assert_eq!(enter(FULL, add, 1), 1);
        then();
        // As the core does: who was not waiting yet when the domain died may be now.
        while !caller.is_finished() {
            domain::expel_stragglers();
            std::thread::sleep(Duration::from_millis(1));
        }
        caller.join().expect("no panic")
    });
    assert_eq!(CAME_BACK.load(SeqCst), before, "a thread came back to a domain that is no more");
    assert_eq!((domain::get(FULL).state(), domain::get(OTHER).state()), (State::Alive, State::Alive));
    assert_eq!(enter(FULL, add, 1), 1);
    told
}

fn a_domain_dies_while_its_thread_is_further_down() {
    let told = die_above(linger, false, || {
        assert_eq!(BELOW.load(SeqCst), 1, "who is further down finishes what it does");
        GO_ON.store(1, SeqCst);
        futex::wake(&GO_ON, u32::MAX);
    });
    assert_eq!((told, BELOW.load(SeqCst)), (DIED, 2));
}

fn who_waits_for_ever_is_not_waited_for() {
    assert_eq!(die_above(wait_for_ever, true, || ()), DIED);
}

fn threads_of_a_domain_end_with_it() {
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

fn a_thousand_faults_leave_nothing_behind() {
    extern "C" fn leak(_: usize, _: usize, _: usize) -> u64 {
        let big = Layout::array::<u8>(1 << 20).expect("a layout");
        // SAFETY: the layout is not empty; the block is written within its length.
        unsafe { std::alloc::alloc(big).write_bytes(1, big.size()) };
        read(0, 0, 0)
    }
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("the host tells");
        statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number") * 4096
    };
    dies(FULL, leak, 0);
    let before = resident();
    for _ in 0..1000 {
        dies(FULL, leak, 0);
    }
    assert!(resident() < before + (4 << 20), "{before} bytes grew to {}", resident());
}

fn who_changes_rights_is_found() {
    let findings = scan::process(&mut Vec::new()).expect("the host tells what is mapped");
    // Addresses in other instructions can look like one: that is told, and is no instruction of anybody's.
    findings.iter().filter(|finding| !finding.is_listed()).for_each(|finding| println!("{finding:x?}"));
    assert!(findings.iter().any(|finding| finding.image.contains("libc.so")), "the scan found nothing at all");
    let gates = pkey::gate::extent();
    // SAFETY: code of this program.
    let code = unsafe { std::slice::from_raw_parts(gates.start as *const u8, gates.len()) };
    // Not written out, or this code would hold it as well.
    let last = !black_box(0x10);
    let changes = code.windows(3).filter(|bytes| bytes.starts_with(&[0x0F, 0x01]) && bytes[2] == last).count();
    // A gate and a way back for each domain, the entry of signals, and the core's own.
    assert_eq!(changes, 2 * pkey::DOMAINS + 2);
}
