//! The same fault in the monolithic kernel: an oops and what still works after it, or the end of the kernel and a reboot, of
//! one that is started then or of one that was loaded before and waits, as kexec has it.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use kd_boot::board::Field;
use kd_boot::control::{CANARY_BYTES, Entry, Event, Task, What};
use kd_faults::{Fault, inject};
use kd_report::schema::Record;
use kd_report::stats::Random;
use kd_workloads::Group;

use super::timeline::Timeline;
use super::{RATE, Times, columns};
use crate::app::probe::Probed;
use crate::boot::{Boot, BootFailure, RunningApp};
use crate::experiments::Plan;
use crate::experiments::faults::Subject;
use crate::experiments::latency::Configuration;
use crate::experiments::records::Subject as Columns;

/// Good rounds before the fault.
const ROUNDS: u64 = 60;
/// How long the fault may take to happen, or the kernel to be back.
const PATIENCE: Duration = Duration::from_secs(3);
/// A probe that answers nothing for this long hangs: a thousand times what it takes in a healthy kernel.
const PROBE: Duration = Duration::from_millis(250);
/// A canary that lives checks its file every half millisecond: one that has not in this time is gone.
const GOES_ON: Duration = Duration::from_millis(20);
/// The first app that probes, and how many there can be: one whose probe hangs keeps its threads in the kernel, so the
/// next probe is another app's.
const PROBER: u32 = 3;
const PROBERS: u32 = 8;

/// What the oopses of one subject gave.
#[derive(Debug, Default)]
pub struct Samples {
    notice: Times,
    /// Workload, times it worked, times it was tried.
    works: Vec<(String, u64, u64)>,
    oopses: u64,
    others_interrupted: u64,
    calls_failed: u64,
    oops_timeline: Timeline,
    reboots: [Reboots; 2],
    obstacle: Option<String>,
}

/// What the reboots gave: of a kernel that is started then, and of one that was loaded before and waits.
#[derive(Debug, Default)]
struct Reboots {
    restart: Times,
    first_answer: Times,
    times: u64,
    others_gone: u64,
    lost: u64,
    timeline: Timeline,
}

/// What each boot does: an oops that the kernel survives, and one that is followed by a reboot, without and with a kernel that
/// waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    Reboot { kexec: bool },
}

/// What else a boot is asked for: to try everything after the oops; and a kernel that waits, whose worth has nothing to do with
/// the component.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub probed: bool,
    pub kexec: bool,
}

impl Samples {
    /// One boot that oopses and goes on, and one or two that end themselves and reboot.
    pub fn boot(&mut self, subject: &Subject, asked: Asked, random: &mut Random) -> Result<(), BootFailure> {
        self.notice.new_boot();
        for reboots in self.reboots.iter_mut().take(1 + usize::from(asked.kexec)) {
            reboots.restart.new_boot();
            reboots.first_answer.new_boot();
        }
        let reboots = [false, true].into_iter().take(1 + usize::from(asked.kexec)).map(|kexec| Then::Reboot { kexec });
        for then in std::iter::once(Then::GoOn).chain(reboots) {
            let result = match then {
                Then::GoOn => self.oops(subject, asked.probed, random),
                Then::Reboot { kexec } => self.reboots[usize::from(kexec)].reboot(subject, random, then),
            };
            match result {
                // A host that does not let us inject takes the experiment away, not the run.
                Err(BootFailure::App(why)) => self.obstacle = Some(why),
                other => other?,
            }
        }
        Ok(())
    }

