//! Kills at random moments, as many as there is time for: whether anything that was acknowledged is lost, or happens twice.
//!
//! The victims are those through whom a stable append goes, in any order: the VFS, the journalling file system, and the
//! driver of its disk. One app appends to a log, syncs and reads back, as fast as it goes, and knows of each record what it
//! was told. No time is taken here.

use std::time::{Duration, Instant};

use kd_boot::board::Field;
use kd_boot::control::{Entry, Task};
use kd_boot::policy::{Policy, Way};
use kd_report::schema::Record;
use kd_report::stats::Random;

use super::columns;
use super::killing::{SIGKILL, configuration, counts, wait_for};
use crate::boot::{Boot, BootFailure};
use crate::experiments::Plan;
use crate::experiments::records::unstable;

/// Who is killed.
const VICTIMS: [&str; 3] = ["vfs", "jfs", "vdisk"];
/// The longest pause before a kill.
const PAUSE: Duration = Duration::from_millis(6);
/// Kills of one boot at most.
const KILLS: u64 = 500;
/// How long an audit may take, or a restart.
const PATIENCE: Duration = Duration::from_secs(10);

/// What they gave.
#[derive(Debug, Default)]
pub struct RandomKills {
    kills: u64,
    rounds: u64,
    failed: u64,
    repeated: u64,
    unknown: u64,
    lost: u64,
    twice: u64,
    /// Boots whose final look did not come to an end.
    unaudited: u64,
    obstacle: Option<String>,
}

impl RandomKills {
    /// So many kills, as far as the time goes.
    ///
    /// # Errors
    /// A kernel that did not boot, or that went away.
    pub fn run(
        &mut self,
        kills: u64,
        time: Duration,
        random: &mut Random,
        step: &mut dyn FnMut(u64),
    ) -> Result<(), BootFailure> {
        let begin = Instant::now();
        while self.kills < kills && begin.elapsed() < time && self.obstacle.is_none() {
            let more = |all: u64| all < kills && begin.elapsed() < time;
            match self.boot(more, random, step) {
                Err(BootFailure::App(why)) => self.obstacle = Some(why),
                other => other?,
            }
        }
        Ok(())
    }

    fn boot(
        &mut self,
        more: impl Fn(u64) -> bool,
        random: &mut Random,
        step: &mut dyn FnMut(u64),
    ) -> Result<(), BootFailure> {
        let mut manifest = configuration().manifest();
        for entry in manifest.entries.iter_mut().filter(|entry| VICTIMS.contains(&entry.name.as_str())) {
            entry.policy = Policy { way: Way::Warm, deaths: u32::MAX, ..Policy::default() };
        }
        let boot = Boot::new(&manifest)?;
        let rounds = Task::Rounds { workload: "disk_append_fsync".into(), rate: 0, entry: Entry::Call };
        let app = boot.start(1, true, rounds)?;
        wait_for(&app, 1)?;
        let begun = self.kills;
        while self.kills - begun < KILLS && more(self.kills) {
            step(self.kills);
            std::thread::sleep(Duration::from_nanos(random.below(PAUSE.as_nanos() as usize) as u64));
            let victim = VICTIMS[random.below(VICTIMS.len())];
            let Some(before) = restarts(&boot, victim)? else { continue };
            boot.signal(victim, SIGKILL)?;
            let killed = Instant::now();
            while restarts(&boot, victim)?.is_none_or(|now| now <= before) {
                if killed.elapsed() > PATIENCE {
                    return Err(BootFailure::App(format!(
                        "`{victim}` was not restarted in {PATIENCE:?}: {:?}",
                        boot.log()?.last()
                    )));
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            self.kills += 1;
        }
        wait_for(&app, 1)?;
        app.stop();
        self.unaudited += u64::from(!app.wait_until(PATIENCE, |board| board.get(Field::Audited) != 0));
        let [failed, unknown] = counts(&app);
        self.rounds += app.board.get(Field::Good);
        self.failed += failed;
        self.unknown += unknown;
        self.lost += app.board.get(Field::Lost) + app.board.get(Field::Corrupted);
        self.twice += app.board.get(Field::Twice);
        for status in boot.status()? {
            self.repeated += status.counters[1];
        }
        Ok(())
    }

    /// All records.
    pub fn records(&self, plan: &Plan) -> Vec<Record> {
        let columns = columns(configuration(), "vfs+jfs+vdisk", "random_kills/warm", plan);
        let unaudited = || format!("{} boots did not end their audit in {PATIENCE:?}", self.unaudited);
        let obstacle = self.obstacle.clone().or_else(|| (self.unaudited > 0).then(unaudited));
        if self.kills == 0 {
            let why = obstacle.unwrap_or_else(|| "it was not run".into());
            return vec![columns.unavailable("executed_twice", "total", "count", &why)];
        }
        let total = |metric, unit, count: u64| columns.value(metric, "total", unit, count as f64, self.kills);
        let records = [
            total("deaths", "count", self.kills),
            total("rounds", "count", self.rounds),
            total("calls_failed", "count", self.failed),
            total("calls_repeated", "count", self.repeated),
            total("calls_unknown", "count", self.unknown),
            total("acknowledged_bytes_lost", "bytes", self.lost),
            total("executed_twice", "count", self.twice),
        ];
        records
            .map(|record| match &obstacle {
                Some(why) => unstable(record, why.clone()),
                None => record,
            })
            .into()
    }
}

/// How often a component has come back; `None` while it is not there. A kill may meet one that is dying already, so that events
/// are not one for each kill.
fn restarts(boot: &Boot, component: &str) -> Result<Option<u32>, BootFailure> {
    let found = boot.status()?.into_iter().find(|status| status.name == component);
    Ok(found.map(|status| status.restarts))
}
