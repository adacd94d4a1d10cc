//! What any kernel must be for the workloads, and what the workloads must notice when it is not.
//!
//! Every test takes the kernel as a function that makes the environment of the app of a number.

pub mod meddler;

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use kd_api::interfaces::syscalls::Syscalls;
use kd_api::interfaces::vfs::open;
use kd_api::{Caller, Errno, Fd, Imports, InBuf};
use kd_workloads::{Audit, Env, Session, Verdict, Workload, workloads};

use meddler::{Meddler, Mode};

/// A kernel: what every app has of it.
#[derive(Clone)]
pub struct Kernel {
    /// The system calls.
    pub sys: Arc<dyn Syscalls>,
    /// The components that apps may call; none on the host's kernel.
    pub services: Imports,
    /// Gives the calling thread descriptors of its own where apps do not have them by their number.
    pub part: fn(),
}

impl Kernel {
    /// The workloads that can run on it.
    fn workloads(&self) -> impl Iterator<Item = Box<dyn Workload>> {
        let has = |name: &str| self.services.handle(name).is_some();
        workloads().into_iter().filter(move |workload| !workload.is_service() || has(workload.subject()))
    }

    /// The same with its system calls meddled with. Services are out of the meddler's reach.
    fn meddled(&self) -> (Arc<Meddler>, Kernel) {
        let meddler = Meddler::around(self.sys.clone());
        (meddler.clone(), Kernel { sys: meddler, services: Imports::default(), part: self.part })
    }
}

/// Operations during which allocations are counted.
pub const OPERATIONS: u64 = 200;

/// A test of one.
type Test = fn(&Kernel);

/// The timed loop, as a harness runs it.
fn run(session: &mut dyn Session, operations: u64) -> Result<(), Errno> {
    session.prepare(operations)?;
    session.run(operations)
}

/// The tests, by name.
pub const TESTS: &[(&str, Test)] = &[
    ("every_workload_runs_checks_and_leaves_nothing", every_workload_runs_checks_and_leaves_nothing),
    ("two_apps_do_not_disturb_each_other", two_apps_do_not_disturb_each_other),
    ("every_workload_notices_a_lying_kernel", every_workload_notices_a_lying_kernel),
    ("acknowledged_writes_that_were_not_made_are_noticed", acknowledged_writes_that_were_not_made_are_noticed),
    ("sessions_survive_failed_calls", sessions_survive_failed_calls),
    ("the_audit_counts_damage_to_the_byte", the_audit_counts_damage_to_the_byte),
    ("a_log_tells_what_was_lost_and_what_happened_twice", a_log_tells_what_was_lost_and_what_happened_twice),
];

