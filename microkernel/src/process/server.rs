//! A domain under supervision: how it is doing, who waits to take its place, and when it may come back.

use kd_boot::info;
use kd_boot::order::Together;
use kd_boot::policy::{History, Policy, Restart, Way};

use super::domain::{Domain, Shared};
use super::hang::{Progress, Start};
use super::pulse::Pulse;
use super::upgrade::Upgrading;

/// Standbys in a row that died before they were needed: then none is made any more, and restarts are warm.
const STANDBYS_LOST: u32 = 5;

/// How a domain is doing.
pub enum Life {
    /// It answers.
    Up(Domain),
    /// It has been told to go.
    Starting(Domain),
    /// It is dead, and comes back at this moment, or as soon as what it imports is there.
    Due(u64),
    /// It is dead for good.
    Down,
}

/// One domain.
pub struct Server {
    /// Its name and its components.
    pub of: Together,
    /// What is done when it dies.
    pub policy: Policy,
    /// How it is doing.
    pub life: Life,
    /// The ring of all servers, and the place of this one.
    pub shared: Shared,
    /// Who waits to take its place.
    pub standby: Option<Domain>,
    /// Who is to replace it, of another version.
    pub upgrading: Option<Upgrading>,
    /// Standbys lost since one was of use.
    pub standbys_lost: u32,
    /// Its deaths.
    pub history: History,
    /// How often it came back.
    pub restarts: u32,
    /// Starts in a row that came to nothing, not even a death.
    pub hung_starts: u32,
    /// Of all members, until they answer.
    pub start: Start,
    /// Of each member.
    pub progress: Vec<Progress>,
    /// Of all of them.
    pub pulse: Pulse,
    /// Broken answers that its clients counted when it was looked at last.
    pub violations: u32,
}

impl Server {
    /// One that does not run yet.
    pub fn new(of: Together, policy: Policy, shared: Shared) -> Server {
        let progress = of.members.iter().map(|_| Progress::default()).collect();
        Server {
            of,
            policy,
            life: Life::Down,
            shared,
            standby: None,
            upgrading: None,
            standbys_lost: 0,
            history: History::default(),
            restarts: 0,
            hung_starts: 0,
            start: Start::default(),
            progress,
            pulse: Pulse::default(),
            violations: 0,
        }
    }

    /// Its process, if it has one.
    pub fn domain(&self) -> Option<&Domain> {
        match &self.life {
            Life::Up(domain) | Life::Starting(domain) => Some(domain),
            Life::Due(_) | Life::Down => None,
        }
    }

    /// What was seen of the last process says nothing of the next.
    pub fn forget_progress(&mut self) {
        self.progress.fill_with(Progress::default);
        self.pulse = Pulse::default();
        self.start = Start::default();
    }

    /// Takes its process away; the next state is its caller's to set.
    pub fn take_domain(&mut self) -> Option<Domain> {
        match std::mem::replace(&mut self.life, Life::Down) {
            Life::Up(domain) | Life::Starting(domain) => Some(domain),
            Life::Due(_) | Life::Down => None,
        }
    }

    /// Whether those who import it need not wait for it.
    pub fn is_settled(&self) -> bool {
        matches!(self.life, Life::Up(_) | Life::Down)
    }

    /// Whether a standby is to be made for it now.
    pub fn wants_standby(&self) -> bool {
        let wanted =
            self.policy.way == Way::Standby && self.policy.restart != Restart::Never && self.upgrading.is_none();
        wanted && self.standby.is_none() && self.standbys_lost < STANDBYS_LOST && matches!(self.life, Life::Up(_))
    }

    /// Reaps a standby that died before it was needed.
    pub fn reap_standby(&mut self) {
        let lost =
            |standby: &mut Domain| standby.failed() || standby.last_words().is_some() || standby.child.poll().is_some();
        if self.standby.as_mut().is_some_and(lost) {
            self.standby = None;
            self.standbys_lost += 1;
        }
    }

    /// The standby, if it is ready to go; one that is not is no use, and is handed back as `Err` to be put away.
    pub fn take_standby(&mut self) -> Option<Result<Domain, Domain>> {
        let standby = self.standby.take()?;
        if standby.is_prepared() && standby.last_words().is_none() {
            self.standbys_lost = 0;
            return Some(Ok(standby));
        }
        Some(Err(standby))
    }

    /// Descriptors that are readable when something of it ended.
    pub fn watched(&self) -> impl Iterator<Item = i32> + '_ {
        let successor = self.upgrading.iter().map(|upgrading| &upgrading.successor);
        self.domain().into_iter().chain(&self.standby).chain(successor).map(|domain| domain.child.pidfd())
    }

    /// Tells the kernel's components where this server runs.
    pub fn show(&self) {
        let pid = self.domain().map_or(0, |domain| domain.child.pid());
        if let Some(info) = info::get() {
            self.of.members.iter().for_each(|&member| info.set_domain(member, pid, self.restarts));
        }
    }
}
