//! Several apps in one kernel: a full pool refuses, nobody disturbs anybody, and what a dead app held is released.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kd_api::interfaces::vfs::open;
use kd_boot::board::Field;
use kd_boot::control::{Entry, Task};
use kd_boot::manifest::{Kernel, Placement, THREADS};
use kd_boot::script::{Call, Data, Outcome};
use kernel_debate::boot::Boot;

use crate::{Config, OURS, failed, outcome, outcomes};

const LIMIT: Duration = Duration::from_secs(20);

fn create(path: &str) -> Call {
    Call::Open { path: path.into(), flags: open::CREAT | open::RDWR, mode: 0o644 }
}

fn verifying(
    on: Config,
    boot: &kernel_debate::boot::Boot,
    app: u32,
    workload: &str,
) -> kernel_debate::boot::RunningApp {
    on.start(boot, app, Task::Rounds { workload: workload.into(), rate: 0, entry: Entry::Call })
}

#[test]
fn two_apps_at_once_in_every_placement() {
    for config in OURS {
        let boot = config.boot(2);
        let apps = [(1, "write_4k"), (2, "pipe_pingpong")].map(|(app, load)| verifying(config, &boot, app, load));
        for app in &apps {
            let good = app.wait_until(LIMIT, |board| board.get(Field::Good) > 200);
            let seen = [Field::Running, Field::Good, Field::Failed, Field::LastErrno, Field::Wrong];
            assert!(good, "{config:?}: {:?}", seen.map(|field| (field, app.board.get(field))));
        }
        for app in &apps {
            app.stop();
            assert!(app.wait_until(LIMIT, |board| board.get(Field::Audited) == 1), "{config:?}");
            let bad = [Field::Failed, Field::Wrong, Field::Lost, Field::Corrupted, Field::Unknown];
            assert_eq!(bad.map(|field| app.board.get(field)), [0; 5], "{config:?}");
        }
    }
}

#[test]
fn a_full_pool_refuses_and_still_answers_what_does_not_wait() {
    let isolated = OURS.into_iter().filter(|config| config.kernel == Kernel::Microkernel && config.own_process);
    for config in isolated {
        let boot = config.boot(THREADS + 1);
        let last = THREADS;
        // Whether the pool is full: until all the others wait, a read would wait as well, a write is refused or done at once.
        let is_full = || {
            let calls = [Call::Pipe, Call::Write(1, Data { start: 1, length: 1 }), create("/f"), Call::Getpid];
            let seen = outcomes(&mut config.script(&boot, last, &calls));
            let [Outcome::Number(_), written, file, pid] = &seen[..] else { panic!("{config:?}: {seen:?}") };
            assert_eq!(pid, &Outcome::Number(1), "{config:?}");
            assert!(matches!(file, Outcome::Number(_)), "{config:?}: opening does not wait: {file:?}");
            assert!(written == &failed("EAGAIN") || written == &Outcome::Number(1), "{config:?}: {written:?}");
            written == &failed("EAGAIN")
        };
        // One app fewer than the server has threads may wait. A read that comes while the last app's write takes a place is
        // refused, and made again; on a busy machine that write may take as long as all these reads, and all begin anew.
        let calls: Vec<_> = std::iter::once(Call::Pipe).chain(std::iter::repeat_n(Call::Wait(0), 500)).collect();
        let fills = || {
            let waiting: Vec<_> = (1..THREADS).map(|app| config.script(&boot, app, &calls)).collect();
            let begin = Instant::now();
            let full = std::iter::from_fn(|| (begin.elapsed() < LIMIT / 8).then(&is_full)).any(|full| full);
            drop(waiting);
            (1..THREADS).for_each(|app| drop(boot.kill(app)));
            full
        };
        assert!((0..8).any(|_| fills()), "{config:?}: the pool never fills");
        // Their threads are free again.
        let begin = Instant::now();
        while outcomes(&mut config.script(&boot, last, &[Call::Pipe, Call::Write(1, Data { start: 1, length: 1 })]))[1]
            != Outcome::Number(1)
        {
            assert!(begin.elapsed() < LIMIT, "{config:?}: the dead hold the pool");
        }
    }
}

/// What number the first descriptor of an app has that opens files and is killed while it waits.
fn held_then_killed(config: Config, boot: &Boot, path: &str) -> Outcome {
    let mut app = config.script(boot, 1, &[create(path), Call::Pipe, Call::Fd(0), Call::Wait(1)]);
    assert_eq!(outcome(&mut app), Outcome::Number(0), "{config:?}, {path}");
    assert_eq!(outcome(&mut app), Outcome::Number(2), "{config:?}, {path}");
    let first = outcome(&mut app);
    std::thread::sleep(Duration::from_millis(3));
    boot.kill(1).unwrap_or_else(|error| panic!("{config:?}, {path}: it ended by itself: {error}"));
    let begin = Instant::now();
    while !boot.events().expect("the root lives").iter().any(|event| event.who == "app 1") {
        assert!(begin.elapsed() < LIMIT, "{config:?}: nobody notices that the app is gone");
    }
    first
}

#[test]
fn a_dead_apps_descriptors_and_slots_are_released() {
    for config in OURS.into_iter().filter(|config| config.own_process) {
        let boot = config.boot(2);
        let other = verifying(config, &boot, 2, "read_64");
        assert!(other.wait_until(LIMIT, |board| board.get(Field::Good) > 0));
        // More often than a channel has slots.
        for round in 0..12 {
            // The lowest number: whatever its predecessor held is closed, and closing that has taken nothing of its own.
            let first = held_then_killed(config, &boot, &format!("/f{round}"));
            assert_eq!(first, Outcome::Number(3), "{config:?}, round {round}: something stays open");
            let good = other.board.get(Field::Good);
            assert!(other.wait_until(LIMIT, |board| board.get(Field::Good) > good + 10), "{config:?}, round {round}");
        }
        other.stop();
        assert!(other.wait_until(LIMIT, |board| board.get(Field::Audited) == 1));
        assert_eq!((other.board.get(Field::Failed), other.board.get(Field::Wrong)), (0, 0), "{config:?}");
        assert_ne!(config.placement == Placement::Direct, config.kernel == Kernel::Microkernel);
    }
}

/// An app may start as soon as the last one of its number has said its last word, which is before its end.
#[test]
fn who_follows_an_app_at_once_has_nothing_of_it() {
    for config in OURS.into_iter().filter(|config| config.own_process) {
        let boot = config.boot(1);
        for round in 0..40 {
            let calls = [create("/f"), Call::Fd(0)];
            let numbers = outcomes(&mut config.script(&boot, 1, &calls));
            assert_eq!(numbers[..2], [Outcome::Number(0), Outcome::Number(3)], "{config:?}, round {round}");
        }
    }
}

/// What an app maps of memory that others write: a wild store of its own reaches no further.
#[test]
fn an_app_maps_its_own_ends_and_nothing_of_the_kernels() {
    // Its board and its channels with the bells they ring; what all write, and nothing decides by; private copies of modules.
    let known = ["board", "channel-proc", "channel-vfs", "channel-kv", "port", "bell", "console", "info", "module"];
    for config in OURS.into_iter().filter(|config| config.own_process) {
        let boot = config.boot(1);
        let app = verifying(config, &boot, 1, "read_64");
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", app.pid)).expect("it lives");
        let names = maps.lines().filter_map(|line| line.split("/memfd:kd-").nth(1)?.split(' ').next());
        let strange: BTreeSet<&str> = names.filter(|name| !known.contains(name)).collect();
        assert!(strange.is_empty(), "{config:?}: {strange:?}");
        app.stop();
    }
}
