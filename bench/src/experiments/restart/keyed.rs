//! Faults of a component behind a protection key, which has no process to kill: one in each boot, since the process lives on,
//! and so does the patch in the component's code.

use kd_boot::control::{Entry, Task};
use kd_boot::policy::Way;
use kd_report::schema::Record;
use kd_report::stats::Random;

use super::cause::{By, Cause};
use super::killing::{counts, kill, ready, until_restarted, wait_for};
use super::{RATE, columns};
use crate::boot::{Boot, BootFailure};
use crate::experiments::Plan;
use crate::experiments::faults::{Subject, configurations};
use crate::experiments::latency::Configuration;

/// Good rounds after a fault.
const ROUNDS_AFTER: u64 = 20;

/// What the faults of one subject gave.
#[derive(Debug, Default)]
pub struct Keyed {
    fault: Cause,
    /// Why there is nothing.
    obstacle: Option<String>,
}

fn configuration() -> Configuration {
    configurations()[3]
}

impl Keyed {
    /// So many boots, where the machine has keys.
    ///
    /// # Errors
    /// A kernel that did not boot, or that went away.
    pub fn boots(&mut self, subject: &Subject, boots: usize, random: &mut Random) -> Result<(), BootFailure> {
        self.obstacle = configuration().unavailable();
        for _ in 0..boots {
            if self.obstacle.is_some() {
                break;
            }
            match self.boot(subject, random) {
                Err(BootFailure::App(why)) => self.obstacle = Some(why),
                other => other?,
            }
        }
        Ok(())
    }

    fn boot(&mut self, subject: &Subject, random: &mut Random) -> Result<(), BootFailure> {
        let boot = Boot::new(&configuration().manifest())?;
        let rounds = Task::Rounds { workload: subject.workload.clone(), rate: RATE, entry: Entry::Call };
        let app = boot.start(1, true, rounds)?;
        self.fault.new_boot();
        let before = counts(&app);
        ready(&boot, &app, subject, Way::Warm, By::Fault, random)?;
        let armed = kill(&boot, &app, subject, By::Fault)?;
        let events = until_restarted(&boot, &subject.name)?;
        wait_for(&app, ROUNDS_AFTER)?;
        let _ = self.fault.note(&app, By::Fault, armed, &events);
        self.fault.count(before, counts(&app));
        Ok(())
    }

    /// How many restarts were timed.
    ///
    /// # Errors
    /// Why none was.
    pub fn timed(&self) -> Result<usize, &str> {
        self.obstacle.as_deref().map_or_else(|| Ok(self.fault.timed()), Err)
    }

    /// All records.
    pub fn records(&self, subject: &Subject, plan: &Plan) -> Vec<Record> {
        let columns = columns(configuration(), &subject.name, By::Fault.name(), plan);
        match &self.obstacle {
            None if self.fault.deaths > 0 => self.fault.records(&columns, plan.seed),
            why => {
                let why = why.as_deref().unwrap_or("no boot of it succeeded");
                vec![columns.unavailable("restart_time", "median", "us", why)]
            }
        }
    }
}
