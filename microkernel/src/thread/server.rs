//! The server's end: threads that take requests from a crossbeam channel.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, unbounded};
use kd_api::server::{Answer, Dispatch, Incoming, Replier, SCRATCH};
use kd_api::window::Window;
use kd_api::{Caller, Errno, Message};
use kd_nucleus::threads;

/// How often a thread looks whether a dead instance has been replaced.
const REPLACING: Duration = Duration::from_micros(200);

/// What comes back: the reply, or nothing from a server that died.
pub type Answered = Option<Message>;

/// A request on its way; the client waits on `answer`, or nobody does.
pub struct Sent {
    /// Who sent it: known to the port, not part of the message.
    pub caller: Caller,
    /// The message.
    pub request: Message,
    /// The slot's window: alive until the answer is taken, because the client's port holds it.
    pub window: Window<'static>,
    /// Where the answer goes; `None` for an event.
    pub answer: Option<Sender<Answered>>,
}

/// One component's threads.
pub struct Server {
    /// Requests.
    pub requests: Sender<Sent>,
    queue: Receiver<Sent>,
    dispatch: RwLock<Arc<dyn Dispatch>>,
    threads: u32,
    blocking: AtomicU32,
    died: AtomicBool,
    name: String,
}

/// What a thread works on: enough to say that its server died.
struct Current {
    server: Arc<Server>,
    answer: Option<Sender<Answered>>,
    blocking: bool,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

impl Server {
    /// Starts the threads.
    pub fn start(dispatch: Arc<dyn Dispatch>, name: &str, threads: u32) -> Arc<Server> {
        let (requests, queue) = unbounded();
        let server = Arc::new(Server {
            requests,
            queue,
            dispatch: RwLock::new(dispatch),
            threads: threads.max(2),
            blocking: AtomicU32::new(0),
            died: AtomicBool::new(false),
            name: name.into(),
        });
        for _ in 0..server.threads {
            server.clone().start_thread();
        }
        server
    }

    fn start_thread(self: Arc<Self>) {
        // With fewer threads than asked for the server still answers, only fewer blocking calls at once.
        let _ = threads::spawn(self.name.clone(), move || self.work());
    }

    fn work(self: &Arc<Self>) {
        let mut scratch = vec![0; SCRATCH];
        while let Ok(sent) = self.queue.recv() {
            // What a dead instance held it holds for ever: nobody enters it again, its successor is on its way.
            while self.died.load(Acquire) {
                std::thread::sleep(REPLACING);
            }
            let served = catch_unwind(AssertUnwindSafe(|| self.serve(sent, &mut scratch)));
            if served.is_err() {
                report_death();
                self.clone().start_thread();
                return;
            }
        }
    }

    fn serve(self: &Arc<Self>, sent: Sent, scratch: &mut [u8]) {
        let Sent { caller, request, window, answer } = sent;
        let dispatch = self.dispatch.read().unwrap_or_else(PoisonError::into_inner).clone();
        let blocking = dispatch.info().operation(request.operation).is_some_and(|operation| operation.blocking);
        if blocking && self.blocking.fetch_add(1, AcqRel) + 1 >= self.threads {
            self.blocking.fetch_sub(1, AcqRel);
            let mut reply = Message::default();
            reply.refuse(request.operation, Errno::EAGAIN);
            return send(&answer, request, reply);
        }
        CURRENT.set(Some(Current { server: self.clone(), answer: answer.clone(), blocking }));
        let later = || -> Replier {
            let answer = answer.clone();
            Box::new(move |reply| send(&answer, request, reply))
        };
        let mut reply = Message::default();
        let incoming = Incoming { caller, request: &request, window, pools: &[], scratch, later: &later };
        let now = dispatch.dispatch(incoming, &mut reply);
        CURRENT.set(None);
        if blocking {
            self.blocking.fetch_sub(1, AcqRel);
        }
        if now == Answer::Reply {
            send(&answer, request, reply);
        }
    }

    /// Whether a thread died since the instance was started.
    pub fn died(&self) -> bool {
        self.died.load(Acquire)
    }

    /// Serves a fresh instance from now on.
    pub fn replace(&self, dispatch: Arc<dyn Dispatch>) {
        *self.dispatch.write().unwrap_or_else(PoisonError::into_inner) = dispatch;
        self.died.store(false, Release);
    }
}

fn send(answer: &Option<Sender<Answered>>, request: Message, reply: Message) {
    if let Some(answer) = answer {
        // A client that is gone needs no answer.
        let _ = answer.send(Some(Message { sequence: request.sequence, ..reply }));
    }
}

/// Answers the calling thread's request with "the server died", and has the component started anew.
fn report_death() {
    if let Some(current) = CURRENT.take() {
        current.server.died.store(true, Release);
        if current.blocking {
            current.server.blocking.fetch_sub(1, AcqRel);
        }
        if let Some(answer) = current.answer {
            let _ = answer.send(None);
        }
    }
}

/// Ends the calling thread where it stands, as after a fault that must not unwind; another takes its place.
pub fn abandon_thread() -> ! {
    let server = CURRENT.with_borrow(|current| current.as_ref().map(|current| current.server.clone()));
    report_death();
    match server {
        Some(server) => server.start_thread(),
        // A panic outside any call is the kernel's own.
        None => std::process::abort(),
    }
    loop {
        std::thread::park();
    }
}
