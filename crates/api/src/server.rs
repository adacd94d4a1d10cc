//! The server's half of every transport: a message, hostile until checked, becomes a call.

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::grant::Pool;
use crate::message::{InterfaceInfo, Message};
use crate::window::Window;
use crate::wire::{Decoder, Encoder, Wire};
use crate::{Caller, Completion, Errno, InBuf, OutBuf, Result};

/// Bytes of scratch memory a server thread must bring: strings of a request are copied there.
pub const SCRATCH: usize = crate::window::SPILL;

/// Answers a deferred call, whenever that may be; made by the transport on request.
pub type Replier = Box<dyn FnOnce(Message) + Send>;

/// One request as a server thread has taken it up: the message is already a private copy.
pub struct Incoming<'a> {
    /// Who sent it, as the channel says.
    pub caller: Caller,
    /// The request.
    pub request: &'a Message,
    /// The slot's window.
    pub window: Window<'a>,
    /// The pools from which this client may grant buffers, in the order of their numbers.
    pub pools: &'a [Arc<Pool>],
    /// [`SCRATCH`] bytes of the serving thread.
    pub scratch: &'a mut [u8],
    /// Makes the means to answer later; used by deferred operations alone.
    pub later: &'a dyn Fn() -> Replier,
}

/// What a server thread sends back now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The reply.
    Reply,
    /// Nothing: an event, or a call that is answered later.
    Nothing,
}

/// An interface's server: any component behind the operations of its interface.
pub trait Dispatch: Send + Sync {
    /// The interface served.
    fn info(&self) -> &'static InterfaceInfo;
    /// Turns one request into one call, and its result into `reply`, which holds anything before: whoever answers begins
    /// it anew, so that nothing of an earlier reply goes out. Malformed requests are answered
    /// [`EBADMSG`](crate::Errno::EBADMSG), unknown operations [`ENOSYS`](crate::Errno::ENOSYS).
    fn dispatch(&self, incoming: Incoming<'_>, reply: &mut Message) -> Answer;
}

impl<'a> Incoming<'a> {
    /// A decoder for the arguments, and the bulk data as input and as room; [`Errno::EBADMSG`] for a grant of what is not in
    /// the pool that it names.
    #[inline]
    pub fn open(self) -> Result<(Decoder<'a>, InBuf<'a>, OutBuf<'a>)> {
        let bulk = self.request.bulk as usize;
        let (input, output) = match self.request.status {
            0 => (self.window.input(bulk), self.window.output(bulk)),
            pool => self.granted(pool, bulk).ok_or(Errno::EBADMSG)?,
        };
        Ok((Decoder::new(&self.request.words, self.window, self.scratch), input, output))
    }

    fn granted(&self, pool: i16, bulk: usize) -> Option<(InBuf<'a>, OutBuf<'a>)> {
        let pool = self.pools.get(usize::try_from(pool).ok()?.checked_sub(1)?)?;
        let mut offset = [0; 8];
        self.window.input(8).read(&mut offset);
        pool.lend(u64::from_ne_bytes(offset), bulk)
    }
}

/// A reply with a result; `bulk` is the bytes consumed or written.
#[inline]
pub fn reply<T: Wire>(operation: u16, window: Window<'_>, bulk: usize, result: Result<T>, reply: &mut Message) {
    reply.begin(operation);
    if let Err(errno) = result.and_then(|value| value.put(&mut Encoder::new(&mut reply.words, window))) {
        reply.refuse(operation, errno);
    }
    reply.bulk = bulk as u32;
}

/// A completion that sends its result through `replier`. The result must fit into words: a deferred reply may outlive
/// the claim on the slot's window, so nothing is spilled.
pub fn completion<T: Wire + 'static>(operation: u16, replier: Replier) -> Completion<T> {
    Completion::new(move |result: Result<T>| {
        let mut reply = Message::default();
        reply.begin(operation);
        if let Err(errno) = result.and_then(|value| value.put(&mut Encoder::words_only(&mut reply.words))) {
            reply.refuse(operation, errno);
        }
        replier(reply);
    })
}
