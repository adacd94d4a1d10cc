//! System-call ports: the channels by which apps with processes of their own enter a kernel in one process.

use std::io;
use std::sync::Arc;

use kd_api::client::Port;
use kd_api::interfaces::syscalls::Syscalls;
use kd_api::{Caller, Handle, Imports};
use kd_nucleus::channel::{Bell, Channel, ChannelPort, Wait};

use crate::Manifest;
use crate::start::Prepared;

/// The name under which the table of system calls is exported.
pub const SYSCALLS: &str = "syscalls";

/// Something a kernel exports to apps: its name, and how a client of it is made.
pub type Export = (String, fn(Arc<dyn Port>) -> Handle);

/// What a kernel exports to apps.
pub fn exports(prepared: &[Prepared]) -> Vec<Export> {
    let table: Export = (SYSCALLS.into(), Handle::client::<dyn Syscalls>);
    let open = prepared.iter().filter(|prepared| prepared.entry.apps);
    std::iter::once(table)
        .chain(open.map(|prepared| (prepared.entry.name.clone(), prepared.component.client)))
        .collect()
}

/// The channels of all apps.
pub struct Ports {
    ports: Vec<PortOf>,
    wait: Wait,
}

/// One channel: of one app's half, to one export.
struct PortOf {
    app: u32,
    partner: bool,
    export: usize,
    channel: Channel,
}

impl Ports {
    /// A channel for every app's half and export.
    pub fn new(manifest: &Manifest, exports: usize) -> io::Result<Ports> {
        let mut ports = Vec::new();
        for app in 1..=manifest.apps {
            for export in 0..exports {
                let bell = Bell::new()?;
                for partner in [false, true] {
                    ports.push(PortOf { app, partner, export, channel: Channel::new("kd-port", &bell)? });
                }
            }
        }
        Ok(Ports { ports, wait: manifest.wait.0 })
    }

    /// One app's channels to one export, with whom their messages are from.
    pub fn clients_of(&self, app: u32, export: usize) -> Vec<(Channel, Caller)> {
        let ports = self.ports.iter().filter(|port| port.app == app && port.export == export);
        ports.map(|port| (port.channel.clone(), Caller::app(port.app))).collect()
    }

    /// Clients of every export for one half of an app.
    pub fn imports(&self, app: u32, partner: bool, exports: &[Export]) -> Imports {
        let mut imports = Imports::default();
        for port in self.ports.iter().filter(|port| port.app == app && port.partner == partner) {
            let (name, client) = &exports[port.export];
            imports.insert(name, client(Arc::new(ChannelPort::new(port.channel.clone(), self.wait))));
        }
        imports
    }

    /// Unmaps every channel but those of one app.
    pub fn keep(&mut self, app: u32) {
        self.ports.retain(|port| port.app == app);
    }

    /// All channels of an app, or of all.
    pub fn channels(&self, app: Option<u32>) -> impl Iterator<Item = &Channel> {
        self.ports.iter().filter(move |port| app.is_none_or(|app| app == port.app)).map(|port| &port.channel)
    }

    /// How apps and their kernel halves wait.
    pub fn wait(&self) -> Wait {
        self.wait
    }
}
