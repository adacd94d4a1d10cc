//! The client's half of every transport: what a generated stub does with a call.

use crate::message::{Message, Operation};
use crate::window::Window;
use crate::wire::{Decoder, Encoder};
use crate::{Errno, InBuf, OutBuf, Result};

/// How often an idempotent call is repeated over restarts of its server before it fails with [`Errno::EIO`].
pub const REPEATS: u32 = 8;

/// One claimed slot of a channel.
pub struct Slot<'a> {
    /// Which one.
    pub index: usize,
    /// Its window.
    pub window: Window<'a>,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// The server replied; nothing of it has been checked yet but the sequence number.
    Replied,
    /// The server died before it took the request up, or with it in hand.
    Died,
}

/// The client's end of a channel to one server.
pub trait Port: Send + Sync {
    /// Claims a slot; [`Errno::EAGAIN`] when all are in use.
    fn claim(&self) -> Result<Slot<'_>>;
    /// Sends the request `message` in a claimed slot and waits for its reply, which it leaves in the request's place:
    /// on a path of a few dozen instructions, a message that is passed by value is copied more often than it is used.
    fn exchange(&self, slot: &Slot<'_>, operation: &'static Operation, message: &mut Message) -> Exchange;
    /// Gives a slot back.
    fn release(&self, slot: Slot<'_>);
    /// Posts a one-way event; dropped, and counted, when the channel has no room.
    fn post(&self, operation: &'static Operation, request: Message);
    /// Tells whoever watches the server that it broke the protocol.
    fn violated(&self) {}
    /// Counts a repeated call.
    fn repeated(&self) {}
    /// Counts a call of unknown outcome.
    fn unknown(&self) {}
}

/// The bulk argument of a call.
pub enum Bulk<'b, 'd> {
    /// None.
    None,
    /// Bytes going in.
    In(&'b mut InBuf<'d>),
    /// Room for bytes coming out.
    Out(&'b mut OutBuf<'d>),
}

struct Claimed<'a> {
    port: &'a dyn Port,
    slot: Option<Slot<'a>>,
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.port.release(slot);
        }
    }
}

/// Sends one call and waits for its result, repeating it over restarts of the server where that is allowed.
///
/// # Errors
/// What the server answered; [`Errno::EAGAIN`] with all slots in use, [`Errno::EPROTO`] for an answer no honest server
/// gives, [`Errno::EUNKNOWN`] when the server died with a call in hand that may not be repeated, [`Errno::EIO`] when it
/// died [`REPEATS`] times over one that may.
pub fn call<R>(
    port: &dyn Port,
    operation: &'static Operation,
    mut bulk: Bulk<'_, '_>,
    encode: impl Fn(&mut Encoder<'_>) -> Result<()>,
    decode: impl FnOnce(&mut Decoder<'_>) -> Result<R>,
) -> Result<R> {
    let claimed = Claimed { port, slot: Some(port.claim()?) };
    let Some(slot) = &claimed.slot else { return Err(Errno::EAGAIN) };
    let window = slot.window;
    let mut repeats = 0;
    let mut message = Message { operation: operation.number, ..Message::default() };
    let sent = loop {
        encode(&mut Encoder::new(&mut message.words, window))?;
        let sent = match &bulk {
            Bulk::None => 0,
            Bulk::In(data) => window.output(data.remaining()).write_from(&mut data.again()),
            Bulk::Out(room) => room.remaining().min(crate::window::BULK),
        };
        message.bulk = sent as u32;
        match port.exchange(slot, operation, &mut message) {
            Exchange::Replied => break sent,
            Exchange::Died if !operation.idempotent => {
                port.unknown();
                return Err(Errno::EUNKNOWN);
            }
            Exchange::Died if repeats == REPEATS => return Err(Errno::EIO),
            Exchange::Died => {
                repeats += 1;
                port.repeated();
                message.begin(operation.number);
            }
        }
    };
    let protocol = || {
        port.violated();
        Errno::EPROTO
    };
    let moved = message.bulk as usize;
    if moved > sent || message.operation != operation.number {
        return Err(protocol());
    }
    match &mut bulk {
        Bulk::None => {}
        Bulk::In(data) => data.skip(moved),
        Bulk::Out(room) => {
            room.write_from(&mut window.input(moved));
        }
    }
    match message.status {
        0 => decode(&mut Decoder::new(&message.words, window, &mut [])).map_err(|_| protocol()),
        number => Err(Errno::from_number(number).unwrap_or_else(protocol)),
    }
}

/// Posts one event.
pub fn post(port: &dyn Port, operation: &'static Operation, words: [u64; crate::message::WORDS]) {
    port.post(operation, Message { operation: operation.number, words, ..Message::default() });
}
