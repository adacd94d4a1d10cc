//! The same random calls on every kernel: results, errors and contents must agree with Linux's.
//!
//! Where the host allows no private tmpfs our kernels are compared with each other. A failure names its seed.

use kd_api::interfaces::vfs::PATH_MAX;
use kd_api::window::BULK;
use kd_boot::script::{Call, Data, Outcome};

use crate::random::Random;
use crate::{Config, LINUX, OURS, outcomes};

const CALLS: usize = 350;
const HANDLES: usize = 8;

/// The longest path that still fits into a message with another, below the app's directory; too long for Linux by one.
const LONGEST: usize = PATH_MAX + 1 - "/script-1/w/w/w".len();

fn path(random: &mut Random) -> String {
    let mut path = random.path();
    path.truncate(LONGEST);
    path
}

fn call(random: &mut Random) -> Call {
    let handle = random.below(HANDLES);
    // An app's system-call port carries no more at once; longer ones are the subsystems' own differential test's.
    let length = |random: &mut Random| random.length().min(BULK);
    let data = |random: &mut Random| Data { start: random.next() as u8, length: length(random) };
    match random.below(150) {
        0..24 => Call::Open { path: path(random), flags: random.flags(), mode: random.mode() },
        24..31 => Call::Close(handle),
        31..40 => Call::Write(handle, data(random)),
        40..48 => Call::Read(handle, length(random)),
        48..55 => Call::Pwrite(handle, random.offset(), data(random)),
        55..61 => Call::Pread(handle, random.offset(), length(random)),
        61..66 => Call::Lseek(handle, random.seek(), [0, 1, 2, 9][random.below(4)]),
        66..68 => Call::Fsync(handle),
        68..75 => Call::Stat(path(random)),
        75..81 => Call::Mkdir(path(random), random.mode()),
        81..86 => Call::Unlink(path(random)),
        86..93 => Call::Rename(path(random), path(random), random.moving()),
        93..96 => Call::Getdents(handle, [0, 23, 24, 48, 300, 4096][random.below(6)]),
        96..99 => Call::Pipe,
        99..100 => Call::Getpid,
        100..107 => Call::Link(path(random), path(random)),
        107..114 => Call::Symlink(target(random), path(random)),
        114..116 => Call::Readlink(path(random), [0, 3, 5000][random.below(3)]),
        116..121 => Call::Rmdir(path(random)),
        121..124 => Call::Ftruncate(handle, random.size()),
        124..127 => Call::Truncate(path(random), random.size()),
        127..130 => {
            let (flags, offset) = ([0, 1, 0x1000][random.below(3)], random.offset());
            Call::Fallocate(handle, flags, offset, [0, -1, 1, 4096, 70_000, i64::MAX][random.below(6)])
        }
        130..132 => Call::Fdatasync(handle),
        132..133 => Call::Sync,
        133..135 => Call::Dup(handle),
        135..138 => Call::Fstat(handle),
        138..142 => Call::Lstat(path(random)),
        142..144 => Call::Chmod(path(random), [0o755, 0o1777, 0o640, 0o511, 0][random.below(5)]),
        // A private namespace of the host knows one user.
        144..145 => Call::Chown(path(random), [0, u32::MAX][random.below(2)], [0, u32::MAX][random.below(2)]),
        145..148 => Call::Utimens(path(random), random.time(), random.time()),
        148..149 => Call::Statfs(path(random)),
        _ => Call::Umask([0, 0o022, 0o077, 0o10_002][random.below(4)]),
    }
}

/// What a symbolic link says: nothing outside, where apps would meet.
fn target(random: &mut Random) -> String {
    let mut target = random.target();
    target = target.replace("..", ".");
    target.truncate(4000);
    target
}

fn script(seed: u64) -> Vec<Call> {
    let mut random = Random(seed);
    (0..CALLS).map(|_| call(&mut random)).chain([Call::Tree]).collect()
}

/// What came of the scripts, one for each app, all running at once.
fn run(on: Config, scripts: &[Vec<Call>]) -> Vec<Vec<Outcome>> {
    let boot = on.boot(scripts.len() as u32);
    let start = |(app, calls): (u32, &Vec<Call>)| on.script(&boot, app, calls);
    let mut apps: Vec<_> = (1..).zip(scripts).map(start).collect();
    let seen: Vec<Vec<Outcome>> = apps.iter_mut().map(outcomes).collect();
    if on != LINUX && seen.iter().zip(scripts).any(|(seen, calls)| seen.len() < calls.len()) {
        eprintln!("an app ended early; the kernel's log: {:#?}", boot.log());
    }
    seen
}

fn agree(seed: u64, apps: u64) {
    agree_on(&OURS, seed, apps);
}

/// The same scripts on these kernels; all must see what Linux's apps see.
pub(crate) fn agree_on(kernels: &[Config], seed: u64, apps: u64) {
    let scripts: Vec<_> = (0..apps).map(|app| script(seed + 1000 * app)).collect();
    let mut expected = run(LINUX, &scripts);
    if expected.iter().all(Vec::is_empty) {
        eprintln!("Linux is not compared: the host refuses a private tmpfs");
        expected = run(OURS[0], &scripts);
    }
    for &config in kernels {
        let seen = run(config, &scripts);
        for (app, calls) in scripts.iter().enumerate() {
            let (seen, expected) = (&seen[app], &expected[app]);
            for (number, call) in calls.iter().enumerate() {
                let (seen, expected) = (seen.get(number), expected.get(number));
                assert_eq!(seen, expected, "seed {seed}, app {app}, call {number}, {call:?} on {config:?}");
            }
            let good = seen.iter().filter(|outcome| !matches!(outcome, Outcome::Failed(_) | Outcome::Skipped));
            assert!(good.count() > CALLS / 16, "seed {seed}: the test tests something");
        }
    }
}

#[test]
fn one_app_sees_the_same_on_every_kernel() {
    (1..=6).for_each(|seed| agree(seed, 1));
}

#[test]
fn two_apps_at_once_see_the_same_on_every_kernel() {
    (101..=104).for_each(|seed| agree(seed, 2));
}
