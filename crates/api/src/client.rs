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
    /// Sends the request in a claimed slot and does not wait for its reply, if the transport can have a call under way
    /// that no thread waits for. By default it cannot: the call is made now, and how it ended is returned.
    fn submit(&self, slot: &Slot<'_>, operation: &'static Operation, message: &mut Message) -> Option<Exchange> {
        Some(self.exchange(slot, operation, message))
    }
    /// Waits for the reply to the request that was submitted in this slot, and leaves it in `message`, which holds what
    /// [`Port::submit`] left there. Called at most once for each submission that is under way.
    fn complete(&self, _: &Slot<'_>, _: &'static Operation, _: &mut Message) -> Exchange {
        Exchange::Died
    }
    /// Gives a slot back whose reply nobody will wait for. The window is the server's until it answered: only then
    /// may the slot be claimed again.
    fn abandon(&self, slot: Slot<'_>) {
        self.release(slot);
    }
    /// Which pool of those that the server maps as well has these bytes, by its number from 1, and at which offset; `None`
    /// where they must be copied.
    fn grant(&self, _at: *const u8, _len: usize) -> Option<(i16, u64)> {
        None
    }
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

impl Bulk<'_, '_> {
    /// Copies what goes in to a window; the bytes that are sent, or offered as room.
    #[inline]
    pub(crate) fn send(&self, window: Window<'_>) -> usize {
        match self {
            Bulk::None => 0,
            Bulk::In(data) => window.output(data.remaining()).write_from(&mut data.again()),
            Bulk::Out(room) => room.remaining().min(crate::window::BULK),
        }
    }

    /// The same without a copy, where the bytes lie in a pool that both sides map; the pool's number is the request's
    /// status. Private memory, which a slice is, lies in none.
    #[inline]
    fn grant(&self, port: &dyn Port, window: Window<'_>, status: &mut i16) -> Option<usize> {
        let (at, len) = match self {
            Bulk::None => None,
            Bulk::In(data) => data.as_shared(),
            Bulk::Out(room) => room.as_shared(),
        }?;
        let (pool, offset) = port.grant(at, len).filter(|_| u32::try_from(len).is_ok())?;
        window.output(8).write(&offset.to_ne_bytes());
        *status = pool;
        Some(len)
    }

    /// Takes what came out from a window, or from where it was granted.
    #[inline]
    fn receive(&mut self, window: Window<'_>, moved: usize, granted: bool) {
        match self {
            Bulk::None => {}
            Bulk::In(data) => data.skip(moved),
            Bulk::Out(room) if granted => room.written_by_peer(moved),
            Bulk::Out(room) => {
                room.write_from(&mut window.input(moved));
            }
        }
    }
}

/// A claimed slot, given back when dropped.
pub(crate) struct Claimed<'a> {
    port: &'a dyn Port,
    pub(crate) slot: Slot<'a>,
}

impl<'a> Claimed<'a> {
    #[inline]
    pub(crate) fn new(port: &'a dyn Port) -> Result<Claimed<'a>> {
        Ok(Claimed { port, slot: port.claim()? })
    }

    /// Gives the slot back although its server has not answered yet.
    pub(crate) fn abandon(self) {
        let Slot { index, window } = self.slot;
        let port = self.port;
        core::mem::forget(self);
        port.abandon(Slot { index, window });
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        let Slot { index, window } = self.slot;
        self.port.release(Slot { index, window });
    }
}

/// What the death of the server means for a call that it had: `Ok` if it is to be sent again.
#[inline]
pub(crate) fn after_death(port: &dyn Port, operation: &Operation, repeats: &mut u32) -> Result<()> {
    if !operation.idempotent {
        port.unknown();
        return Err(Errno::EUNKNOWN);
    }
    if *repeats == REPEATS {
        return Err(Errno::EIO);
    }
    *repeats += 1;
    port.repeated();
    Ok(())
}

/// Checks a reply to a request that sent, or had room for, so many bytes, copied or granted; takes the bytes and the result
/// out of it.
#[inline]
pub(crate) fn take<R>(
    port: &dyn Port,
    (operation, window): (&Operation, Window<'_>),
    message: &Message,
    (sent, granted, bulk): (usize, bool, &mut Bulk<'_, '_>),
    decode: impl FnOnce(&mut Decoder<'_>) -> Result<R>,
) -> Result<R> {
    let protocol = || {
        port.violated();
        Errno::EPROTO
    };
    let moved = message.bulk as usize;
    if moved > sent || message.operation != operation.number {
        return Err(protocol());
    }
    bulk.receive(window, moved, granted);
    match message.status {
        0 => decode(&mut Decoder::new(&message.words, window, &mut [])).map_err(|_| protocol()),
        number => Err(Errno::from_number(number).unwrap_or_else(protocol)),
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
    let claimed = Claimed::new(port)?;
    let (slot, window) = (&claimed.slot, claimed.slot.window);
    let mut repeats = 0;
    let mut message = Message { operation: operation.number, ..Message::default() };
    let (sent, granted) = loop {
        encode(&mut Encoder::new(&mut message.words, window))?;
        let granted = bulk.grant(port, window, &mut message.status);
        let sent = granted.unwrap_or_else(|| bulk.send(window));
        message.bulk = sent as u32;
        match port.exchange(slot, operation, &mut message) {
            Exchange::Replied => break (sent, granted.is_some()),
            Exchange::Died => after_death(port, operation, &mut repeats)?,
        }
        message.begin(operation.number);
    };
    take(port, (operation, window), &message, (sent, granted, &mut bulk), decode)
}

/// Posts one event.
pub fn post(port: &dyn Port, operation: &'static Operation, words: [u64; crate::message::WORDS]) {
    port.post(operation, Message { operation: operation.number, words, ..Message::default() });
}
