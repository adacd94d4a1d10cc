//! The means: what a chain of actors is made of, each in a file of its own.
//!
//! A peer is a [`Link`]: a medium between a client and a server, made before the second of them is started. A server's
//! answer comes from whoever it asks in turn; at the end of every chain stands a [`Body`]. An answer is looked at where
//! it lies: a peer that hands out the memory it came in is not made to copy it.

mod bare;
mod crossbeam;
mod iceoryx;
mod ipc_channel;
mod ours;
mod stream;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use kd_nucleus::process::{self, Child};

use crate::rig::Order;

pub use iceoryx::{left_behind, sweep};

/// Whoever can be asked.
pub trait Ask {
    /// Asks with a number and lets `look` see the answer.
    fn ask(&mut self, number: u64, look: &mut dyn FnMut(&[u8])) -> io::Result<()>;
}

/// The medium between two actors.
pub trait Link: Send + Sync {
    /// The asking end, made where it is used.
    fn client(&self) -> io::Result<Box<dyn Ask>>;
    /// Answers for ever with what `next` answers; ends with an error alone.
    fn serve(&self, next: Box<dyn Ask>) -> io::Result<()>;
}

/// The servers of a rig that are processes: they end with this.
#[derive(Default)]
pub struct Actors(Vec<Child>);

impl Actors {
    /// CPU time so far, the calling process's with it.
    pub fn cpu_time(&self) -> Duration {
        process::cpu_time(std::process::id() as i32) + self.0.iter().map(Child::cpu_time).sum::<Duration>()
    }
}

/// Starts what an order asks for; the end that the rig asks.
pub fn start(order: &Order, actors: &mut Actors) -> io::Result<Box<dyn Ask>> {
    let bytes = order.bytes;
    match order.name.as_str() {
        "direct" => ours::direct(order),
        "thread" => ours::thread(order),
        "process" => ours::process(order, actors),
        "pkey" => ours::pkey(order),
        "two-lines" | "futex" => processes(order, actors, |_| bare::link(order.wait == "spin", bytes)),
        "pipe" => processes(order, actors, |_| stream::pipe(bytes)),
        "unix-socket" => processes(order, actors, |_| stream::unix_socket(bytes)),
        "ipc-channel" => processes(order, actors, |_| ipc_channel::link()),
        "iceoryx2" => processes(order, actors, |at| iceoryx::link(order, at)),
        "crossbeam-channel" => threads(order, crossbeam::link),
        other => Err(io::Error::other(format!("no means is called {other}"))),
    }
}

/// What the server `at` of a chain asks in turn.
fn next(order: &Order, link: Option<&dyn Link>) -> io::Result<Box<dyn Ask>> {
    link.map_or_else(|| Ok(Box::new(Body::new(order.bytes)) as Box<dyn Ask>), |link| link.client())
}

/// A chain of processes, one for each server.
fn processes(
    order: &Order,
    actors: &mut Actors,
    make: impl Fn(usize) -> io::Result<Box<dyn Link>>,
) -> io::Result<Box<dyn Ask>> {
    let links = (0..order.servers).map(make).collect::<io::Result<Vec<_>>>()?;
    for (at, link) in links.iter().enumerate() {
        actors.0.push(process::fork(|| {
            process::bind(0, order.place(at + 1));
            let after = links.get(at + 1).map(|link| &**link);
            complain(order, next(order, after).and_then(|next| link.serve(next)))
        })?);
    }
    process::bind(0, order.place(0));
    links[0].client()
}

/// A chain of threads of this process.
fn threads(order: &Order, make: impl Fn() -> Box<dyn Link>) -> io::Result<Box<dyn Ask>> {
    let links: Vec<Arc<dyn Link>> = (0..order.servers).map(|_| make().into()).collect();
    for (at, link) in links.iter().enumerate() {
        let (link, after, order) = (link.clone(), links.get(at + 1).cloned(), order.clone());
        let body = move || {
            process::bind_thread(order.place(at + 1));
            complain(&order, next(&order, after.as_deref()).and_then(|next| link.serve(next)));
        };
        std::thread::Builder::new().spawn(body)?;
    }
    process::bind_thread(order.place(0));
    links[0].client()
}

/// Why a server ended, for the person at the terminal; its exit code.
fn complain(order: &Order, served: io::Result<()>) -> i32 {
    if let Err(error) = served {
        eprintln!("error: a server of {}: {error}", order.name);
    }
    1
}

/// What is answered: the number asked, bytes known to both sides, and the number's complement.
#[derive(Clone)]
pub struct Body(Vec<u8>);

impl Body {
    /// Answers of so many bytes, 16 at least.
    pub fn new(bytes: usize) -> Body {
        Body((0..bytes).map(|at| at as u8).collect())
    }

    /// The answer to a number.
    pub fn answer(&mut self, number: u64) -> &[u8] {
        let last = self.0.len() - 8;
        self.0[..8].copy_from_slice(&number.to_le_bytes());
        self.0[last..].copy_from_slice(&(!number).to_le_bytes());
        &self.0
    }

    /// Whether an answer has the right length and the right ends.
    pub fn looks_like_answer(&self, number: u64, bytes: &[u8]) -> bool {
        bytes.len() == self.0.len()
            && bytes.starts_with(&number.to_le_bytes())
            && bytes.ends_with(&(!number).to_le_bytes())
    }

    /// Whether every byte of it is right.
    pub fn is_answer(&self, number: u64, bytes: &[u8]) -> bool {
        self.looks_like_answer(number, bytes) && self.0[8..self.0.len() - 8] == bytes[8..bytes.len() - 8]
    }
}

impl Ask for Body {
    fn ask(&mut self, number: u64, look: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        look(self.answer(number));
        Ok(())
    }
}
