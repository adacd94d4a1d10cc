//! Calls under way: submitted now, completed later.
//!
//! For an operation marked `#[submittable]` a client can send a request (`submit_...`), do something else, send more, and
//! then wait for the answers, in any order: io_uring's submission and completion, with a [`Ticket`] in place of a queue
//! entry. What lies between decides what happens meanwhile. A server in another process or thread works; where a call
//! needs the caller's own thread, directly or through a gate, it is made at submission and the ticket holds the answer.
//! So the same source is right everywhere, and a caller learns the same from a ticket as from a call.
//!
//! - A domain has as many calls under way to one server as its channel has slots, which its threads share: one more is
//!   answered `EAGAIN`, at once.
//! - No reply writes to the caller's buffer before [`Ticket::complete`]: bytes wait in the slot's window. So a ticket
//!   that is dropped, or forgotten, leaves nothing that points into memory of others. For the same reason it is always
//!   copied, never granted ([`crate::grant`]).
//! - Dropped, a ticket does not take its request back: the call happens, and nobody hears of it. Its slot is claimed
//!   again once the server has answered.
//! - A server that dies is found out at completion, and is what it is for a call: what may be repeated is sent again
//!   (from the caller's buffer, not from a window that the dead server wrote), the rest ends as `EUNKNOWN`.

use crate::client::{Bulk, Claimed, Exchange, Port, after_death, take};
use crate::message::{Message, Operation};
use crate::wire::{Decoder, Encoder, Wire};
use crate::{InBuf, OutBuf, Result};

/// The bulk argument of a submitted call, which the ticket keeps.
pub enum Payload<'t> {
    /// None.
    None,
    /// Bytes going in.
    In(InBuf<'t>),
    /// Room for bytes coming out.
    Out(OutBuf<'t>),
}

impl<'t> Payload<'t> {
    fn bulk(&mut self) -> Bulk<'_, 't> {
        match self {
            Payload::None => Bulk::None,
            Payload::In(data) => Bulk::In(data),
            Payload::Out(room) => Bulk::Out(room),
        }
    }
}

/// A submitted call and the right to its answer.
#[must_use = "a dropped ticket's call still happens, and nobody learns how it ended"]
pub struct Ticket<'t, T>(State<'t, T>);

enum State<'t, T> {
    Answered(Result<T>),
    UnderWay(UnderWay<'t>),
}

/// What it takes to complete a call, or to send it again: the ticket's own copy of the request, since the slot's is
/// where the server may write.
struct UnderWay<'t> {
    port: &'t dyn Port,
    claimed: Option<Claimed<'t>>,
    operation: &'static Operation,
    request: Message,
    payload: Payload<'t>,
}

impl<T> Ticket<'_, T> {
    /// The ticket of a call that was made at submission.
    #[inline]
    pub fn answered(answer: Result<T>) -> Self {
        Ticket(State::Answered(answer))
    }
}

impl<T: Wire> Ticket<'_, T> {
    /// Waits until the call is answered.
    ///
    /// # Errors
    /// As for the call itself.
    pub fn complete(self) -> Result<T> {
        match self.0 {
            State::Answered(answer) => answer,
            State::UnderWay(call) => call.complete(),
        }
    }
}

impl UnderWay<'_> {
    fn complete<T: Wire>(mut self) -> Result<T> {
        let Some(claimed) = self.claimed.take() else { return Err(crate::Errno::EIO) };
        let mut message = self.request;
        let end = self.port.complete(&claimed.slot, self.operation, &mut message);
        self.settle(&claimed, end, message)
    }

    /// From the end of the first exchange to the answer.
    fn settle<T: Wire>(&mut self, claimed: &Claimed<'_>, mut end: Exchange, mut message: Message) -> Result<T> {
        let UnderWay { port, operation, request, payload, .. } = self;
        let mut repeats = 0;
        while end == Exchange::Died {
            after_death(*port, operation, &mut repeats)?;
            message = Message { sequence: 0, ..*request };
            payload.bulk().send(claimed.slot.window);
            end = port.exchange(&claimed.slot, operation, &mut message);
        }
        let sent = request.bulk as usize;
        let about = (*operation, claimed.slot.window);
        take(*port, about, &message, (sent, false, &mut payload.bulk()), |from: &mut Decoder<'_>| T::get(from))
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(claimed) = self.claimed.take() {
            claimed.abandon();
        }
    }
}

/// Sends one call, whose arguments are words and at most one buffer; what goes wrong is the ticket's answer.
pub fn submit<'t, T: Wire>(
    port: &'t dyn Port,
    operation: &'static Operation,
    payload: Payload<'t>,
    encode: impl FnOnce(&mut Encoder<'_>) -> Result<()>,
) -> Ticket<'t, T> {
    let mut request = Message { operation: operation.number, ..Message::default() };
    let claimed = encode(&mut Encoder::words_only(&mut request.words)).and_then(|()| Claimed::new(port));
    let claimed = match claimed {
        Ok(claimed) => claimed,
        Err(errno) => return Ticket::answered(Err(errno)),
    };
    let mut call = UnderWay { port, claimed: None, operation, request, payload };
    call.request.bulk = call.payload.bulk().send(claimed.slot.window) as u32;
    let mut message = call.request;
    match port.submit(&claimed.slot, operation, &mut message) {
        None => {
            // The number of the exchange, which the port wants to see again.
            call.request.sequence = message.sequence;
            call.claimed = Some(claimed);
            Ticket(State::UnderWay(call))
        }
        // Made in place: its window may serve this thread's next call, so everything is taken out of it now.
        Some(end) => Ticket::answered(call.settle(&claimed, end, message)),
    }
}
