//! Trials of a fault campaign behind protection keys: no more than an emulated processor makes in a minute or two.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use kd_campaign::{Class, Record, Runner, Trial};
use kernel_debate::campaign::subject::Subjects;
use kernel_debate::campaign::trial::TrialRunner;

use super::no_keys;

const SEED: u64 = 5;
/// Trials at once.
const JOBS: usize = 2;
const SUBJECT: &str = "ramdisk";
/// What code does wrong to memory, its own or not.
const KINDS: [&str; 7] =
    ["source_register", "destination_register", "address", "parameter", "bit_flip", "dropped", "stack_bit"];
/// Functions that every load executes.
const BUSY: [&str; 3] = ["BlockDevice>::read", "BlockDevice>::write", "Ramdisk::locate"];

/// A fault of each kind in a busy function, on both strengths.
fn trials() -> Vec<Trial> {
    let subject = Subjects::get().expect("components").find(SUBJECT).expect("a component");
    let is_busy = |kind: &str, number| {
        let mutation = subject.mutation(kind, SEED, number);
        mutation.is_some_and(|mutation| BUSY.iter().any(|busy| mutation.function.ends_with(busy)))
    };
    let of_kind = |kind: &'static str| {
        let number = (0..1000).find(|number| is_busy(kind, *number)).expect("busy functions have such faults");
        ["pkey-integrity", "pkey"].map(|kernel| Trial {
            id: number,
            kernel: kernel.into(),
            subject: SUBJECT.into(),
            kind: kind.into(),
            number,
            permanent: false,
        })
    };
    KINDS.into_iter().flat_map(of_kind).collect()
}

#[test]
fn what_a_driver_does_wrong_to_memory_spreads_to_nobody() {
    if no_keys() {
        return;
    }
    let (trials, next) = (trials(), AtomicUsize::new(0));
    let make = || {
        let mut runner = TrialRunner::new(SEED, Vec::new()).expect("this program has code, and the host memory");
        let mine = std::iter::from_fn(|| trials.get(next.fetch_add(1, Relaxed)));
        let made = mine.map(|trial| (trial, runner.run(trial).unwrap_or_else(|why| panic!("{trial:?}: {why}"))));
        made.collect::<Vec<(&Trial, Record)>>()
    };
    let made: Vec<_> = std::thread::scope(|scope| {
        let jobs: Vec<_> = (0..JOBS).map(|_| scope.spawn(make)).collect();
        jobs.into_iter().flat_map(|job| job.join().expect("a job ends")).collect()
    });
    let count = |wanted: fn(Class) -> bool| made.iter().filter(|(_, record)| wanted(record.class)).count();
    let (activated, restarted) =
        (count(Class::is_activated), count(|class| matches!(class, Class::RestartedUnaware | Class::RestartedAware)));
    eprintln!("{} trials, {activated} activated, {restarted} of them with a restart", made.len());
    assert!(activated > made.len() / 2, "{made:#?}");
    assert!(restarted > 0, "{made:#?}");
    let spread = |class| matches!(class, Class::Spread | Class::SecretRead | Class::KernelDead);
    let spread: Vec<_> = made.iter().filter(|(_, record)| spread(record.class)).collect();
    assert!(spread.is_empty(), "{spread:#?}");
}
