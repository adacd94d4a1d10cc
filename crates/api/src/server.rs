//! The server's half of every transport: a message, hostile until checked, becomes a call.

use alloc::boxed::Box;

use crate::message::{InterfaceInfo, Message};
use crate::window::Window;
use crate::wire::{Decoder, Encoder, Wire};
use crate::{Caller, Completion, Errno, InBuf, OutBuf, Result};

/// Bytes of scratch memory a server thread must bring: strings of a request are copied there.
pub const SCRATCH: usize = crate::window::SPILL;

/// Answers a deferred call, whenever that may be; made by the transport on request.
pub type Replier = Box<dyn FnOnce(Answer) + Send>;

/// One request as a server thread has taken it up: the message is already a private copy.
pub struct Incoming<'a> {
    /// Who sent it, as the channel says.
    pub caller: Caller,
    /// The request.
    pub request: Message,
    /// The slot's window.
    pub window: Window<'a>,
    /// [`SCRATCH`] bytes of the serving thread.
    pub scratch: &'a mut [u8],
    /// Makes the means to answer later; used by deferred operations alone.
    pub later: &'a dyn Fn() -> Replier,
}

/// What a server thread sends back now.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// This reply.
    Reply(Message),
    /// Nothing: an event, or a call that is answered later.
    Nothing,
}

/// An interface's server: any component behind the operations of its interface.
pub trait Dispatch: Send + Sync {
    /// The interface served.
    fn info(&self) -> &'static InterfaceInfo;
    /// Turns one request into one call. Malformed requests are answered [`Errno::EBADMSG`], unknown operations
    /// [`Errno::ENOSYS`].
    fn dispatch(&self, incoming: Incoming<'_>) -> Answer;
}

impl<'a> Incoming<'a> {
    /// A decoder for the arguments, and the bulk data as input and as room.
    pub fn open(self) -> (Decoder<'a>, InBuf<'a>, OutBuf<'a>) {
        let bulk = self.request.bulk as usize;
        (Decoder::new(self.request.words, self.window, self.scratch), self.window.input(bulk), self.window.output(bulk))
    }
}

/// A reply that refuses.
pub fn refuse(operation: u16, errno: Errno) -> Answer {
    Answer::Reply(Message { operation, status: errno as i16, ..Message::default() })
}

/// A reply with a result; `bulk` is the bytes consumed or written.
pub fn reply<T: Wire>(operation: u16, window: Window<'_>, bulk: usize, result: Result<T>) -> Answer {
    let mut encoder = Encoder::new(window);
    match result.and_then(|value| value.put(&mut encoder)) {
        Ok(()) => Answer::Reply(Message { operation, bulk: bulk as u32, words: encoder.words(), ..Message::default() }),
        Err(errno) => {
            Answer::Reply(Message { operation, status: errno as i16, bulk: bulk as u32, ..Message::default() })
        }
    }
}

/// A completion that sends its result through `replier`. The result must fit into words: a deferred reply may outlive
/// the claim on the slot's window, so nothing is spilled.
pub fn completion<T: Wire + 'static>(operation: u16, replier: Replier) -> Completion<T> {
    Completion::new(move |result: Result<T>| {
        let mut encoder = Encoder::words_only();
        let reply = match result.and_then(|value| value.put(&mut encoder)) {
            Ok(()) => Message { operation, words: encoder.words(), ..Message::default() },
            Err(errno) => Message { operation, status: errno as i16, ..Message::default() },
        };
        replier(Answer::Reply(reply));
    })
}
