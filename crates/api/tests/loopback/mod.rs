//! The shortest transport: a port that hands each request to a server at once, through a window, in one thread.

#![allow(dead_code)]

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, mpsc};

use kd_api::client::{Exchange, Port, Slot};
use kd_api::grant::Pool;
use kd_api::server::{Answer, Dispatch, Incoming, Replier, SCRATCH};
use kd_api::window::{WINDOW, Window};
use kd_api::{Caller, Message, Operation, Result};

/// Memory for one window, for as long as the process lives.
pub fn window() -> Window<'static> {
    let memory: &'static mut [u8] = vec![0x55; WINDOW].leak();
    // SAFETY: `WINDOW` leaked bytes to which no reference is left: the slice ends here.
    unsafe { Window::new(NonNull::from(memory).cast()) }
}

/// One request to a server and its answer, deferred ones awaited; `None` for an event.
pub fn deliver(server: &dyn Dispatch, caller: Caller, request: Message, window: Window<'_>) -> Option<Message> {
    deliver_with(server, caller, request, window, &[])
}

/// The same with pools from which the client may have granted a buffer.
pub fn deliver_with(
    server: &dyn Dispatch,
    caller: Caller,
    request: Message,
    window: Window<'_>,
    pools: &[Arc<Pool>],
) -> Option<Message> {
    let (answer, answers) = mpsc::channel();
    let later = || -> Replier {
        let answer = answer.clone();
        Box::new(move |reply| {
            let _ = answer.send(reply);
        })
    };
    let mut scratch = vec![0; SCRATCH];
    let incoming = Incoming { caller, request: &request, window, pools, scratch: &mut scratch, later: &later };
    let mut reply = Message::default();
    let now = server.dispatch(incoming, &mut reply);
    drop(answer);
    match now {
        Answer::Reply => Some(reply),
        Answer::Nothing => answers.recv().ok(),
    }
}

/// The port. What the stub reports of its server is counted.
pub struct Loopback {
    pub server: Arc<dyn Dispatch>,
    pub caller: Caller,
    pub window: Window<'static>,
    pub violations: AtomicU32,
}

// SAFETY: tests use it from one thread at a time; a window is only ever copied from and to.
unsafe impl Sync for Loopback {}

impl Loopback {
    pub fn new(server: Arc<dyn Dispatch>, caller: Caller) -> Loopback {
        Loopback { server, caller, window: window(), violations: AtomicU32::new(0) }
    }
}

impl Port for Loopback {
    fn claim(&self) -> Result<Slot<'_>> {
        Ok(Slot { index: 0, window: self.window })
    }
    fn exchange(&self, _: &Slot<'_>, _: &'static Operation, message: &mut Message) -> Exchange {
        *message = deliver(&*self.server, self.caller, *message, self.window).expect("a call is answered");
        Exchange::Replied
    }
    fn release(&self, _: Slot<'_>) {}
    fn post(&self, _: &'static Operation, request: Message) {
        assert_eq!(deliver(&*self.server, self.caller, request, self.window), None);
    }
    fn violated(&self) {
        self.violations.fetch_add(1, SeqCst);
    }
}
