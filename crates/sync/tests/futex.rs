//! With a hook over the host's futexes: sleeping and waking, and what the hook is told.

mod common;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use kd_sync::{Mutex, Park, WaitQueue, install};

static SHORT: AtomicU64 = AtomicU64::new(0);
static LONG: AtomicU64 = AtomicU64::new(0);
static WAKES: AtomicU64 = AtomicU64::new(0);

static FUTEX: Park = Park {
    wait: |word, expected, long| {
        if long { &LONG } else { &SHORT }.fetch_add(1, SeqCst);
        futex(word, libc::FUTEX_WAIT, expected);
    },
    wake: |word, count| {
        WAKES.fetch_add(1, SeqCst);
        futex(word, libc::FUTEX_WAKE, count.min(i32::MAX as u32));
    },
};

fn futex(word: &AtomicU32, operation: i32, value: u32) {
    // SAFETY: the word is a live, aligned u32 for the whole call, and the null timeout is allowed.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            operation | libc::FUTEX_PRIVATE_FLAG,
            value,
            std::ptr::null::<libc::timespec>(),
        );
    }
}

/// One test: the counters belong to the whole process.
#[test]
fn sleeps_and_wakes() {
    install(&FUTEX);
    let lock = Mutex::new(());
    let queue = WaitQueue::new();
    for _ in 0..1000 {
        drop(lock.lock());
        queue.wake_all();
    }
    let calls = [&SHORT, &LONG, &WAKES].map(|c| c.load(SeqCst));
    assert_eq!(calls, [0, 0, 0], "nobody waits: the hook is not called");

    std::thread::scope(|s| {
        let held = lock.lock();
        s.spawn(|| drop(lock.lock()));
        while SHORT.load(SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(held);
    });
    assert_eq!(LONG.load(SeqCst), 0, "a lock is no long wait");
    assert_eq!(WAKES.load(SeqCst), 2, "one for the sleeper, one because it cannot know that it was the only one");

    common::mutex_excludes(100_000);
    common::rwlock_excludes(100_000);
    common::queue_hands_over(20_000);
    common::every_waiter_wakes();
    common::answers_arrive(500);
    common::unpoisoned();
    assert!(LONG.load(SeqCst) > 0, "wait queues are long waits");
}