/// An app whose partners are threads; dropped, it waits for their end.
struct App {
    env: Env,
    partners: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl App {
    fn new(kernel: &Kernel, number: u32) -> App {
        let Kernel { sys, services, .. } = kernel.clone();
        let partners = Arc::new(Mutex::new(Vec::new()));
        let theirs = partners.clone();
        let caller = Caller::app(number);
        let second = Env {
            sys: sys.clone(),
            caller,
            compute: 0,
            services: services.clone(),
            partner: Arc::new(|_| Err(Errno::EAGAIN)),
        };
        let partner = Arc::new(move |body: kd_workloads::PartnerBody| {
            let env = second.clone();
            theirs.lock().expect("no test panics with it").push(std::thread::spawn(move || body(&env)));
            Ok(())
        });
        App { env: Env { sys, caller, compute: 3, services, partner }, partners }
    }

    /// A session, unless there is no disk here for it.
    fn start(&self, workload: &dyn Workload) -> Option<Box<dyn Session>> {
        match workload.start(&self.env) {
            Ok(session) => Some(session),
            Err(Errno::ENOENT) if workload.needs().is_some() => None,
            Err(errno) => panic!("{} does not start: {errno}", workload.name()),
        }
    }

    fn join(&self) {
        for partner in self.partners.lock().expect("no test panics with it").drain(..) {
            partner.join().expect("a partner does not panic");
        }
    }

    /// The lowest free descriptor.
    fn next_fd(&self) -> Fd {
        let fd = self.env.sys.open(self.env.caller, "/", open::RDONLY, 0).expect("the root is there");
        self.env.sys.close(self.env.caller, fd).expect("open");
        fd
    }
}

fn every_workload_runs_checks_and_leaves_nothing(kernel: &Kernel) {
    let app = App::new(kernel, 1);
    let free = app.next_fd();
    for workload in kernel.workloads() {
        let name = workload.name();
        let Some(mut session) = app.start(&*workload) else { continue };
        assert_eq!(run(&mut *session, 100), Ok(()), "{name}");
        assert_eq!(session.check(), Ok(()), "{name}");
        for round in 0..100 {
            assert_eq!(session.verify(round), Verdict::Good, "{name}, round {round}");
        }
        assert_eq!(run(&mut *session, 3), Ok(()), "{name}");
        assert_eq!(session.check(), Ok(()), "{name} after its rounds");
        let audit = session.audit();
        assert_eq!((audit.lost, audit.wrong), (0, 0), "{name}");
        if !workload.is_service() {
            assert_eq!(audit.acknowledged > 0, stores(&*workload), "{name}");
        }
        drop(session);
        app.join();
        assert_eq!(app.next_fd(), free, "{name} leaves a descriptor open");
        let left = app.env.sys.stat(app.env.caller, &format!("/{name}-1")).err();
        assert_eq!(left, Some(Errno::ENOENT), "{name} leaves its file");
    }
}

fn two_apps_do_not_disturb_each_other(kernel: &Kernel) {
    let apps = [3, 4].map(|number| App::new(kernel, number));
    for workload in kernel.workloads() {
        std::thread::scope(|scope| {
            for app in &apps {
                scope.spawn(|| {
                    (kernel.part)();
                    let Some(mut session) = app.start(&*workload) else { return };
                    for round in 0..200 {
                        assert_eq!(session.verify(round), Verdict::Good, "{}, round {round}", workload.name());
                    }
                });
            }
        });
    }
    apps.iter().for_each(App::join);
}

fn every_workload_notices_a_lying_kernel(kernel: &Kernel) {
    for workload in of_system_calls() {
        let name = workload.name();
        let (meddler, kernel) = kernel.meddled();
        let app = App::new(&kernel, 5);
        let Some(mut session) = app.start(&*workload) else { continue };
        assert_eq!(session.verify(0), Verdict::Good, "{name}");
        meddler.set(Mode::Lie);
        assert!(session.check().is_err(), "{name}: the check passes");
        assert_ne!(session.verify(0), Verdict::Good, "{name}: the round passes");
        meddler.set(Mode::Honest);
        drop(session);
        app.join();
    }
}

fn acknowledged_writes_that_were_not_made_are_noticed(kernel: &Kernel) {
    for workload in storing() {
        let name = workload.name();
        let (meddler, kernel) = kernel.meddled();
        let app = App::new(&kernel, 6);
        let Some(mut session) = app.start(&*workload) else { continue };
        for round in 0..16 {
            assert_eq!(session.verify(round), Verdict::Good, "{name}");
        }
        meddler.set(Mode::DropWrites);
        // One byte may by chance be what it was: not sixteen in a row.
        let noticed = (16..32).filter(|round| matches!(session.verify(*round), Verdict::Wrong { .. })).count();
        assert!(noticed > 0, "{name}");
        if name.starts_with("write_") && name != "write_1" {
            assert!(session.check().is_err(), "{name}: the check passes");
        }
        meddler.set(Mode::Honest);
        let audit = session.audit();
        assert!(audit.wrong + audit.lost > 0, "{name}: the audit passes");
    }
}

fn sessions_survive_failed_calls(kernel: &Kernel) {
    for workload in of_system_calls().filter(|workload| workload.verifies()) {
        let name = workload.name();
        let (meddler, kernel) = kernel.meddled();
        let app = App::new(&kernel, 7);
        let Some(mut session) = app.start(&*workload) else { continue };
        meddler.set(Mode::Fail);
        let (mut good, mut failed) = (0, 0);
        for round in 0..1000 {
            match session.verify(round) {
                Verdict::Good => good += 1,
                Verdict::Failed(_) => failed += 1,
                Verdict::Wrong { detail } => panic!("{name}, round {round}: {detail}"),
            }
        }
        assert!(good > 100 && failed > 100, "{name}: {good} good, {failed} failed");
        meddler.set(Mode::Honest);
        // A partner's failure may show in this app's next call only.
        assert!(!matches!(session.verify(1000), Verdict::Wrong { .. }), "{name}");
        assert_eq!(session.verify(1001), Verdict::Good, "{name}");
        assert_eq!(run(&mut *session, 10), Ok(()), "{name}");
        let audit = session.audit();
        assert_eq!((audit.lost, audit.wrong), (0, 0), "{name}");
        drop(session);
        app.join();
    }
}

fn the_audit_counts_damage_to_the_byte(kernel: &Kernel) {
    let app = App::new(kernel, 8);
    let (sys, caller) = (&app.env.sys, app.env.caller);
    let workload = kd_workloads::find("write_64").expect("it is registered");
    let mut session = app.start(&*workload).expect("the root file system is there");
    for round in 0..8 {
        assert_eq!(session.verify(round), Verdict::Good);
    }
    // The timed block and eight more.
    let acknowledged = 9 * 64;
    assert_eq!(session.audit(), Audit { acknowledged, lost: 0, wrong: 0, twice: 0 });
    let damage = |at, bytes: &[u8]| {
        let fd = sys.open(caller, "/write_64-8", open::WRONLY, 0).expect("it is there");
        assert_eq!(sys.pwrite(caller, fd, at, &mut InBuf::new(bytes)), Ok(bytes.len()));
        sys.close(caller, fd).expect("open");
    };
    // The data has the lowest bit of each byte set, so these are zeros where there were none, and a wrong byte.
    damage(70, &[0, 0, 0]);
    damage(200, &[2]);
    assert_eq!(session.audit(), Audit { acknowledged, lost: 3, wrong: 1, twice: 0 });
    let fd = sys.open(caller, "/write_64-8", open::WRONLY | open::TRUNC, 0).expect("it is there");
    sys.close(caller, fd).expect("open");
    assert_eq!(session.audit(), Audit { acknowledged, lost: acknowledged, wrong: 0, twice: 0 });
    // What was lost is lost, but the session goes on.
    assert_eq!(session.verify(8), Verdict::Good);
    let audit = session.audit();
    assert_eq!((audit.acknowledged, audit.lost, audit.wrong), (10 * 64, 9 * 64, 0));
}

/// What a log of records tells: what was acknowledged and is not there, and what is there twice.
fn a_log_tells_what_was_lost_and_what_happened_twice(kernel: &Kernel) {
    let app = App::new(kernel, 10);
    let (sys, caller) = (&app.env.sys, app.env.caller);
    let workload = kd_workloads::find("append_fsync").expect("it is registered");
    let mut session = app.start(&*workload).expect("the root file system is there");
    for round in 0..8 {
        assert_eq!(session.verify(round), Verdict::Good);
    }
    let acknowledged = 8 * 64;
    assert_eq!(session.audit(), Audit { acknowledged, lost: 0, wrong: 0, twice: 0 });
    let log = "/append_fsync-10/records-0";
    let record = |number: u64| (number + 1).to_le_bytes().repeat(8);
    let append = |bytes: &[u8]| {
        let fd = sys.open(caller, log, open::WRONLY | open::APPEND, 0).expect("it is there");
        assert_eq!(sys.write(caller, fd, &mut InBuf::new(bytes)), Ok(bytes.len()));
        sys.close(caller, fd).expect("open");
    };
    append(&record(3));
    append(&record(5));
    assert_eq!(session.audit(), Audit { acknowledged, lost: 0, wrong: 0, twice: 2 });
    append(&[9; 64]);
    assert_eq!(session.audit(), Audit { acknowledged, lost: 0, wrong: 64, twice: 2 });
    let fd = sys.open(caller, log, open::WRONLY | open::TRUNC, 0).expect("it is there");
    sys.close(caller, fd).expect("open");
    append(&record(0));
    assert_eq!(session.audit(), Audit { acknowledged, lost: 7 * 64, wrong: 0, twice: 0 });
    // A log that is full is looked through, and what was wrong with it is remembered.
    let rounds: Vec<Verdict> = (8..300).map(|round| session.verify(round)).collect();
    let wrong = |verdict: &&Verdict| matches!(verdict, Verdict::Wrong { .. });
    assert_eq!(rounds.iter().filter(wrong).count(), 1, "once, when the next one is begun");
    assert_eq!(session.audit().lost, 7 * 64);
}

/// The timed loops during which anything is allocated, in the kernel as well if it is in this process, with how many
/// allocations [`OPERATIONS`] make. Not one of [`TESTS`], as it needs the process for itself.
pub fn allocating_loops(kernel: &Kernel, allocations: fn() -> u64) -> Vec<(&'static str, u64)> {
    let app = App::new(kernel, 9);
    let allocated = |workload: Box<dyn Workload>| {
        let mut session = app.start(&*workload)?;
        // Whatever is made once, in a partner as well, is made now.
        assert_eq!(run(&mut *session, 10), Ok(()));
        assert_eq!(session.prepare(OPERATIONS), Ok(()));
        let before = allocations();
        assert_eq!(session.run(OPERATIONS), Ok(()));
        let allocated = allocations() - before;
        // A partner that ends during the next loop would be counted there.
        drop(session);
        app.join();
        Some((workload.name(), allocated))
    };
    let loops = kernel.workloads().filter_map(allocated).filter(|(_, count)| *count > 0).collect();
    assert!(allocations() > 0, "nothing is counted");
    app.join();
    loops
}

/// The workloads that a meddler reaches.
fn of_system_calls() -> impl Iterator<Item = Box<dyn Workload>> {
    workloads().into_iter().filter(|workload| !workload.is_service())
}

fn storing() -> impl Iterator<Item = Box<dyn Workload>> {
    workloads().into_iter().filter(|workload| stores(&**workload))
}

fn stores(workload: &dyn Workload) -> bool {
    matches!(workload.subject(), "ramfs" | "ramdisk" | "vdisk" | "jfs") && workload.verifies()
}
