//! What both stress tests run: exclusion, no lost wake-up, every answer delivered.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::thread::{scope, spawn};

use kd_api::Errno;
use kd_sync::{Mutex, RwLock, WaitQueue, rendezvous};

const THREADS: u64 = 4;

pub fn mutex_excludes(rounds: u64) {
    let total = Mutex::new(0_u64);
    scope(|s| {
        for _ in 0..THREADS {
            s.spawn(|| {
                for _ in 0..rounds {
                    let mut total = total.lock();
                    let seen = *total;
                    std::hint::black_box(&mut *total);
                    *total = seen + 1;
                }
            });
        }
    });
    assert_eq!(*total.lock(), THREADS * rounds);
}

/// Readers count up, the writer counts down: anyone who sees the other kind inside shows it.
pub fn rwlock_excludes(rounds: u64) {
    let value = RwLock::new((0_u64, 0_u64));
    let inside = AtomicI64::new(0);
    let violations = AtomicU64::new(0);
    scope(|s| {
        for thread in 0..THREADS {
            let (value, inside, violations) = (&value, &inside, &violations);
            s.spawn(move || {
                for round in 0..rounds {
                    if (round + thread) % 4 == 0 {
                        let mut pair = value.write();
                        if inside.fetch_sub(1, SeqCst) != 0 {
                            violations.fetch_add(1, SeqCst);
                        }
                        pair.0 += 1;
                        std::hint::black_box(&mut *pair);
                        pair.1 += 1;
                        inside.fetch_add(1, SeqCst);
                    } else {
                        let pair = value.read();
                        if inside.fetch_add(1, SeqCst) < 0 || pair.0 != pair.1 {
                            violations.fetch_add(1, SeqCst);
                        }
                        inside.fetch_sub(1, SeqCst);
                    }
                }
            });
        }
    });
    assert_eq!(violations.load(SeqCst), 0);
    assert_eq!(*value.read(), (THREADS * rounds / 4, THREADS * rounds / 4));
}

/// A one-place buffer between two threads: a lost wake-up hangs it, a wrong one breaks the order.
pub fn queue_hands_over(rounds: u64) {
    let place = Mutex::new(None);
    let (filled, emptied) = (WaitQueue::new(), WaitQueue::new());
    scope(|s| {
        s.spawn(|| {
            for i in 0..rounds {
                *emptied.wait_while(place.lock(), |p: &mut Option<u64>| p.is_some()) = Some(i);
                filled.wake_one();
            }
        });
        for i in 0..rounds {
            let got = filled.wait_while(place.lock(), |p| p.is_none()).take();
            emptied.wake_one();
            assert_eq!(got, Some(i));
        }
    });
}

pub fn every_waiter_wakes() {
    let open = Mutex::new(false);
    let opened = WaitQueue::new();
    let through = AtomicU64::new(0);
    scope(|s| {
        for _ in 0..THREADS {
            s.spawn(|| {
                drop(opened.wait_while(open.lock(), |open| !*open));
                through.fetch_add(1, SeqCst);
            });
        }
        *open.lock() = true;
        opened.wake_all();
    });
    assert_eq!(through.load(SeqCst), THREADS);
}

pub fn answers_arrive(rounds: u32) {
    for i in 0..rounds {
        let (done, waiter) = rendezvous::<u32>();
        let answering = spawn(move || done.complete(if i % 2 == 0 { Ok(i) } else { Err(Errno::EPIPE) }));
        assert_eq!(waiter.wait(), if i % 2 == 0 { Ok(i) } else { Err(Errno::EPIPE) });
        assert!(answering.join().is_ok());
    }
    let (done, waiter) = rendezvous::<()>();
    drop(done);
    assert_eq!(waiter.wait(), Err(Errno::ECANCELED));
}

pub fn unpoisoned() {
    let lock = Arc::new(Mutex::new(7));
    let inner = lock.clone();
    assert!(spawn(move || std::mem::forget(inner.lock())).join().is_ok());
    assert!(lock.try_lock().is_none(), "a holder that never left still holds it");
}
