//! A process's place when it is killed: the host hands it over, to who waits for it, and nobody else's.
//!
//! Without libtest, because only a process with one thread may fork.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use kd_machine::memory::{Memory, Words};
use kd_nucleus::berth::{Berth, Succession};
use kd_nucleus::last_words::{self, Testament};
use kd_nucleus::process::{self, Child, Exit};
use kd_nucleus::ring::Ring;

/// Longer than any of this takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// What all processes here share.
struct Stage {
    berth: Berth,
    page: Arc<Words>,
}

/// The word of the page by which a process says that it is there.
const READY: usize = last_words::WORDS;

impl Stage {
    fn new() -> Stage {
        let memory = Memory::new("kd-test", 4096).and_then(|memory| memory.map()).expect("shared memory");
        let berth = Berth::new().expect("shared memory");
        berth.share_with_children(true).expect("the host can");
        Stage { berth, page: Arc::new(Words::new(memory)) }
    }

    fn fork(&self, body: impl FnOnce() -> i32) -> Child {
        self.page.get(READY).store(0, SeqCst);
        let child = process::fork(|| {
            let page: &'static Arc<Words> = Box::leak(Box::new(self.page.clone()));
            let ring: &'static Ring = Box::leak(Box::new(Ring::new().expect("a descriptor")));
            let testament = Testament { page, first: 0, berth: self.berth.clone(), ring };
            last_words::install(testament).expect("the host has membarrier");
            self.page.get(READY).store(1, SeqCst);
            body()
        });
        let child = child.expect("a process");
        while self.page.get(READY).load(SeqCst) == 0 {
            std::thread::yield_now();
        }
        child
    }

    /// A process that lives until it is killed.
    fn idler(&self) -> Child {
        self.fork(|| {
            loop {
                std::thread::park();
            }
        })
    }
}

fn who_is_killed_has_its_place_handed_over_to_who_waits() {
    let stage = Stage::new();
    let mut holder = stage.idler();
    stage.berth.arm(Some(holder.pid()));
    let mut heir = process::fork(|| i32::from(stage.berth.wait() != Succession::HandedOver)).expect("a process");
    while process::state(heir.pid()) != Some('S') {
        std::thread::yield_now();
    }
    holder.signal(libc::SIGKILL);
    process::poll(&[heir.pidfd()], Some(LIMIT));
    assert_eq!(heir.poll(), Some(Exit::Code(0)), "it was woken");
    assert!(stage.berth.close(), "the supervisor comes too late");
    assert_eq!(holder.wait(), Exit::Signal(libc::SIGKILL));
}

fn nobody_but_the_holder_hands_it_over() {
    let stage = Stage::new();
    let (holder, mut other) = (stage.idler(), stage.idler());
    stage.berth.arm(Some(holder.pid()));
    other.kill();
    assert!(!stage.berth.close());
    drop(holder);
}

fn a_place_that_only_a_fault_gives_up_survives_a_kill() {
    let stage = Stage::new();
    let mut killed = stage.idler();
    stage.berth.arm(None);
    killed.kill();
    assert!(!stage.berth.close());
    stage.berth.arm(None);
    let faulting = stage.fork(|| std::process::abort());
    while process::state(faulting.pid()) != Some('T') {
        std::thread::yield_now();
    }
    assert!(stage.berth.close(), "by its own handler");
    assert!(last_words::said(&stage.page, 0).is_some_and(|(_, signal)| signal == libc::SIGABRT));
}

/// In the way of others its end would be felt; with next to nothing of a core it would take for ever on a busy machine, and who
/// waits for it waits as long, some of that in a loop of the host's own.
fn who_is_buried_stands_behind_others_and_still_gets_a_core() {
    let stage = Stage::new();
    let buried = stage.idler();
    // SAFETY: takes a number and only tells.
    let niceness = || unsafe { libc::getpriority(libc::PRIO_PROCESS, buried.pid() as libc::id_t) };
    let before = niceness();
    const NO_PROCESS: i32 = -1;
    last_words::bury(buried.pid(), NO_PROCESS, &last_words::threads(&stage.page, 0));
    // SAFETY: as above.
    assert_eq!(unsafe { libc::sched_getscheduler(buried.pid()) }, libc::SCHED_OTHER);
    // The tests themselves may run behind others, even further than that.
    assert!(before.min(9) < niceness() && niceness() < 19, "by {before}, then {}", niceness());
}

fn main() {
    let tests: [(&str, fn()); 4] = [
        (
            "who_is_buried_stands_behind_others_and_still_gets_a_core",
            who_is_buried_stands_behind_others_and_still_gets_a_core,
        ),
        ("who_is_killed_has_its_place_handed_over_to_who_waits", who_is_killed_has_its_place_handed_over_to_who_waits),
        ("nobody_but_the_holder_hands_it_over", nobody_but_the_holder_hands_it_over),
        ("a_place_that_only_a_fault_gives_up_survives_a_kill", a_place_that_only_a_fault_gives_up_survives_a_kill),
    ];
    for (name, test) in tests {
        print!("test {name} ... ");
        test();
        println!("ok");
    }
}
