//! The client's end: slots with windows in memory of their own, answers through crossbeam channels of capacity one.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::*};

use crossbeam::channel::{Receiver, Sender, bounded};
use kd_api::client::{Exchange, Port, Slot};
use kd_api::window::{WINDOW, Window};
use kd_api::{Caller, Errno, Message, Operation, Result};
use kd_machine::memory::{Mapping, Memory};
use kd_nucleus::watch;

use super::server::{Answered, Sent, Server};

/// Calls one holder can have under way; more than threads of any server, since all callers share one client.
const SLOTS: usize = 16;

struct Place {
    window: NonNull<u8>,
    /// Of the last request: an answer with another number is a late one, to a request before.
    number: AtomicU32,
    answers: (Sender<Answered>, Receiver<Answered>),
}

/// Calls through threads.
pub struct ThreadPort {
    server: Arc<Server>,
    caller: Caller,
    places: Vec<Place>,
    free: AtomicU32,
    /// Slots whose answer nobody waits for; free once it is there.
    abandoned: AtomicU32,
}

// SAFETY: a place's window is used by whoever claimed its slot, and by the server while that one waits; both only copy.
unsafe impl Send for ThreadPort {}
// SAFETY: as above.
unsafe impl Sync for ThreadPort {}

impl ThreadPort {
    /// A port to a server, for one caller.
    pub fn new(server: &Arc<Server>, caller: Caller) -> ThreadPort {
        // Outside the kernel's heap, as a channel's windows are, and never unmapped: a server's thread that hangs may
        // hold one for ever. Without memory there are no slots, and every call is told to try again.
        let windows = Memory::new("kd-windows", SLOTS * WINDOW).and_then(|memory| memory.map()).map(Mapping::leak);
        let place = |windows: NonNull<u8>, slot: usize| {
            // SAFETY: `slot` is below `SLOTS`, so this stays within the mapping.
            let window = unsafe { windows.add(slot * WINDOW) };
            Place { window, number: AtomicU32::new(0), answers: bounded(1) }
        };
        let places: Vec<Place> =
            windows.into_iter().flat_map(|at| (0..SLOTS).map(move |slot| place(at, slot))).collect();
        let free = if places.is_empty() { 0 } else { (1 << SLOTS) - 1 };
        ThreadPort { server: server.clone(), caller, places, free: AtomicU32::new(free), abandoned: AtomicU32::new(0) }
    }

    fn window(&self, index: usize) -> Window<'static> {
        // SAFETY: `WINDOW` bytes of a mapping that is never unmapped and to which no reference exists.
        unsafe { Window::new(self.places[index].window) }
    }

    /// A slot that was given up and has been answered since: its answer is thrown away.
    #[cold]
    fn reclaim(&self) -> Option<usize> {
        (0..self.places.len()).find(|index| {
            let bit = 1 << index;
            let ours = self.abandoned.load(Relaxed) & bit != 0 && self.abandoned.fetch_and(!bit, Acquire) & bit != 0;
            let answered = ours && self.places[*index].answers.1.try_recv().is_ok();
            if ours && !answered {
                self.abandoned.fetch_or(bit, Release);
            }
            answered
        })
    }
}

impl Port for ThreadPort {
    fn claim(&self) -> Result<Slot<'_>> {
        let mut free = self.free.load(Relaxed);
        loop {
            if free == 0 {
                let index = self.reclaim().ok_or(Errno::EAGAIN)?;
                return Ok(Slot { index, window: self.window(index) });
            }
            let index = free.trailing_zeros() as usize;
            match self.free.compare_exchange_weak(free, free & (free - 1), Acquire, Relaxed) {
                Ok(_) => return Ok(Slot { index, window: self.window(index) }),
                Err(now) => free = now,
            }
        }
    }

    fn exchange(&self, slot: &Slot<'_>, operation: &'static Operation, message: &mut Message) -> Exchange {
        self.submit(slot, operation, message).unwrap_or_else(|| self.complete(slot, operation, message))
    }

    fn submit(&self, slot: &Slot<'_>, _: &'static Operation, message: &mut Message) -> Option<Exchange> {
        let Place { number, answers: (answer, _), .. } = &self.places[slot.index];
        // Whoever holds the slot counts alone.
        message.sequence = number.load(Relaxed).wrapping_add(1);
        number.store(message.sequence, Relaxed);
        let (window, answer) = (self.window(slot.index), Some(answer.clone()));
        let sent = Sent { caller: self.caller, request: *message, window, answer };
        self.server.requests.send(sent).is_err().then_some(Exchange::Died)
    }

    fn complete(&self, slot: &Slot<'_>, _: &'static Operation, message: &mut Message) -> Exchange {
        // The caller may be a thread that keeps watch over an app's port: a colleague must while it waits.
        watch::about_to_wait();
        let answers = &self.places[slot.index].answers.1;
        let late = |answer: &Answered| answer.is_some_and(|reply| reply.sequence != message.sequence);
        let mut answer = answers.recv();
        while answer.as_ref().is_ok_and(late) {
            answer = answers.recv();
        }
        watch::done_waiting();
        match answer {
            Ok(Some(reply)) => {
                *message = reply;
                Exchange::Replied
            }
            Ok(None) | Err(_) => Exchange::Died,
        }
    }

    fn release(&self, slot: Slot<'_>) {
        self.free.fetch_or(1 << slot.index, Release);
    }

    fn abandon(&self, slot: Slot<'_>) {
        self.abandoned.fetch_or(1 << slot.index, Release);
    }

    fn post(&self, _: &'static Operation, request: Message) {
        // Events carry words only; any window will do for the server not to look at.
        let _ = self.server.requests.send(Sent { caller: self.caller, request, window: self.window(0), answer: None });
    }
}
