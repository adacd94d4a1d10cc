//! Which channel leads from whom to whom.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use kd_api::client::Port;
use kd_api::message::InterfaceInfo;
use kd_api::{Caller, Handle, Imports};
use kd_boot::Manifest;
use kd_boot::inherit::{memory, named};
use kd_boot::manifest::Entry;
use kd_boot::policy::Way;
use kd_boot::start::{BootError, Prepared};
use kd_boot::trace::{Counts, Origin, TracedPort};
use kd_machine::memory::Memory;
use kd_nucleus::channel::{self, Bell, CALL_SLOTS, Channel, ChannelPort, Exchanges, Page, Wait};
use serde::{Deserialize, Serialize};

/// Who calls through a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Client {
    /// A component, by its number in the manifest.
    Component(usize),
    /// An app, by its number, and which of its two halves.
    App(u32, Half),
    /// The supervisor, for events.
    Supervisor,
}

impl From<Client> for Origin {
    fn from(client: Client) -> Origin {
        match client {
            Client::Component(number) => Origin::Component(number),
            Client::App(..) => Origin::App,
            Client::Supervisor => Origin::Supervisor,
        }
    }
}

/// An app's main half, or the partner that shares its descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Half {
    /// The app itself.
    Main,
    /// Its partner.
    Partner,
}

/// One channel.
pub struct Wire {
    /// Who calls.
    pub client: Client,
    /// Who answers, by its number in the manifest.
    pub server: usize,
    /// The memory between them.
    pub channel: Channel,
    /// Exchanges so far, as whoever supervises the server counts them.
    pub exchanges: Exchanges,
}

impl Wire {
    /// Whether it is of these components.
    pub fn is_of(&self, members: &[usize]) -> bool {
        members.contains(&self.server) || matches!(self.client, Client::Component(member) if members.contains(&member))
    }
}

/// What a domain is left of a wiring, by descriptors: bells with the numbers of their servers; channels with client and server.
pub type Left = (Vec<(usize, RawFd)>, Vec<(Client, usize, RawFd)>);

/// All channels of a boot.
pub struct Wiring {
    /// The channels.
    pub wires: Vec<Wire>,
    /// What they and the bells of their servers lie in, in the same order, for domains that inherit nothing else; empty if there
    /// are none.
    memory: Vec<(Memory, Arc<Memory>)>,
    wait: Wait,
    counts: Option<Counts>,
}

impl Wiring {
    /// A channel for every import from another process, and for everything that an app may call.
    pub fn new(manifest: &Manifest, counts: Option<Counts>) -> std::io::Result<Wiring> {
        let mut ends = Vec::new();
        for (server, entry) in manifest.entries.iter().enumerate() {
            let far = |other: &Entry| manifest.process_of(other) != manifest.process_of(entry);
            let importers = manifest.entries.iter().enumerate();
            let importers = importers.filter(|(_, other)| other.imports.contains(&entry.name) && far(other));
            ends.extend(importers.map(|(number, _)| (Client::Component(number), server)));
            if entry.apps {
                let apps =
                    (1..=manifest.apps).flat_map(|app| [Half::Main, Half::Partner].map(|half| Client::App(app, half)));
                ends.extend(apps.map(|client| (client, server)));
                ends.push((Client::Supervisor, server));
            }
        }
        let bell = |_| {
            let memory = Page::memory()?;
            Ok((Bell::on(Page::map(&memory)?), Arc::new(memory)))
        };
        let bells = manifest.entries.iter().map(bell).collect::<std::io::Result<Vec<_>>>()?;
        // Every descriptor here is one more to close in each process that is forked.
        let keeps = manifest.entries.iter().any(|entry| entry.policy.way == Way::Cold);
        let (mut wires, mut kept) = (Vec::new(), Vec::new());
        for (client, server) in ends {
            let memory = Channel::memory(&format!("kd-channel-{}", manifest.entries[server].name))?;
            let (bell, bell_memory) = &bells[server];
            let channel = Channel::map(&memory, bell)?;
            channel.share_with_children(false)?;
            wires.push(Wire { client, server, channel, exchanges: Exchanges::default() });
            kept.extend(keeps.then(|| (memory, bell_memory.clone())));
        }
        Ok(Wiring { wires, memory: kept, wait: manifest.wait.0, counts })
    }

    /// What a domain of these components is left of it: bells, by their servers, and channels.
    pub fn left_to(&self, members: &[usize]) -> Left {
        let (mut bells, mut wires) = (Vec::<(usize, RawFd)>::new(), Vec::new());
        for (wire, (memory, bell)) in self.wires.iter().zip(&self.memory).filter(|(wire, _)| wire.is_of(members)) {
            if bells.iter().all(|(server, _)| *server != wire.server) {
                bells.push((wire.server, named(bell)));
            }
            wires.push((wire.client, wire.server, named(memory)));
        }
        (bells, wires)
    }