    fn oops(&mut self, subject: &Subject, probed: bool, random: &mut Random) -> Result<(), BootFailure> {
        let (boot, app, canary) = start(subject, random, Then::GoOn)?;
        arm(&boot, subject)?;
        let events = until(&boot, |what| matches!(what, What::Oops(_)))?;
        let oops = events.iter().find(|event| matches!(event.what, What::Oops(_)));
        app.wait_until(PROBE, |board| board.get(Field::Killed) != 0);
        self.oopses += 1;
        if let Some(oops) = oops {
            self.notice.push(oops.at.saturating_sub(app.board.get(Field::LastStart)));
            self.oops_timeline.add(&[&app.board], oops.at);
        }
        self.calls_failed += app.board.get(Field::Failed) + app.board.get(Field::Killed);
        let before = canary.board.get(Field::Good);
        let mut prober = PROBER;
        // One at a point of a scale shows nothing that the same call without many files does not.
        for workload in kd_workloads::workloads().iter().filter(|workload| probed && workload.group() != Group::Scaling)
        {
            let works = probe(&boot, prober, workload.name())?;
            prober = if works { prober } else { (prober + 1).min(PROBER + PROBERS - 1) };
            let found = self.works.iter_mut().find(|(name, ..)| name == workload.name());
            match found {
                Some((_, times, tried)) => (*times, *tried) = (*times + u64::from(works), *tried + 1),
                None => self.works.push((workload.name().into(), u64::from(works), 1)),
            }
        }
        let goes_on = canary.wait_until(PROBE, |board| board.get(Field::Good) > before);
        self.others_interrupted += u64::from(!goes_on);
        Ok(())
    }

    /// All records.
    pub fn records(&self, subject: &Subject, plan: &Plan) -> Vec<Record> {
        let oops = columns(Configuration::MONOLITHIC, &subject.name, "null_dereference", plan);
        let reboots =
            ["panic_reboot", "panic_kexec"].map(|named| columns(Configuration::MONOLITHIC, &subject.name, named, plan));
        if let (Some(why), 0) = (&self.obstacle, self.oopses) {
            let notice = oops.unavailable("notice_time", "median", "us", why);
            let none = reboots.iter().map(|reboot| reboot.unavailable("restart_time", "median", "us", why));
            return std::iter::once(notice).chain(none).collect();
        }
        let mut records = self.notice.records(&oops, "notice_time", plan.seed);
        records.push(oops.value("calls_failed", "total", "count", self.calls_failed as f64, self.oopses));
        let interrupted = self.others_interrupted as f64;
        records.push(oops.value("other_apps_interrupted", "total", "count", interrupted, self.oopses));
        for (workload, times, tried) in &self.works {
            records.push(oops.value("still_works", workload, "share", *times as f64 / *tried as f64, *tried));
        }
        records.extend(self.oops_timeline.records(&oops));
        // What a year of failures is computed from.
        records.push(reboots[0].value("rate_due", "stated", "1/s", f64::from(RATE), self.reboots[0].times));
        // Not every subject has a kernel that waits.
        let each = self.reboots.iter().zip(&reboots).take(1 + usize::from(self.reboots[1].times > 0));
        records.extend(each.flat_map(|(reboots, columns)| reboots.records(columns, plan.seed)));
        records
    }
}

impl Reboots {
    fn reboot(&mut self, subject: &Subject, random: &mut Random, then: Then) -> Result<(), BootFailure> {
        let (boot, app, canary) = start(subject, random, then)?;
        arm(&boot, subject)?;
        let events = until(&boot, |what| *what == What::Restarted)?;
        let at = |of: fn(&What) -> bool| events.iter().find(|event| of(&event.what)).map(|event| event.at);
        let (oops, died) = (at(|what| matches!(what, What::Oops(_))), at(|what| matches!(what, What::Panic(_))));
        let restarted = at(|what| *what == What::Restarted);
        let rounds = Task::Rounds { workload: subject.workload.clone(), rate: RATE, entry: Entry::Call };
        let again = boot.start(1, true, rounds)?;
        let answered = again.wait_until(PATIENCE, |board| board.get(Field::Good) >= 1);
        let first = again.board.get(Field::FirstGood);
        let before = canary.board.get(Field::Good);
        let goes_on = canary.wait_until(GOES_ON, |board| board.get(Field::Good) > before);
        self.others_gone += u64::from(!goes_on);
        self.times += 1;
        if let (Some(died), Some(restarted)) = (died, restarted) {
            self.restart.push(restarted.saturating_sub(died));
            // The load of the old kernel has died with it; the harness has started it anew at once.
            Timeline::wait_for_its_end(died);
            self.timeline.add(&[&app.board, &again.board], died);
        }
        if let (Some(oops), true) = (oops.or(died), answered) {
            self.first_answer.push(first.saturating_sub(oops));
        }
        // What the old kernel's file system had acknowledged.
        let canary = boot.start(2, true, Task::Canary(0))?;
        canary.wait_until(PATIENCE, |board| board.get(Field::Running) != 0);
        self.lost += CANARY_BYTES as u64 - canary.board.get(Field::Acknowledged);
        Ok(())
    }

