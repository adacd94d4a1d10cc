//! The ways in which a dead driver comes back, and the policies that decide whether it does.

mod handover;
mod notice;
mod policies;
mod ways;

use std::collections::BTreeSet;
use std::time::Duration;

use kd_boot::board::Field;
use kd_boot::control::What;
use kd_boot::manifest::Manifest;
use kd_boot::policy::Policy;
use kd_boot::root::TICK;
use kernel_debate::boot::{Boot, RunningApp};

use crate::PROCESS;
use crate::restarts::until;

const LIMIT: Duration = Duration::from_secs(20);
const KILL: i32 = 9;
const TERMINATE: i32 = 15;

fn boot(component: &str, apps: u32, policy: Policy) -> Boot {
    let mut manifest = PROCESS.manifest(apps);
    set(&mut manifest, component, policy);
    Boot::new(&manifest).expect("boots")
}

fn set(manifest: &mut Manifest, component: &str, policy: Policy) {
    let entry = manifest.entries.iter_mut().find(|entry| entry.name == component);
    entry.expect("it is in the manifest").policy = policy;
}

fn finish(app: &RunningApp) {
    app.stop();
    assert!(app.wait_until(LIMIT, |board| board.get(Field::Audited) == 1));
    let bad = [Field::Failed, Field::Wrong, Field::Unknown, Field::Lost, Field::Corrupted];
    assert_eq!(bad.map(|field| app.board.get(field)), [0; 5]);
}

/// What the host says of a process behind its name: its state, its parent, and more.
fn status_words(pid: i32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit(')').next()?.split_whitespace().map(String::from).collect())
}

fn state(pid: i32) -> Option<char> {
    status_words(pid)?.first()?.chars().next()
}

fn parent(pid: i32) -> Option<i32> {
    status_words(pid)?.get(1)?.parse().ok()
}

/// The root of the boot that an app is of.
fn root_of(app: &RunningApp) -> i32 {
    parent(app.pid).expect("the app lives")
}

/// The living processes of a boot that bear a name.
fn processes(app: &RunningApp, name: &str) -> BTreeSet<i32> {
    let root = Some(root_of(app));
    let all = std::fs::read_dir("/proc").expect("it is there").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let bears = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name);
    pids.filter(|&pid| parent(pid) == root && state(pid) != Some('Z')).filter(bears).collect()
}

fn events_of(boot: &Boot, who: &str) -> Vec<What> {
    boot.events()
        .expect("the root lives")
        .into_iter()
        .filter(|event| event.who == who)
        .map(|event| event.what)
        .collect()
}

/// Waits until a server may hand its place over.
fn handed_over_soon(boot: &Boot, component: &str) {
    until("a standby", || boot.component(component).is_ok_and(|now| now.standby.is_some()));
    // The supervisor lets the server hand over at the look after that, and it looks before it answers if it has not just done so.
    std::thread::sleep(2 * TICK);
    boot.component(component).expect("the root lives");
}
