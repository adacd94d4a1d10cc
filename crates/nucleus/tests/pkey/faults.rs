//! All kinds of faults, one by one, and ten thousand of them in one process.

use std::alloc::Layout;
use std::hint::black_box;

use kd_nucleus::pkey::thread::{self, Thread};
use kd_nucleus::pkey::{COMMON, Entry, keys, space};

use super::outside::{Outside, Resident};
use super::{FULL, INTEGRITY, OTHER, allocate, dies, enter, read, world, write};

#[allow(unconditional_recursion)]
extern "C" fn overflow(depth: usize, _: usize, _: usize) -> u64 {
    let room = black_box([depth; 64]);
    overflow(black_box(depth + 1), 0, 0) + black_box(room)[1] as u64
}

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
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::syscall(libc::SYS_gettid), libc::SIGABRT) as u64 }
}
extern "C" fn wild_stack(_: usize, _: usize, _: usize) -> u64 {
    // SAFETY: as above.
    unsafe { std::arch::asm!("mov rsp, 64", "push rax", options(noreturn)) }
}
/// Each kind, and the signals that it may come as.
const FAULTS: [(Entry, &[i32]); 8] = [
    (read, &[libc::SIGSEGV]),
    (overflow, &[libc::SIGSEGV]),
    (illegal, &[libc::SIGILL]),
    (divide, &[libc::SIGFPE]),
    (abort, &[libc::SIGSEGV, libc::SIGABRT]),
    (panic, &[libc::SIGSEGV]),
    (raise, &[libc::SIGABRT]),
    (wild_stack, &[libc::SIGSEGV]),
];

pub fn every_fault_ends_the_call_alone() {
    for number in [FULL, INTEGRITY] {
        for (kind, (entry, signals)) in FAULTS.into_iter().enumerate() {
            let fault = dies(number, entry, 0);
            assert!(signals.contains(&fault.signal), "fault {kind}: {fault:?}");
        }
    }
}

/// Faults in all, of all kinds, and of both strengths in turn.
const MANY: usize = 10_000;

/// Uses memory, some of it for the first time, and then writes where it may not.
extern "C" fn leak_and_write(address: usize, _: usize, _: usize) -> u64 {
    let big = Layout::array::<u8>(64 << 10).expect("a layout");
    // SAFETY: the layout is not empty; the block is written within its length.
    unsafe { std::alloc::alloc(big).write_bytes(1, big.size()) };
    write(address, 0, 0)
}

/// What a process has of everything that could leak.
#[derive(Debug, PartialEq)]
struct Inventory {
    mappings: usize,
    keys: usize,
    threads: usize,
    enlisted: usize,
    descriptors: usize,
    /// Where domains' arenas hand out their next block.
    next: [usize; 2],
}

fn inventory() -> Inventory {
    let entries = |folder| std::fs::read_dir(folder).expect("the host tells").count();
    Inventory {
        mappings: std::fs::read_to_string("/proc/self/maps").expect("the host tells").lines().count(),
        keys: keys::count().expect("there are keys"),
        threads: entries("/proc/self/task"),
        enlisted: thread::all().count(),
        descriptors: entries("/proc/self/fd"),
        next: [FULL, INTEGRITY].map(|number| {
            dies(number, read, 0);
            enter(number, allocate, 100) as usize
        }),
    }
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("the host tells");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number") * 4096
}

/// Nothing is left, and what another domain has is, as a process outside sees it, what it was.
pub fn ten_thousand_faults_leave_nothing_behind() {
    world();
    static WORD: u64 = 5;
    let own = Thread::enlist().expect("there is room").number();
    let victim = enter(OTHER, allocate, 1 << 20) as usize;
    // Its stack and its windows hold what they hold, whether or not anybody calls.
    let places = [victim, space::top(OTHER, own) - 64, space::window(OTHER, own), &raw const WORD as usize];
    let fault = |number: usize| {
        let domain = [FULL, INTEGRITY][number % 2];
        match number / 2 % 3 {
            0 => {
                let (entry, signals) = FAULTS[number / 6 % FAULTS.len()];
                assert!(signals.contains(&dies(domain, entry, 0).signal), "fault {number}");
            }
            _ => {
                // FULL's windows are OTHER's to write, not the other way about; INTEGRITY is OTHER's server.
                let places = if domain == INTEGRITY { &[places[0], places[1], places[3]][..] } else { &places };
                let address = places[number / 6 % places.len()];
                assert_eq!(dies(domain, leak_and_write, address).address, address, "fault {number}");
            }
        }
    };
    (0..6 * FAULTS.len()).for_each(fault);
    let (before, pages) = (inventory(), resident());
    let outside = Outside::new(&[OTHER]);
    let seen = outside.look();
    assert!(seen.pages >= 256, "the victim has a mebibyte: {seen:?}");
    (0..MANY).for_each(fault);
    assert_eq!(outside.look(), seen, "a domain that did not fail is what it was");
    assert_eq!(inventory(), before);
    assert!(resident() < pages + (1 << 20), "{pages} bytes grew to {}", resident());
    assert_eq!(enter(OTHER, write, victim), 0);
    let changed: Resident = outside.look();
    assert_ne!(changed.sum, seen.sum, "one byte that it writes itself is seen from outside");
    assert_eq!(thread::here(), COMMON);
}
