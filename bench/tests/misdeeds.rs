//! The high-level faults of a campaign: each really happens, and reaches what nothing stands before.
//!
//! Where the host does not let one process look into another, no fault can be made: the tests then say so and pass.

use kd_boot::misdeed::{Misdeed, Place};
use kd_campaign::{Class, Runner, Trial};
use kd_report::schema::Record;
use kernel_debate::campaign::seen::Seen;
use kernel_debate::campaign::subject::Subjects;
use kernel_debate::campaign::trial::{Obstacle, TrialRunner};
use kernel_debate::experiments::Plan;
use kernel_debate::experiments::restart::misbehaving;
use kernel_debate::host_disk;

const SEED: u64 = 5;

fn runner() -> TrialRunner {
    TrialRunner::new(SEED, Vec::new()).expect("this program has code, and the host memory")
}

fn trial(kernel: &str, subject: &str, kind: Misdeed, number: u64) -> Trial {
    let (kernel, subject, kind) = (kernel.into(), subject.into(), kind.name().into());
    Trial { id: number, kernel, subject, kind, number, permanent: false }
}

fn is_hosts(why: &Obstacle) -> bool {
    let host = why.downcast_ref::<std::io::Error>();
    host.is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

/// What so many trials of a kind came to, those that were activated; none if this host lets nobody make them.
fn made(kernel: &str, subject: &str, kind: Misdeed, count: u64) -> Vec<Seen> {
    let mut runner = runner();
    let make = |number| match runner.observe(&trial(kernel, subject, kind, number)) {
        Ok(made) => Some(made.unwrap_or_else(|why| panic!("{kernel}, {kind:?}: {why}")).1),
        Err(why) if is_hosts(&why) => {
            eprintln!("no fault is made: {why}");
            None
        }
        Err(why) => panic!("{kernel}, {kind:?}: {why}"),
    };
    (0..count).map_while(make).filter(|seen| seen.activated).collect()
}

#[test]
fn a_secret_is_read_where_nothing_stands_before_it_and_not_in_another_process() {
    for kind in [Misdeed::Secret, Misdeed::Cached, Misdeed::Recycled] {
        for seen in made("monolithic", "ramdisk", kind, 3) {
            assert_eq!((seen.class(), seen.leaked.len()), (Class::SecretRead, 1), "{kind:?}: {seen:?}");
        }
        for seen in made("process", "ramdisk", kind, 3) {
            assert_eq!((&seen.leaked[..], &seen.hit()[..]), (&[][..], &[][..]), "{kind:?}: {seen:?}");
            // Whoever reaches for what is not there dies of it; what the heap gives is the component's own.
            assert_eq!(seen.restarts, u32::from(kind != Misdeed::Recycled), "{kind:?}: {seen:?}");
        }
    }
}

#[test]
fn a_buffer_holds_what_its_callers_other_calls_left_only_where_it_is_the_apps_own() {
    let leaks = |kernel, kind| made(kernel, "ramdisk", kind, 6).iter().filter(|seen| !seen.leaked.is_empty()).count();
    for kind in [Misdeed::Stale, Misdeed::ReadLate] {
        if made("monolithic", "ramdisk", kind, 1).is_empty() {
            return;
        }
        assert!(leaks("monolithic", kind) > 0, "{kind:?}: the app's window passes through every component");
        assert_eq!(leaks("process", kind), 0, "{kind:?}: a window holds one server's calls alone");
    }
}

#[test]
fn a_device_goes_wherever_its_driver_sends_it_unless_an_iommu_stands_before_it() {
    for (kernel, driver) in [("monolithic", "vdisk"), ("process", "vdisk"), ("process", "filedisk")] {
        let bare = made(kernel, driver, Misdeed::DmaBare, 6);
        let bare: Vec<String> = bare.iter().flat_map(Seen::reached).collect();
        assert!(bare.iter().any(|one| !one.ends_with("read")), "{kernel}: {bare:?}");
        let guarded = made(kernel, driver, Misdeed::Dma, 6);
        assert!(guarded.len() == 6 && guarded.iter().all(|seen| seen.reached().is_empty()), "{kernel}: {guarded:?}");
        assert!(guarded.iter().all(|seen| seen.caller.failed > 0), "{kernel}: it is told: {guarded:?}");
    }
}

#[test]
fn messages_are_wrong_where_there_are_messages_and_wrong_ones_are_found_out() {
    let messages: Vec<Misdeed> = Misdeed::ALL.iter().copied().filter(|kind| kind.place() == Place::Message).collect();
    for &kind in &messages {
        let record = runner().run(&trial("monolithic", "ramdisk", kind, 0)).expect("it needs no boot");
        assert_eq!(record.class, Class::NotApplicable, "{kind:?}");
        assert!(record.detail.contains("no message"), "{kind:?}: {}", record.detail);
        for seen in made("process", "ramdisk", kind, 2) {
            assert!(seen.reached().is_empty() && !seen.kernel_dead, "{kind:?}: {seen:?}");
        }
    }
    for kind in [Misdeed::Beyond, Misdeed::Garbage] {
        for seen in made("process", "ramdisk", kind, 2) {
            assert!(seen.restarts > 0 || seen.caller.failed > 0 || seen.caller.wrong > 0, "{kind:?}: {seen:?}");
        }
    }
    for seen in made("process", "ramdisk", Misdeed::Beyond, 2) {
        assert_eq!(seen.restarts, 1, "who breaks the protocol is ended: {seen:?}");
    }
    for kind in [Misdeed::Twice, Misdeed::Late] {
        for seen in made("thread", "ramdisk", kind, 2) {
            assert!(seen.caller.good_at_last, "{kind:?}: a late answer is passed over: {seen:?}");
        }
    }
}

#[test]
fn every_kind_is_drawn_alike_for_all_kernels_and_happens() {
    let subjects = Subjects::get().expect("components");
    for subject in subjects.iter() {
        for kind in Misdeed::ALL.iter().copied().filter(|kind| kind.place() != Place::Answer) {
            let drawn = subject.fault(kind.name(), SEED, 1);
            assert_eq!(drawn, subject.fault(kind.name(), SEED, 1));
            assert_eq!(drawn.is_some(), subject.kinds().iter().any(|known| known == kind.name()), "{}", subject.name);
        }
    }
    for kind in Misdeed::ALL.iter().copied().filter(|kind| !matches!(kind.place(), Place::Answer | Place::Device(_))) {
        let mut runner = runner();
        match runner.observe(&trial("process", "jfs", kind, 0)) {
            Ok(Ok((_, seen, _))) => assert!(seen.activated, "{kind:?}: {seen:?}"),
            Ok(Err(why)) => panic!("{kind:?}: {why}"),
            Err(why) if is_hosts(&why) => return eprintln!("no fault is made: {why}"),
            Err(why) => panic!("{kind:?}: {why}"),
        }
    }
}

/// One that answers noise is found out by whoever it answers; one that takes all memory, by its next wish.
#[test]
fn a_server_that_does_wrong_and_lives_is_noticed_and_replaced() {
    // Whether this host lets a fault be made.
    if made("process", "ramdisk", Misdeed::Garbage, 1).is_empty() {
        return;
    }
    let host_disk = host_disk::find(&std::env::temp_dir());
    let plan = Plan { quick: true, long: false, seed: SEED, cores: kernel_debate::meta::cores(), host_disk };
    let records = misbehaving::run(&plan).expect("this program has code, and the host memory");
    let of = |workload: &str, metric: &str| -> Option<f64> {
        let wanted = |record: &&Record| record.workload == workload && record.metric == metric;
        records.iter().find(wanted).and_then(|record| record.value)
    };
    for workload in ["ramdisk/message_garbage", "ramfs/message_garbage", "ramfs/leak"] {
        let [done, noticed] = ["misdeeds", "noticed"].map(|metric| of(workload, metric));
        assert!(noticed >= Some(1.0) && noticed <= done, "{workload}: {noticed:?} of {done:?}");
        assert!(of(workload, "notice_time").is_some() && of(workload, "back_time").is_some(), "{workload}");
    }
}
