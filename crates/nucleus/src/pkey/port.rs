//! The client's end: a call leaves its message beside the window and enters the server's domain on the same thread.
//!
//! Message and window are the thread's in the domain that it calls from, under that domain's *window key*. The domain
//! itself reaches them, and those that it calls, always, since rights belong to a domain and not to a call: a server
//! that goes wrong may spoil what a client of its has under way with another server. Where keys are few, domains share
//! window keys; the core says so in the kernel's log.

use kd_api::client::{Exchange, Port, Slot};
use kd_api::{Caller, Errno, Message, Operation, Result};

use super::domain::{self, State};
use super::thread::{self, Thread};
use super::{server, space};

/// Calls through the gates.
pub struct GatePort {
    domain: usize,
    member: usize,
    caller: Caller,
}

impl GatePort {
    /// A port to a component, by its domain and its number in that, for one caller. Whoever holds it calls from the domain
    /// that it is in, which is another one.
    pub fn new(domain: usize, member: usize, caller: Caller) -> GatePort {
        GatePort { domain, member, caller }
    }

    fn cross(&self, operation: &'static Operation, message: &Message) -> Option<(usize, usize)> {
        let (own, thread) = (thread::here(), Thread::current()?.number());
        if domain::get(self.domain).wait() != State::Alive {
            return None;
        }
        space::store_message(own, thread, message);
        let app = self.caller.app.0 as usize;
        let answer = thread::call(self.domain, server::serve, app, self.member, operation.blocking).ok()?;
        (answer == server::ANSWERED).then_some((own, thread))
    }
}

impl Port for GatePort {
    fn claim(&self) -> Result<Slot<'_>> {
        let thread = Thread::enlist().map_err(|_| Errno::EAGAIN)?;
        Ok(Slot { index: 0, window: space::window_of(thread::here(), thread.number()) })
    }

    fn exchange(&self, _: &Slot<'_>, operation: &'static Operation, message: &mut Message) -> Exchange {
        match self.cross(operation, message) {
            Some((own, thread)) => {
                *message = space::load_message(own, thread);
                Exchange::Replied
            }
            None => Exchange::Died,
        }
    }

    fn release(&self, _: Slot<'_>) {}

    fn post(&self, operation: &'static Operation, request: Message) {
        // An event is dropped if there is no room for the thread, or no server.
        if Thread::enlist().is_ok() {
            let _ = self.cross(operation, &request);
        }
    }
}
