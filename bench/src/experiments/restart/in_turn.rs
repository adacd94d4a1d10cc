//! Every component in turn; two at once; and a second kill while the successor of the first is still on its way.
//!
//! Each case has a load at work that goes through what is killed, and another app that does not. A boot has one case and one
//! death: some components take with them what they held, and the load may then never be what it was. Cases are data; a
//! component that is in none of them is tried by the load of the case that stands for all others.

use std::time::{Duration, Instant};

use kd_boot::board::Field;
use kd_boot::control::{Entry, Event, Task, What};
use kd_boot::policy::{Policy, Way};
use kd_machine::clock;
use kd_report::schema::Record;
use kd_report::stats::Random;

use super::cause::{By, Cause};
use super::columns;
use super::killing::{PATIENCE, ROUNDS_AFTER, SIGKILL, configuration, counts, stood_by, wait_for};
use crate::boot::{Boot, BootFailure, RunningApp};
use crate::experiments::Plan;

/// The load of a component, and how many rounds of it are due in a second.
struct Load {
    components: &'static [&'static str],
    workload: &'static str,
    rate: u32,
}

/// Loads, the first that fits: with writes and syncs on the disk, a whole program, pipes, and the rest.
const LOADS: [Load; 8] = [
    Load { components: &["vfs", "jfs", "vdisk"], workload: "disk_append_fsync", rate: 1_000 },
    Load { components: &["blk"], workload: "disk_mail_server", rate: 200 },
    Load { components: &["ramfs"], workload: "write_4k", rate: 2_000 },
    Load { components: &["pipe"], workload: "pipe_pingpong", rate: 2_000 },
    Load { components: &["proc"], workload: "null_proc", rate: 2_000 },
    Load { components: &["ramdisk"], workload: "ram0_write_4k", rate: 2_000 },
    Load { components: &["kv"], workload: "kv_get", rate: 2_000 },
    // Nobody reads or writes the others all the time: what a load sees that does not use them.
    Load { components: &[], workload: "read_64", rate: 2_000 },
];
/// Who looks on, the first that does not use what is killed.
const ONLOOKERS: [(&str, &[&str]); 2] = [("kv_get", &["kv"]), ("null_proc", &["proc"])];
/// Rounds of an onlooker in a second.
const LOOKS: u32 = 500;
/// The longest wait from when a successor is there to when it is killed.
const AMID: Duration = Duration::from_micros(500);

/// When the second kill comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Second {
    /// There is none.
    None,
    /// At once, and it hits another one.
    AtOnce,
    /// When a successor has begun to start.
    InRecovery,
}

/// Deaths of one kind.
struct Case {
    victims: Vec<String>,
    second: Second,
    way: Way,
    cause: Cause,
    /// Successors that were killed before they answered.
    caught: u64,
    /// Boots whose load never had a good round again.
    stuck: u64,
    obstacle: Option<String>,
}

/// All cases.
pub struct InTurn(Vec<Case>);

impl InTurn {
    /// None tried yet. A quick run has each in one way.
    pub fn new(quick: bool) -> InTurn {
        let ways: &[Way] = if quick { &[Way::Warm] } else { &[Way::Warm, Way::Standby] };
        let case = |victims: &[&str], second, way| Case {
            victims: victims.iter().map(|&name| name.to_owned()).collect(),
            second,
            way,
            cause: Cause::default(),
            caught: 0,
            stuck: 0,
            obstacle: None,
        };
        let components: Vec<String> = configuration().manifest().entries.into_iter().map(|entry| entry.name).collect();
        let mut cases = Vec::new();
        for &way in ways {
            cases.extend(components.iter().map(|name| case(&[name], Second::None, way)));
            let pairs: [&[&str]; 3] = [&["jfs", "vdisk"], &["vfs", "jfs"], &["blk", "vdisk"]];
            cases.extend(pairs.into_iter().map(|pair| case(pair, Second::AtOnce, way)));
        }
        // A standby has no start that could be met.
        cases.extend(["vfs", "jfs", "vdisk"].map(|name| case(&[name], Second::InRecovery, Way::Warm)));
        InTurn(cases)
    }

    /// The numbers of all cases.
    pub fn numbers(&self) -> std::ops::Range<usize> {
        0..self.0.len()
    }

    /// One boot of one of them.
    ///
    /// # Errors
    /// A kernel that did not boot, or that went away.
    pub fn boot(&mut self, number: usize, random: &mut Random) -> Result<(), BootFailure> {
        let case = &mut self.0[number];
        match case.boot(random) {
            Err(BootFailure::App(why)) => case.obstacle = Some(why),
            other => other?,
        }
        Ok(())
    }

    /// What a case is called.
    pub fn name(&self, number: usize) -> String {
        self.0[number].name()
    }

    /// All records.
    pub fn records(&self, plan: &Plan) -> Vec<Record> {
        self.0.iter().flat_map(|case| case.records(plan)).collect()
    }
}

fn load_of(victims: &[String]) -> &'static Load {
    let fits = |load: &&Load| victims.iter().any(|victim| load.components.contains(&victim.as_str()));
    LOADS.iter().find(fits).unwrap_or(&LOADS[LOADS.len() - 1])
}

fn onlooker_of(victims: &[String]) -> &'static str {
    let free = |(_, uses): &&(&str, &[&str])| !victims.iter().any(|victim| uses.contains(&victim.as_str()));
    ONLOOKERS.iter().find(free).map_or(ONLOOKERS[0].0, |(workload, _)| workload)
}

impl Case {
    fn name(&self) -> String {
        let how = match self.second {
            Second::None => "in_turn",
            Second::AtOnce => "at_once",
            Second::InRecovery => "in_recovery",
        };
        format!("{how}/{}", self.way.name())
    }