    /// What a domain makes of that.
    pub fn inherit(manifest: &Manifest, (bells, wires): Left) -> std::io::Result<Wiring> {
        let mapped = |(server, fd)| Ok((server, Bell::on(Page::map(&memory(fd)?)?)));
        let bells = bells.into_iter().map(mapped).collect::<std::io::Result<Vec<_>>>()?;
        let mut all = Vec::new();
        for (client, server, fd) in wires {
            let bell = bells.iter().find(|(of, _)| *of == server).map(|(_, bell)| bell);
            let channel = Channel::map(&memory(fd)?, bell.ok_or(std::io::ErrorKind::InvalidData)?)?;
            all.push(Wire { client, server, channel, exchanges: Exchanges::default() });
        }
        Ok(Wiring { wires: all, memory: Vec::new(), wait: manifest.wait.0, counts: None })
    }

    /// Runs `fork`, whose child has the channels that `keep` picks and no others; it still has to [keep](Wiring::keep) them.
    pub fn with_children<R>(&mut self, keep: impl Fn(&Wire) -> bool, fork: impl FnOnce(&mut Wiring) -> R) -> Result<R> {
        // What a child never had it need not unmap, and what the host need not copy makes the fork shorter.
        let share = |wiring: &Wiring, share| {
            let mut kept = wiring.wires.iter().filter(|wire| keep(wire));
            kept.try_for_each(|wire| wire.channel.share_with_children(share))
        };
        share(self, true)?;
        let forked = fork(self);
        share(self, false)?;
        Ok(forked)
    }

    /// Unmaps every channel that `keep` does not pick, and every bell that hangs at none of those left: a domain can
    /// reach no other.
    pub fn keep(&mut self, keep: impl Fn(&Wire) -> bool) {
        self.wires.retain(keep);
    }

    /// The channels that one server answers, each with whom its messages are from.
    pub fn clients_of(&self, server: usize) -> Vec<(Channel, Caller)> {
        let caller = |client| match client {
            Client::App(app, _) => Caller::app(app),
            Client::Component(_) | Client::Supervisor => Caller::KERNEL,
        };
        let wires = self.wires.iter().filter(|wire| wire.server == server);
        wires.map(|wire| (wire.channel.clone(), caller(wire.client))).collect()
    }

    /// The server of these components died: what it had in hand is answered, what it asked of others withdrawn.
    pub fn server_died(&self, members: &[usize]) {
        for wire in &self.wires {
            if members.contains(&wire.server) {
                channel::scrub(&wire.channel);
            } else if matches!(wire.client, Client::Component(member) if members.contains(&member)) {
                channel::reset(&wire.channel);
            }
        }
    }

    /// Waits until what a predecessor of these components asked of others is done: a write of its own would else come after what
    /// its successor has read, or written, in its place. Not for what may wait for ever, as for bytes of a pipe, or as an event
    /// for a server that was given up. A server that does not get done is condemned for that by the supervisor, as whenever a
    /// call stays in hand.
    pub fn let_others_finish(&self, members: &[usize], interface: impl Fn(usize) -> &'static InterfaceInfo) {
        const LOOK: Duration = Duration::from_micros(50);
        let ours = |wire: &&Wire| matches!(wire.client, Client::Component(member) if members.contains(&member));
        let under_way = |wire: &Wire| {
            let operation = |number| interface(wire.server).operation(number);
            let calls = channel::stuck(&wire.channel).filter(|call| call.slot < CALL_SLOTS);
            let mut calls = calls.map(|call| operation(call.operation));
            calls.any(|operation| operation.is_none_or(|operation| !operation.blocking && !operation.deferred))
        };
        while self.wires.iter().filter(ours).any(under_way) {
            std::thread::sleep(LOOK);
        }
    }

    /// Whether a server has calls in hand or waiting.
    pub fn is_called(&self, server: usize) -> bool {
        let mut wires = self.wires.iter().filter(|wire| wire.server == server);
        wires.any(|wire| channel::stuck(&wire.channel).next().is_some())
    }

    /// Clients, by component name, of everything that `client` may call.
    pub fn imports(&self, client: Client, prepared: &[Prepared]) -> Imports {
        let mut imports = Imports::default();
        for wire in self.wires.iter().filter(|wire| wire.client == client) {
            let component = &prepared[wire.server].component;
            imports.insert(&component.name, self.handle(wire, component.client));
        }
        imports
    }

    fn handle(&self, wire: &Wire, client: fn(Arc<dyn Port>) -> Handle) -> Handle {
        let port: Arc<dyn Port> = Arc::new(ChannelPort::new(wire.channel.clone(), self.wait));
        match &self.counts {
            Some(counts) => {
                let (counts, from, component) = (*counts, wire.client.into(), wire.server);
                client(Arc::new(TracedPort { inner: port, counts, from, component }))
            }
            None => client(port),
        }
    }

    /// The bell of a server, which hangs at each of its channels; `None` for a server that nobody may call.
    pub fn bell(&self, server: usize) -> Option<Bell> {
        self.wires.iter().find(|wire| wire.server == server).map(|wire| wire.channel.bell.clone())
    }

    /// How everybody waits.
    pub fn wait(&self) -> Wait {
        self.wait
    }

    /// What was counted.
    pub fn counts(&self) -> Option<&Counts> {
        self.counts.as_ref()
    }
}

/// As [`BootError`]: what a component's start can say.
pub type Result<T> = std::result::Result<T, BootError>;
