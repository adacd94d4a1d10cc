//! Putting another version of a driver module in the place of the one at work, between two calls of its clients.
//!
//! 1. The newcomer *prepares*, in a process of its own, as a standby does; the old one answers meanwhile.
//! 2. The old one's gate is shut: it finishes what it has in hand and takes nothing more up. Calls wait in their channels.
//! 3. The newcomer takes the device over and is asked for its health (`check_health` in `kd_boot::version`). Its gate is shut
//!    as well, so nobody is answered by one that is not well.
//! 4. It is well: the old one ends, the gate opens, and the calls that wait are its first.
//!
//! Whatever goes wrong before that ends the newcomer, and the old one goes on: the very process, unless its device has a ring,
//! which the newcomer has reset; then the old version is started anew. Either way the calls still wait. What waits is in no
//! danger from a slow newcomer: each step has a limit.

use std::sync::Arc;
use std::time::Duration;

use kd_boot::control::{Event, What};
use kd_boot::log;
use kd_boot::policy::Way;
use kd_boot::version::{Upgrade, UpgradeError, Version};
use kd_machine::clock;
use kd_nucleus::channel;

use super::domain::{Begin, Domain};
use super::server::Life;
use super::supervisor::Supervisor;

/// Nanoseconds that a newcomer may prepare, while nobody waits for it.
const PREPARE: u64 = 15_000_000_000;
/// Nanoseconds for each of the steps that calls wait for: thousands of times what it takes, so that a busy machine alone makes
/// nobody late.
const LIMIT: u64 = 10_000_000_000;
/// Nanoseconds for which the old one's end of work is watched for closely, since nobody rings for it.
const CLOSELY: u64 = 2_000_000;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The newcomer prepares.
    Prepare,
    /// The old one finishes what it has in hand.
    Drain,
    /// The newcomer takes over.
    TakeOver,
}

/// A server that is being replaced.
pub struct Upgrading {
    /// The newcomer.
    pub successor: Domain,
    version: Arc<Version>,
    /// From which version to which, said before anybody waits.
    what: String,
    step: Step,
    /// When the step must be done.
    until: u64,
}

impl Supervisor {
    /// Starts a newcomer, and leaves the rest to [`Supervisor::look_after_upgrade`].
    ///
    /// # Errors
    /// What cannot be replaced, or not by this.
    pub(super) fn begin_upgrade(&mut self, upgrade: &Upgrade) -> Result<(), UpgradeError> {
        let name = &upgrade.component;
        let member = self.prepared.iter().position(|prepared| prepared.entry.name == *name);
        let member = member.ok_or_else(|| UpgradeError::Unknown(name.clone()))?;
        let mine = &self.prepared[member];
        let old = mine.version().ok_or_else(|| UpgradeError::NoModule(name.clone()))?;
        let number = self.servers.iter().position(|server| server.of.members.contains(&member));
        let number = number.ok_or_else(|| UpgradeError::Unknown(name.clone()))?;
        let server = &mut self.servers[number];
        if server.of.members.len() > 1 {
            return Err(UpgradeError::Shared(name.clone(), server.of.name.clone()));
        }
        let version = Arc::new(Version::find(name, upgrade.file.as_deref(), &upgrade.parameters)?);
        let what = old.to(&version);
        if server.policy.way != Way::Cold {
            version.warm_up(name)?;
        }
        let Life::Up(domain) = &server.life else { return Err(UpgradeError::NotUp(name.clone())) };
        // Who is dying already hands its place to a standby.
        if server.upgrading.is_some() || server.shared.berth.close() {
            return Err(UpgradeError::NotUp(name.clone()));
        }
        let how = Begin::Successor(domain);
        if let Some(standby) = server.standby.take() {
            self.dying.end(number, standby);
        }
        server.shared.berth.reset();
        mine.exchange(version.clone());
        let begun = Domain::begin(how, &server.of, &self.prepared, &mut self.wiring, &server.shared);
        self.prepared[member].exchange(old);
        let successor = begun.map_err(|error| UpgradeError::Within(error.to_string()))?;
        let until = clock::now() + PREPARE;
        server.upgrading = Some(Upgrading { successor, version, what, step: Step::Prepare, until });
        Ok(())
    }