    fn boot(&mut self, random: &mut Random) -> Result<(), BootFailure> {
        let mut manifest = configuration().manifest();
        manifest.apps = 2;
        for entry in manifest.entries.iter_mut().filter(|entry| self.victims.contains(&entry.name)) {
            entry.policy = Policy { way: self.way, deaths: u32::MAX, ..Policy::default() };
        }
        let boot = Boot::new(&manifest)?;
        let load = load_of(&self.victims);
        let rounds = |workload: &str, rate| Task::Rounds { workload: workload.into(), rate, entry: Entry::Call };
        let app = boot.start(1, true, rounds(load.workload, load.rate))?;
        let onlooker = boot.start(2, true, rounds(onlooker_of(&self.victims), LOOKS))?;
        [&app, &onlooker].into_iter().try_for_each(|app| wait_for(app, ROUNDS_AFTER))?;
        if self.way == Way::Standby {
            self.victims.iter().try_for_each(|victim| stood_by(&boot, victim))?;
        }
        std::thread::sleep(Duration::from_nanos(random.below(2_000_000) as u64));
        boot.events()?;
        self.cause.new_boot();
        let (before, seen) = (counts(&app), counts(&onlooker));
        let killed = clock::now();
        for victim in &self.victims {
            boot.signal(victim, SIGKILL)?;
        }
        let mut events = Vec::new();
        if self.second == Second::InRecovery {
            self.kill_the_successor(&boot, &mut events, random)?;
        }
        until_all_are_back(&boot, &self.victims, &mut events)?;
        let comes_back = wait_for(&app, ROUNDS_AFTER).is_ok();
        self.stuck += u64::from(!comes_back);
        self.cause.note(&app, By::Kill, killed, &events);
        self.cause.count(before, counts(&app));
        self.cause.repeated += self.repeated(&boot)?;
        let looks_on = wait_for(&onlooker, ROUNDS_AFTER).is_ok() && counts(&onlooker) == seen;
        *self.cause.others_interrupted.get_or_insert(0) += u64::from(!looks_on);
        self.audit(&app);
        Ok(())
    }

    fn audit(&mut self, app: &RunningApp) {
        app.stop();
        if app.wait_until(PATIENCE, |board| board.get(Field::Audited) != 0) {
            self.cause.audit(&app.board);
        }
    }

    fn repeated(&self, boot: &Boot) -> Result<u64, BootFailure> {
        self.victims.iter().map(|victim| Ok(boot.component(victim)?.counters[1])).sum()
    }

    /// Waits until a successor has begun, and kills that.
    fn kill_the_successor(
        &mut self,
        boot: &Boot,
        events: &mut Vec<Event>,
        random: &mut Random,
    ) -> Result<(), BootFailure> {
        let Some(victim) = self.victims.first() else { return Ok(()) };
        let begin = Instant::now();
        while !events.iter().any(|event: &Event| event.who == *victim && matches!(event.what, What::Died(_))) {
            events.extend(boot.events()?);
            if begin.elapsed() > PATIENCE {
                return Err(BootFailure::App(format!("nobody noticed the death of `{victim}`")));
            }
        }
        std::thread::sleep(Duration::from_nanos(random.below(AMID.as_nanos() as usize) as u64));
        if boot.signal(victim, SIGKILL).is_err() {
            // Between two processes there is none to kill.
            return Ok(());
        }
        let own = |events: &[Event]| -> Vec<What> {
            events.iter().filter(|event| event.who == *victim).map(|event| event.what.clone()).collect()
        };
        let died = |what: &What| matches!(what, What::Died(_));
        while own(events).iter().filter(|what| died(what)).count() < 2 {
            events.extend(boot.events()?);
            if begin.elapsed() > PATIENCE {
                return Err(BootFailure::App(format!("nobody noticed the second death of `{victim}`")));
            }
        }
        let own = own(events);
        let second = own.iter().rposition(died).unwrap_or_default();
        self.caught += u64::from(!own[..second].contains(&What::Restarted));
        Ok(())
    }

    fn records(&self, plan: &Plan) -> Vec<Record> {
        let columns = columns(configuration(), &self.victims.join("+"), &self.name(), plan);
        if self.cause.deaths == 0 {
            let why = self.obstacle.as_deref().unwrap_or("there was no time for it");
            return vec![columns.unavailable("back_time", "median", "us", why)];
        }
        let total = |metric, count: u64| columns.value(metric, "total", "count", count as f64, self.cause.deaths);
        let mut records = self.cause.records(&columns, plan.seed);
        if load_of(&self.victims).components.is_empty() {
            let of_the_load = ["first_call_time", "first_answer_time", "longest_gap"];
            records.retain(|record| !of_the_load.contains(&record.metric.as_str()));
        }
        records.push(total("loads_lost", self.stuck));
        if self.second == Second::InRecovery {
            records.push(total("killed_in_recovery", self.caught));
        }
        records
    }
}

/// Waits until each has answered after its last death.
fn until_all_are_back(boot: &Boot, victims: &[String], events: &mut Vec<Event>) -> Result<(), BootFailure> {
    let begin = Instant::now();
    let is_back = |victim: &String, events: &[Event]| {
        let last = events.iter().rfind(|event| event.who == *victim);
        last.is_some_and(|event| matches!(event.what, What::Restarted | What::GivenUp))
    };
    loop {
        events.extend(boot.events()?.into_iter().filter(|event| victims.contains(&event.who)));
        if victims.iter().all(|victim| is_back(victim, events)) {
            return Ok(());
        }
        if begin.elapsed() > PATIENCE {
            return Err(BootFailure::App(format!("`{}` did not come back", victims.join("` and `"))));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
