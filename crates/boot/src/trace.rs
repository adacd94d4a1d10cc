//! Counting crossings: a port around a port, put in for counting boots alone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use kd_api::client::{Exchange, Port, Slot};
use kd_api::message::InterfaceInfo;
use kd_api::{Message, Operation, Result};
use kd_machine::memory::{Memory, Words};

use crate::start::Prepared;

/// Operations of one interface that are told apart.
const OPERATIONS: usize = 64;
/// Components that are told apart, with the apps and the supervisor as two callers more.
const COMPONENTS: usize = 30;
const CALLERS: usize = COMPONENTS + 2;
/// Bytes of all counts: whole pages.
const SIZE: usize = CALLERS * COMPONENTS * OPERATIONS * 16;

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A component, by its number in the manifest.
    Component(usize),
    /// An app.
    App,
    /// The supervisor.
    Supervisor,
}

impl Origin {
    fn index(self) -> usize {
        match self {
            Origin::Component(number) => number % COMPONENTS,
            Origin::App => COMPONENTS,
            Origin::Supervisor => COMPONENTS + 1,
        }
    }
}

/// Crossings and bytes of every operation of every component by each of its callers, in memory that all domains share
/// while counting. It stays mapped: holding it costs nothing, and clients that are made in a domain behind a key write none
/// of the core's memory for it.
#[derive(Clone, Copy, Debug)]
pub struct Counts(&'static Words);

impl Counts {
    /// All zero.
    pub fn new() -> io::Result<Counts> {
        let memory = Memory::new("kd-counts", SIZE)?;
        Ok(Counts(Box::leak(Box::new(Words::new(memory.map()?)))))
    }

    /// Where it is mapped: address and bytes.
    pub fn memory(&self) -> (usize, usize) {
        (std::ptr::from_ref(self.0.get(0)) as usize, SIZE)
    }

    fn index(from: Origin, component: usize, operation: u16) -> usize {
        let edge = from.index() * COMPONENTS + component % COMPONENTS;
        (edge * OPERATIONS + usize::from(operation) % OPERATIONS) * 2
    }

    /// Counts crossings and bytes.
    pub fn add(&self, from: Origin, component: usize, operation: u16, (crossings, bytes): (u64, u64)) {
        let index = Counts::index(from, component, operation);
        self.0.get(index).fetch_add(crossings, Relaxed);
        self.0.get(index + 1).fetch_add(bytes, Relaxed);
    }

    /// All that was counted, each as `caller>component/Interface.operation`, crossings, bytes.
    pub fn named(&self, prepared: &[Prepared]) -> Vec<(String, u64, u64)> {
        let name = |from| match from {
            Origin::Component(number) => prepared[number].entry.name.as_str(),
            Origin::App => "app",
            Origin::Supervisor => "supervisor",
        };
        let callers: Vec<Origin> =
            (0..prepared.len()).map(Origin::Component).chain([Origin::App, Origin::Supervisor]).collect();
        let of = |(number, prepared): (usize, &Prepared)| {
            let component = &prepared.component;
            let named = |from| {
                let edge = format!("{}>{}", name(from), component.name);
                let one = move |(operation, crossings, bytes)| (format!("{edge}/{operation}"), crossings, bytes);
                self.of(from, number, component.interface).filter(|(_, crossings, _)| *crossings > 0).map(one)
            };
            callers.iter().flat_map(|&from| named(from).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        prepared.iter().enumerate().flat_map(of).collect()
    }

    /// What was counted of one caller's calls to one component: operation, crossings, bytes.
    pub fn of<'a>(
        &'a self,
        from: Origin,
        component: usize,
        info: &'static InterfaceInfo,
    ) -> impl Iterator<Item = (String, u64, u64)> + 'a {
        info.operations.iter().map(move |operation| {
            let index = Counts::index(from, component, operation.number);
            let name = format!("{}.{}", operation.interface, operation.name);
            (name, self.0.get(index).load(Relaxed), self.0.get(index + 1).load(Relaxed))
        })
    }
}

/// A port that counts.
pub struct TracedPort {
    /// Where the messages go.
    pub inner: Arc<dyn Port>,
    /// Where they are counted.
    pub counts: Counts,
    /// Whom they are from.
    pub from: Origin,
    /// The component they go to, by its number in the manifest.
    pub component: usize,
}

impl TracedPort {
    /// A reply's bulk is what really moved, in or out: it was copied into the window once and out of it once. What was
    /// granted was not copied.
    fn count(&self, crossings: u64, operation: &Operation, ended: Option<(Exchange, &Message)>) {
        let bytes = match ended {
            Some((Exchange::Replied, reply)) => 2 * u64::from(reply.bulk),
            _ => 0,
        };
        self.counts.add(self.from, self.component, operation.number, (crossings, bytes));
    }
}

impl Port for TracedPort {
    fn claim(&self) -> Result<Slot<'_>> {
        self.inner.claim()
    }

    fn exchange(&self, slot: &Slot<'_>, operation: &'static Operation, message: &mut Message) -> Exchange {
        let granted = message.status != 0;
        let exchange = self.inner.exchange(slot, operation, message);
        self.count(1, operation, Some((exchange, &*message)).filter(|_| !granted));
        exchange
    }

    fn submit(&self, slot: &Slot<'_>, operation: &'static Operation, message: &mut Message) -> Option<Exchange> {
        let exchange = self.inner.submit(slot, operation, message);
        self.count(1, operation, exchange.map(|exchange| (exchange, &*message)));
        exchange
    }

    fn complete(&self, slot: &Slot<'_>, operation: &'static Operation, message: &mut Message) -> Exchange {
        let exchange = self.inner.complete(slot, operation, message);
        self.count(0, operation, Some((exchange, message)));
        exchange
    }

    fn abandon(&self, slot: Slot<'_>) {
        self.inner.abandon(slot);
    }

    fn release(&self, slot: Slot<'_>) {
        self.inner.release(slot);
    }

    fn grant(&self, at: *const u8, len: usize) -> Option<(i16, u64)> {
        self.inner.grant(at, len)
    }

    fn post(&self, operation: &'static Operation, request: Message) {
        self.count(1, operation, None);
        self.inner.post(operation, request);
    }

    fn violated(&self) {
        self.inner.violated();
    }

    fn repeated(&self) {
        self.inner.repeated();
    }

    fn unknown(&self) {
        self.inner.unknown();
    }
}