    fn records(&self, columns: &Columns, seed: u64) -> Vec<Record> {
        let mut records = self.restart.records(columns, "restart_time", seed);
        records.extend(self.first_answer.records(columns, "first_answer_time", seed));
        records.push(columns.value("acknowledged_bytes_lost", "total", "bytes", self.lost as f64, self.times));
        let gone = self.others_gone as f64;
        records.push(columns.value("other_apps_interrupted", "total", "count", gone, self.times));
        records.extend(self.timeline.records(columns));
        records
    }
}

fn start(subject: &Subject, random: &mut Random, then: Then) -> Result<(Boot, RunningApp, RunningApp), BootFailure> {
    let mut manifest = Configuration::MONOLITHIC.manifest();
    manifest.apps = if then == Then::GoOn { PROBER + PROBERS - 1 } else { 2 };
    manifest.panic_on_oops = then != Then::GoOn;
    manifest.kexec = then == Then::Reboot { kexec: true };
    let boot = Boot::new(&manifest)?;
    let canary = boot.start(2, true, Task::Canary(0))?;
    let rounds = Task::Rounds { workload: subject.workload.clone(), rate: RATE, entry: Entry::Call };
    let app = boot.start(1, true, rounds)?;
    let running = app.wait_until(PATIENCE, |board| board.get(Field::Good) >= ROUNDS)
        && canary.wait_until(PATIENCE, |board| board.get(Field::Good) > 0);
    if !running {
        return Err(BootFailure::App("the load did not get going".into()));
    }
    let begin = Instant::now();
    while manifest.kexec && boot.component(&subject.name)?.standby.is_none() {
        if begin.elapsed() > PATIENCE {
            return Err(BootFailure::App("no kernel waits".into()));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_nanos(random.below(2_000_000) as u64));
    boot.events()?;
    Ok((boot, app, canary))
}

fn arm(boot: &Boot, subject: &Subject) -> Result<(), BootFailure> {
    let failed = |error: &dyn std::fmt::Display| BootFailure::App(error.to_string());
    let target = subject.target(boot).map_err(|error| failed(&error))?;
    let soon = NonZeroU64::MIN.saturating_add(9);
    let armed = inject(target.pid, &target.site, target.room, Fault::NullDereference, soon, None);
    armed.map(drop).map_err(|error| failed(&error))
}

fn until(boot: &Boot, done: impl Fn(&What) -> bool) -> Result<Vec<Event>, BootFailure> {
    let begin = Instant::now();
    let mut events = Vec::new();
    while begin.elapsed() < PATIENCE {
        events.extend(boot.events()?);
        if events.iter().any(|event| done(&event.what)) {
            return Ok(events);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(BootFailure::App("the fault did not happen in time".into()))
}

/// Whether a workload still works, for an app that starts now.
fn probe(boot: &Boot, app: u32, workload: &str) -> Result<bool, BootFailure> {
    let mut prober = boot.start(app, true, Task::Probe(vec![workload.into()]))?;
    let works = matches!(prober.line_within::<Probed>(PROBE), Ok(Some(Probed { wrong: None, .. })));
    // It may have ended by itself meanwhile.
    let _ = boot.kill(app);
    let begin = Instant::now();
    while boot.kill(app).is_ok() && begin.elapsed() < PROBE {
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(works)
}
