//! What a domain of each strength reaches: the table of ARCHITECTURE.md, row by row, as far as it is the nucleus's.

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, Ordering::*};

use kd_machine::memory::{Memory, anonymous_at};
use kd_nucleus::pkey::thread::Thread;
use kd_nucleus::pkey::{COMMON, Key, SERVICES, space};

use super::{FULL, INTEGRITY, OTHER, allocate, dies, enter, key, read, world, write};

/// What a domain may do with a byte.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reach {
    Nothing,
    Read,
    Written,
}
use Reach::*;

/// What it does: whatever is not let through ends the domain at that byte.
fn reach(domain: usize, address: usize) -> Reach {
    let lets = |entry| {
        let faults = kd_nucleus::pkey::domain::get(domain).faults().0;
        if enter(domain, entry, address) != kd_nucleus::pkey::thread::DIED {
            return true;
        }
        let (count, fault) = kd_nucleus::pkey::domain::get(domain).faults();
        assert_eq!((count, fault.signal, fault.address), (faults + 1, libc::SIGSEGV, address));
        super::revive(domain);
        false
    };
    match (lets(read), lets(write)) {
        (false, false) => Nothing,
        (true, false) => Read,
        (true, true) => Written,
        (false, true) => panic!("{address:#x} is written and not read"),
    }
}

/// A page under a key: a module's statics, or its device.
fn page(key: Key) -> usize {
    let page = Memory::new("page", 4096).and_then(|memory| memory.map()).expect("a page").leak().as_ptr() as usize;
    key.protect(page, 4096).expect("it is ours");
    page
}

pub fn domains_reach_what_the_table_says() {
    static CONSTANT: u8 = 5;
    static STATIC: AtomicU8 = AtomicU8::new(5);
    thread_local! { static LOCAL: Cell<u8> = const { Cell::new(5) } }
    unsafe extern "C" {
        #[link_name = "environ"]
        static OF_LIBC: u8;
    }
    world();
    let own = Thread::enlist().expect("there is room").number();
    let (heap, stack) = (Box::new(5u8), 5u8);
    let log = Memory::new("log", 4096).and_then(|memory| memory.map()).expect("a page");
    let common = [
        ("constants", &raw const CONSTANT as usize),
        ("the program's variables", STATIC.as_ptr() as usize),
        ("thread-local storage", LOCAL.with(|local| local.as_ptr() as usize)),
        ("the C library's variables", (&raw const OF_LIBC) as usize),
        ("the core's heap", &raw const *heap as usize),
        ("the core's stack", &raw const stack as usize),
        ("services' stacks", space::top(SERVICES, own)),
        ("the kernel log", log.start().as_ptr() as usize),
        ("code", read as *const () as usize),
    ];
    let statics = [FULL, OTHER, INTEGRITY].map(|number| (number, page(key(number))));
    let statics_of = |domain| statics.iter().find(|(number, _)| *number == domain).expect("it has some").1;
    // Each is called by the one before it; FULL by nobody but the core.
    for (domain, others, clients, strangers) in
        [(FULL, Nothing, [COMMON].as_slice(), [OTHER, INTEGRITY]), (INTEGRITY, Read, &[COMMON, OTHER], [FULL, FULL])]
    {
        // Whatever is tried may end the domain, and with it what lay in its arena: that is asked for first.
        let arena = enter(domain, allocate, 10) as usize;
        let mut rows = vec![
            ("the own arena", arena, Written),
            ("the own stack", space::scratch(domain, own), Written),
            ("own statics and devices", statics_of(domain), Written),
            ("windows of own calls", space::window(domain, own), Written),
            ("stacks for signals", space::SIGNALS + own * space::SIGNAL_STACK, Written),
        ];
        rows.extend(clients.iter().map(|client| ("windows of clients' calls", space::window(*client, own), Written)));
        rows.extend(common.map(|(what, address)| (what, address, Read)));
        for other in [FULL, OTHER, INTEGRITY].into_iter().filter(|other| *other != domain) {
            rows.push(("another's arena", enter(other, allocate, 10) as usize, others));
            rows.push(("another's stack", space::scratch(other, own), others));
            rows.push(("another's statics and devices", statics_of(other), others));
        }
        rows.extend(strangers.iter().map(|other| ("windows of others' calls", space::window(*other, own), others)));
        for (what, address, expected) in rows {
            assert_eq!(reach(domain, address), expected, "{what}, from domain {domain}");
        }
    }
    let untouched = (CONSTANT, STATIC.load(SeqCst), LOCAL.get(), *heap, stack);
    assert_eq!(untouched, (5, 5, 5, 5, 5));
    // A hole is nobody's.
    let hole = anonymous_at(0x2030_0000_0000, 4096).map(|page| page.range().0).expect("an address");
    assert_eq!(dies(FULL, read, hole).address, hole);
}
