//! What the supervisor does about a server that died or must go: its clients are answered, and a successor starts, unless its
//! policy says otherwise.
//!
//! Restarting needs nothing from a client: the dead server's calls in hand are answered `DIED` (the client's stub
//! repeats them or reports an unknown outcome), those not begun stay where the successor will find them. The module
//! file was checked at boot; the disk is the machine's and was never the server's.

use kd_api::component::Interface;
use kd_api::interfaces::fs::FileSystem;
use kd_api::interfaces::vfs::Vfs;
use kd_boot::control::{Event, What};
use kd_boot::log;
use kd_boot::policy::{Next, Way};
use kd_machine::clock;
use kd_nucleus::channel;

use super::domain::{Begin, Domain};
use super::server::{Life, Server};
use super::supervisor::Supervisor;

/// Starts in a row that hang, after which a server is given up.
const HUNG_STARTS: u32 = 3;
/// The one that asks to end.
const SIGTERM: &str = "SIGTERM";

/// Whether a death was one that somebody asked for.
fn asked_to(what: &What) -> bool {
    matches!(what, What::Died(how) if how == SIGTERM || how == "exit 0")
}

impl Supervisor {
    /// Has somebody stand by who is wanted, and says whether a dying server may hand its place over by itself.
    pub(super) fn look_after_standby(&mut self, number: usize) {
        let tells_others = self.is_file_system(number);
        let server = &mut self.servers[number];
        server.reap_standby();
        if let (None, true, Life::Up(domain)) = (&server.standby, server.wants_standby(), &server.life) {
            server.shared.berth.reset();
            let how = Begin::Standby(domain);
            // Without one, a restart is warm.
            let begun = Domain::begin(how, &server.of, &self.prepared, &mut self.wiring, &server.shared);
            server.standby = begun.ok();
        }
        let ready = server.standby.as_ref().is_some_and(Domain::is_prepared);
        let now = clock::now();
        let at_once = |asked| {
            let next = server.history.clone().died(&server.policy, asked, now);
            matches!(next, Next::RestartAt(at) if at <= now)
        };
        if ready && at_once(false) && !tells_others {
            // The host does not know whether an end was asked for.
            let holder = server.domain().map(|domain| domain.child.pid()).filter(|_| at_once(true));
            server.shared.berth.arm(holder);
        } else {
            server.shared.berth.close();
        }
    }

    /// Whether others must hear of a server's restart before its successor answers.
    fn is_file_system(&self, number: usize) -> bool {
        let interface = |&member: &usize| self.prepared[member].component.interface.name;
        self.servers[number].of.members.iter().any(|member| interface(member) == <dyn FileSystem>::info().name)
    }

    /// Ends what is left of a server, answers its clients, and decides what becomes of it.
    pub(super) fn bury(&mut self, number: usize, what: What, events: &mut Vec<Event>) {
        self.drop_upgrade(number, events);
        let server = &mut self.servers[number];
        let hung = matches!((&what, &server.life), (What::Hung(_), Life::Starting(_)));
        server.hung_starts += u32::from(hung);
        let Some(domain) = server.take_domain() else { return };
        let heir = if server.shared.berth.close() { server.standby.take() } else { None };
        domain.silence();
        self.dying.add(number, domain);
        if heir.is_none() {
            self.wiring.server_died(&server.of.members);
        }
        let now = clock::now();
        let at = heir.as_ref().and_then(Domain::told_at).unwrap_or(now);
        let (name, asked) = (server.of.name.clone(), asked_to(&what));
        log::say(&format!("{name}: {what:?}"));
        let next = match what {
            // It did nothing wrong itself.
            What::Followed(_) | What::NotUpgraded(_) => Next::RestartAt(now),
            // Each takes longer than deaths are counted together.
            What::Hung(_) if server.hung_starts >= HUNG_STARTS => Next::GiveUp,
            _ => server.history.died(&server.policy, asked, now),
        };
        events.push(Event { at, who: name, what });
        if let Some(mut heir) = heir {
            // It has begun already, and puts things in order itself.
            if let Next::RestartAt(_) = next {
                server.standbys_lost = 0;
                server.life = Life::Starting(heir);
                server.forget_progress();
                return server.show();
            }
            heir.child.kill();
            self.wiring.server_died(&server.of.members);
        }
        match next {
            Next::RestartAt(at) => self.servers[number].life = Life::Due(at),
            Next::Stay => self.leave_dead(number, What::Stays, events),
            Next::GiveUp => self.leave_dead(number, What::GivenUp, events),
        }
    }

    /// Answers all present and future calls of a server with an error.
    fn leave_dead(&mut self, number: usize, what: What, events: &mut Vec<Event>) {
        for wire in self.served(number) {
            channel::abandon(&wire.channel);
        }
        let server = &mut self.servers[number];
        server.life = Life::Down;
        if let Some(standby) = server.standby.take() {
            self.dying.end(number, standby);
        }
        server.show();
        events.push(Event { at: clock::now(), who: server.of.name.clone(), what });
    }

    /// Starts a dead server's successor.
    pub(super) fn start(&mut self, number: usize, events: &mut Vec<Event>) {
        if self.is_file_system(number) {
            // Before its successor answers anybody.
            self.own.all::<dyn Vfs>().for_each(|(_, vfs)| vfs.file_system_restarted());
        }
        let server = &mut self.servers[number];
        server.forget_progress();
        let begun = match server.take_standby() {
            Some(Ok(standby)) => {
                server.shared.berth.clear();
                Ok(standby)
            }
            unfit => {
                if let Some(Err(unfit)) = unfit {
                    self.dying.end(number, unfit);
                }
                let how = if server.policy.way == Way::Cold { Begin::Cold } else { Begin::AtOnce };
                Domain::begin(how, &server.of, &self.prepared, &mut self.wiring, &server.shared)
            }
        };
        match begun {
            Ok(domain) => {
                self.servers[number].life = Life::Starting(domain);
                self.servers[number].show();
            }
            Err(_) => self.leave_dead(number, What::GivenUp, events),
        }
    }

    /// Whether everything that a server imports answers, or never will.
    pub(super) fn imports_are_settled(&self, number: usize) -> bool {
        let settled = |other: &Server| other.is_settled() || !self.imports_of(number, other);
        self.servers.iter().enumerate().all(|(other, server)| other == number || settled(server))
    }

    /// Whether a server calls another.
    fn imports_of(&self, number: usize, other: &Server) -> bool {
        let imports = |&member: &usize| &self.prepared[member].entry.imports;
        let names = |import: &String| other.of.members.iter().any(|&it| self.prepared[it].entry.name == *import);
        self.servers[number].of.members.iter().any(|member| imports(member).iter().any(names))
    }

    /// Ends those that want to be restarted when this one was.
    pub(super) fn call_followers(&mut self, number: usize, events: &mut Vec<Event>) {
        let restarted = self.servers[number].of.name.clone();
        for follower in 0..self.servers.len() {
            let Server { policy, life, .. } = &self.servers[follower];
            let lives = matches!(life, Life::Up(_) | Life::Starting(_));
            if follower != number && policy.follow && lives && self.imports_of(follower, &self.servers[number]) {
                self.bury(follower, What::Followed(restarted.clone()), events);
            }
        }
    }
}
