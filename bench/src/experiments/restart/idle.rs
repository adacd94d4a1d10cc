//! A server that is stuck though nobody calls it: how long until its pulse is missed. It is a second by design, and a quick run
//! has no second to spare for each.

use std::time::{Duration, Instant};

use kd_boot::control::{Event, What};
use kd_machine::clock;
use kd_report::schema::Record;

use super::{Times, columns};
use crate::boot::{Boot, BootFailure};
use crate::experiments::Plan;
use crate::experiments::faults::configurations;

/// A driver that nobody calls unless asked to.
const IDLE: &str = "nullblk";
/// The signal that stops a process, which cannot be caught.
const SIGSTOP: i32 = 19;
/// How often: the pulse does not depend on what else happens.
const BOOTS: usize = 4;
/// Five times what it takes.
const PATIENCE: Duration = Duration::from_secs(6);

/// Stops one in each boot.
///
/// # Errors
/// A kernel that did not boot, or that went away.
pub fn run(plan: &Plan) -> Result<Vec<Record>, BootFailure> {
    let configuration = configurations()[2];
    let columns = columns(configuration, IDLE, "stopped_idle", plan);
    if plan.quick {
        let why = "each takes more than a second, which a quick run does not spare";
        return Ok(vec![columns.unavailable("notice_time", "median", "us", why)]);
    }
    let (mut notice, mut back, mut deaths) = (Times::default(), Times::default(), 0);
    for _ in 0..BOOTS {
        let boot = Boot::new(&configuration.manifest())?;
        let stopped = clock::now();
        boot.signal(IDLE, SIGSTOP)?;
        let (begin, mut events) = (Instant::now(), Vec::<Event>::new());
        let at = |events: &[Event], of: fn(&What) -> bool| {
            let ours = |event: &&Event| event.who == IDLE && of(&event.what);
            events.iter().find(ours).map(|event| event.at)
        };
        while at(&events, |what| *what == What::Restarted).is_none() && begin.elapsed() < PATIENCE {
            events.extend(boot.events()?);
            std::thread::sleep(Duration::from_millis(1));
        }
        let noticed = at(&events, |what| matches!(what, What::Hung(_)));
        let (Some(noticed), Some(restarted)) = (noticed, at(&events, |what| *what == What::Restarted)) else {
            continue;
        };
        notice.new_boot();
        notice.push(noticed.saturating_sub(stopped));
        back.new_boot();
        back.push(restarted.saturating_sub(stopped));
        deaths += 1;
    }
    let mut records = notice.records(&columns, "notice_time", plan.seed);
    records.extend(back.records(&columns, "back_time", plan.seed));
    records.push(columns.value("deaths", "total", "count", f64::from(deaths), BOOTS as u64));
    Ok(records)
}
