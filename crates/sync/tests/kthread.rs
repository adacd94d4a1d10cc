//! Kernel threads over threads of the standard library.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use kd_sync::{Host, Kthread, Mutex, Park, WaitQueue};

fn while_it_holds(word: &AtomicU32, expected: u32) {
    if word.load(SeqCst) == expected {
        std::thread::sleep(Duration::from_micros(100));
    }
}

static PARK: Park = Park { wait: |word, expected, _| while_it_holds(word, expected), wake: |_, _| {} };
static HOST: Host = Host {
    spawn: |name, body| std::thread::Builder::new().name(name.into()).spawn(body).is_ok(),
    now: || 1,
    exact_now: || 2,
    wait_for: |word, expected, _| while_it_holds(word, expected),
    log: |_| (),
};

#[test]
fn a_thread_works_when_woken_and_ends_when_dropped() {
    // Before there is a host there are no threads, and the caller does the work itself.
    assert!(Kthread::run("early", |_| unreachable!()).is_none());
    assert_eq!((kd_sync::now(), kd_sync::exact_now()), (0, 0));
    kd_sync::install(&PARK);
    kd_sync::install_host(&HOST);
    assert_eq!((kd_sync::now(), kd_sync::exact_now()), (1, 2));

    let done = Arc::new((Mutex::new(0), WaitQueue::new()));
    let shared = done.clone();
    let thread = Kthread::run("worker", move |context| {
        let mut handled = 0;
        while !context.should_stop() {
            let woken = context.woken();
            if woken == handled {
                context.sleep(woken, 1_000_000_000_000);
                continue;
            }
            handled = woken;
            *shared.0.lock() += 1;
            shared.1.wake_all();
        }
        *shared.0.lock() = 100;
    })
    .expect("there is a host");
    for round in 1..=3 {
        thread.wake();
        assert_eq!(*done.1.wait_while(done.0.lock(), |count| *count < round), round, "a wake is one piece of work");
    }
    drop(thread);
    assert_eq!(*done.0.lock(), 100, "dropping it waits for its end");
}