    /// Goes on with replacing a server, if it is being replaced.
    pub(super) fn look_after_upgrade(&mut self, number: usize, events: &mut Vec<Event>) {
        loop {
            let Some(upgrading) = &mut self.servers[number].upgrading else { return };
            let Upgrading { successor, step, until, .. } = upgrading;
            if successor.failed() || successor.last_words().is_some() || successor.child.poll().is_some() {
                return self.roll_back(number, None, events);
            }
            let (step, late) = (*step, clock::now() > *until);
            let done = match step {
                Step::Prepare => successor.is_prepared(),
                Step::Drain => self.has_drained(number),
                Step::TakeOver => successor.ready_at().is_some(),
            };
            match (step, done) {
                (_, false) if late => return self.roll_back(number, Some(step), events),
                (_, false) => return,
                (Step::Prepare, true) => self.drain(number),
                (Step::Drain, true) => {
                    self.servers[number].shared.berth.clear();
                    self.enter(number, Step::TakeOver);
                }
                (Step::TakeOver, true) => return self.promote(number, events),
            }
        }
    }

    fn enter(&mut self, number: usize, step: Step) {
        if let Some(upgrading) = &mut self.servers[number].upgrading {
            (upgrading.step, upgrading.until) = (step, clock::now() + LIMIT);
        }
    }

    /// Has a server take nothing more up, and watches for a moment whether it is done with what it has.
    fn drain(&mut self, number: usize) {
        if let Some(domain) = self.servers[number].domain() {
            domain.gate().close();
            self.ring(number);
        }
        self.enter(number, Step::Drain);
        let begin = clock::now();
        while !self.has_drained(number) && clock::now() - begin < CLOSELY {
            std::thread::sleep(Duration::from_micros(5));
        }
    }

    fn has_drained(&self, number: usize) -> bool {
        let shut = self.servers[number].domain().is_some_and(|domain| domain.gate().is_shut());
        shut && self.served(number).all(|wire| channel::is_idle(&wire.channel))
    }

    /// Wakes a server: its gate was moved, or a ring went astray.
    pub(super) fn ring(&self, number: usize) {
        let members = &self.servers[number].of.members;
        members.iter().filter_map(|&member| self.wiring.bell(member)).for_each(|bell| bell.ring());
    }

    /// The newcomer is well: it takes the place.
    fn promote(&mut self, number: usize, events: &mut Vec<Event>) {
        let server = &mut self.servers[number];
        let Some(Upgrading { successor, version, what, .. }) = server.upgrading.take() else { return };
        if let Some(old) = server.take_domain() {
            old.silence();
            self.dying.add(number, old);
        }
        self.wiring.server_died(&server.of.members);
        server.of.members.first().map(|&member| self.prepared[member].exchange(version));
        successor.gate().open();
        server.life = Life::Up(successor);
        server.forget_progress();
        server.show();
        server.shared.berth.reset();
        self.ring(number);
        let who = self.servers[number].of.name.clone();
        log::say(&format!("{who}: upgraded {what}"));
        events.push(Event { at: clock::now(), who, what: What::Upgraded(what) });
    }

    /// The newcomer is not fit, or not in time with a step: it ends, and the old version goes on.
    fn roll_back(&mut self, number: usize, late: Option<Step>, events: &mut Vec<Event>) {
        let Some(upgrading) = self.servers[number].upgrading.take() else { return };
        let name = self.servers[number].of.name.clone();
        let why = match late {
            None => format!("the newcomer ended: {}", last_line(&name)),
            Some(Step::Prepare) => "the newcomer did not get ready in time".into(),
            Some(Step::Drain) => "the old one has calls in hand that do not end".into(),
            Some(Step::TakeOver) => "the newcomer did not answer in time".into(),
        };
        self.put_away(number, upgrading.successor);
        let reset = upgrading.step == Step::TakeOver
            && self.servers[number].of.members.iter().any(|&member| self.prepared[member].entry.ring.is_some());
        if reset {
            // What the old one believes of its device is true no longer.
            return self.bury(number, What::NotUpgraded(why), events);
        }
        if let Some(domain) = self.servers[number].domain() {
            domain.gate().open();
            self.ring(number);
        }
        events.push(Event { at: clock::now(), who: name, what: What::NotUpgraded(why) });
    }

    /// Who was to be replaced is gone: its successor is one as after any death.
    pub(super) fn drop_upgrade(&mut self, number: usize, events: &mut Vec<Event>) {
        if let Some(upgrading) = self.servers[number].upgrading.take() {
            self.put_away(number, upgrading.successor);
            let (who, why) = (self.servers[number].of.name.clone(), "the old one died meanwhile".into());
            events.push(Event { at: clock::now(), who, what: What::NotUpgraded(why) });
        }
    }

    fn put_away(&mut self, number: usize, successor: Domain) {
        // It may have the device.
        successor.silence();
        self.dying.end(number, successor);
        self.servers[number].shared.berth.reset();
    }
}

/// What a component said last.
fn last_line(name: &str) -> String {
    let said = log::read().into_iter().rev().find(|line| line.text.starts_with(&format!("{name}: ")));
    said.map_or_else(|| "it said nothing".into(), |line| line.text)
}
