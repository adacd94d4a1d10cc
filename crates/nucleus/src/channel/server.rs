//! The server's end of its clients' channels: a bounded pool of threads.
//!
//! At most one thread polls, the *watcher*. A watcher that takes a short call up keeps the watch: it will be back soon.
//! When it must wait for somebody else (a nested call, a full pipe) it hands the watch over. In `Block` mode nobody
//! polls, but who was woken has the watch until it sleeps again, so that a client that it has answered, and that calls
//! again before it sleeps, wakes no second thread for nothing. All idle threads but the watcher sleep on the server's
//! bell.
//!
//! A channel's `attention` reads `AWAKE` only between the moments at which a watcher begins and ends his watch; only
//! the holder of the watch writes it. Who stops watching, or goes to sleep, first says so, then looks for requests once
//! more; a client first publishes, then reads `attention`; full barriers on both sides, so that one of them sees the
//! other (Dekker's argument). A sleeper notes the bell before that last look, so that a ring in between is not lost.
//!
//! A pool may have a [`Gate`]: while that is shut, requests stay where they are, for whoever opens it or comes instead.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

use kd_api::server::{Answer, Dispatch, Incoming, Replier, SCRATCH};
use kd_api::{Caller, Errno, Message};

use super::bell::Bell;
use super::gate::{CLOSING, Gate, OPEN};
use super::layout::{CALL_SLOTS, Channel, Line};
use super::state::{ASLEEP, AWAKE, CLOSED, IDLE, REPLY, REQUEST, State};
use super::{Patience, SERVER_HEAD_START, Wait};
use crate::futex;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering::*, fence};
use crate::sync::thread_local;
use crate::threads;
use crate::watch::{self, Watch};

/// A server's threads and the channels they answer.
pub struct Pool {
    clients: &'static [(Channel, Caller)],
    bell: Bell,
    dispatch: Arc<dyn Dispatch>,
    wait: Wait,
    threads: u32,
    gate: Option<Gate<'static>>,
    /// The thread that watches, by number from 1; 0 for nobody.
    watcher: AtomicU32,
    /// Blocking calls under way.
    blocking: AtomicU32,
    /// Threads that left for good, by [`abandon_current`].
    lost: AtomicU32,
    /// Threads started in their place so far.
    replaced: AtomicU32,
    /// Whether the first thread is the only one yet, and what it does to have the others.
    alone: AtomicBool,
    others: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

/// The call that a thread works on: what is needed to answer it in the thread's stead.
#[derive(Clone, Copy)]
struct Current {
    pool: &'static Pool,
    client: usize,
    slot: usize,
    sequence: u32,
    operation: u16,
    blocking: bool,
}

/// Where a request was taken up.
struct Taken {
    client: usize,
    slot: usize,
}

thread_local! {
    /// This thread's number in its pool, from 1.
    static NUMBER: Cell<u32> = const { Cell::new(0) };
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
}

/// Answers the calling thread's call with an error, in its stead, because it will never get to it; `false` if the
/// thread serves no call. To be called on the way out of a fault: takes no lock, allocates nothing, frees nothing.
pub fn abandon_current(errno: Errno) -> bool {
    let Some(Current { pool, client, slot, sequence, operation, blocking }) = CURRENT.take() else { return false };
    pool.leaving();
    if blocking {
        pool.blocking.fetch_sub(1, AcqRel);
    }
    pool.lost.fetch_add(1, AcqRel);
    let line = &pool.clients[client].0.lines()[slot];
    pool.refuse(line, slot, &Message { sequence, operation, ..Message::default() }, errno);
    true
}

/// Answers in every slot of the calling thread's server in which nobody asks anything, as a server that is told to fail may;
/// `false` if the thread serves no call.
pub fn answer_unasked() -> bool {
    let Some(Current { pool, .. }) = CURRENT.get() else { return false };
    for (channel, _) in pool.clients {
        for line in channel.lines()[..CALL_SLOTS].iter().filter(|line| line.state().what() != REQUEST) {
            let number = line.state().number().wrapping_add(1) & 0xff_ffff;
            line.write(&Message { sequence: number, ..Message::default() });
            line.state.store(State::new(REPLY, number).0, Release);
        }
    }
    true
}

impl Pool {
    /// A pool of `threads` (at least 2: one is never lent to a blocking call) that answers `clients`, whose channels
    /// were made with `bell`, through `dispatch`. It lives as long as the process.
    pub fn new(
        clients: Vec<(Channel, Caller)>,
        bell: Bell,
        dispatch: Arc<dyn Dispatch>,
        wait: Wait,
        threads: u32,
    ) -> &'static Pool {
        Pool::gated(clients, bell, dispatch, wait, threads, None)
    }

    /// The same, behind a gate that nobody else is behind.
    pub fn gated(
        clients: Vec<(Channel, Caller)>,
        bell: Bell,
        dispatch: Arc<dyn Dispatch>,
        wait: Wait,
        threads: u32,
        gate: Option<Gate<'static>>,
    ) -> &'static Pool {
        let pool = Pool {
            clients: clients.leak(),
            bell,
            dispatch,
            wait,
            threads: threads.max(2),
            gate,
            watcher: AtomicU32::new(0),
            blocking: AtomicU32::new(0),
            lost: AtomicU32::new(0),
            replaced: AtomicU32::new(0),
            alone: AtomicBool::new(false),
            others: Mutex::new(None),
        };
        pool.set_attention(ASLEEP);
        Box::leak(Box::new(pool))
    }

    /// Starts the threads.
    pub fn start(&'static self) {
        (1..=self.threads).for_each(|number| self.start_thread(number));
    }

    /// Starts all threads but one and makes the calling thread the last; never returns.
    pub fn run(&'static self) -> ! {
        (2..=self.threads).for_each(|number| self.start_thread(number));
        self.work(1)
    }

    /// Makes the calling thread the first, which takes a request up that waits already: nobody has to be woken for that, nor comes
    /// in its way. When it has answered, or must wait, it has the second started, which does `meanwhile` and starts all others.
    pub fn lead(&'static self, meanwhile: impl FnOnce() + Send + 'static) -> ! {
        let second = move || {
            (3..=self.threads).for_each(|number| self.start_thread(number));
            meanwhile();
            self.work(2)
        };
        let call = || {
            // With one thread alone nobody answers while it waits; its supervisor starts another process.
            threads::spawn("server-2".into(), second).unwrap_or_else(|_| std::process::abort());
        };
        *self.others.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(call));
        self.alone.store(true, Relaxed);
        NUMBER.set(1);
        watch::join(self);
        let (mut request, mut reply) = (Message::default(), Message::default());
        if self.watches(1)
            && let Some(taken) = self.take(&mut request)
        {
            self.serve(taken, &request, &mut reply, &mut vec![0; SCRATCH]);
        }
        self.call_others();
        self.work(1)
    }

    /// Has the others started, if they are not yet.
    #[inline]
    fn call_others(&self) {
        if self.alone.load(Relaxed) && self.alone.swap(false, Relaxed) {
            let others = self.others.lock().unwrap_or_else(PoisonError::into_inner).take();
            others.into_iter().for_each(|call| call());
        }
    }

    /// Replaces threads that left for good.
    pub fn replenish(&'static self) {
        for _ in 0..self.lost.swap(0, AcqRel) {
            // Any number that no living thread bears will do; the watch was handed over when its holder left.
            self.start_thread(self.threads + 1 + self.replaced.fetch_add(1, Relaxed));
        }
    }

    fn start_thread(&'static self, number: u32) {
        // With fewer threads than asked for the server still answers, only fewer blocking calls at once.
        let _ = threads::spawn(format!("server-{number}"), move || self.work(number));
    }

    fn work(&'static self, number: u32) -> ! {
        NUMBER.set(number);
        watch::join(self);
        let mut scratch = vec![0; SCRATCH];
        let (mut request, mut reply) = (Message::default(), Message::default());
        loop {
            let taken = self.next(number, &mut request);
            self.serve(taken, &request, &mut reply, &mut scratch);
        }
    }

    /// The next request, taken up.
    fn next(&self, me: u32, request: &mut Message) -> Taken {
        let mut wait = self.wait.now();
        let mut patience = Patience::new(wait, SERVER_HEAD_START);
        loop {
            if self.watches(me) {
                if let Some(taken) = self.take(request) {
                    return taken;
                }
                if wait != Wait::Block && !patience.is_idle() && patience.poll_again() {
                    continue;
                }
                self.stop_watching(me);
            }
            let rung = self.bell.rung();
            fence(SeqCst);
            if self.pending() && self.watches(me) {
                continue;
            }
            self.bell.sleep(rung);
            wait = self.wait.now();
            patience = Patience::new(wait, SERVER_HEAD_START);
        }
    }

    /// Whether this thread holds the watch, or just became the watcher.
    fn watches(&self, me: u32) -> bool {
        match self.watcher.load(Relaxed) {
            0 => {}
            watcher => return watcher == me,
        }
        let won = self.watcher.compare_exchange(0, me, SeqCst, Relaxed).is_ok();
        if won {
            self.set_attention(AWAKE);
        }
        won
    }

    fn stop_watching(&self, me: u32) {
        if self.watcher.load(Relaxed) == me {
            self.set_attention(ASLEEP);
            self.watcher.store(0, SeqCst);
        }
    }

    fn set_attention(&self, to: u32) {
        for (channel, _) in self.clients {
            let now = channel.attention().load(Relaxed);
            if now != to && now != CLOSED {
                let _ = channel.attention().compare_exchange(now, to, SeqCst, Relaxed);
            }
        }
    }

    /// Takes up one request, if there is any. Only the watcher may: nobody else writes `taken`.
    fn take(&self, request: &mut Message) -> Option<Taken> {
        if self.gate.is_some_and(Gate::keeps_out) {
            return None;
        }
        for (client, (channel, _)) in self.clients.iter().enumerate() {
            for (slot, line) in channel.lines().iter().enumerate() {
                let state = line.state();
                if state.what() != REQUEST {
                    continue;
                }
                let taken = &channel.taken()[slot];
                if taken.load(Relaxed) == state.previous() {
                    taken.store(state.number(), Release);
                    line.read(request);
                    return Some(Taken { client, slot });
                }
            }
        }
        None
    }

    /// Whether there is a request that nobody has taken up and somebody may, or a gate to be shut.
    fn pending(&self) -> bool {
        match self.gate.map(Gate::state) {
            None | Some(OPEN) => {}
            // Somebody must watch to say that it is shut.
            Some(now) => return now == CLOSING,
        }
        self.clients.iter().any(|(channel, _)| {
            let mut slots = channel.lines().iter().zip(channel.taken()).map(|(line, taken)| (line.state(), taken));
            slots.any(|(state, taken)| state.what() == REQUEST && taken.load(Relaxed) == state.previous())
        })
    }

    /// Answers one request. What `reply` holds before is of no account: whoever answers begins it anew.
    fn serve(&'static self, Taken { client, slot }: Taken, request: &Message, reply: &mut Message, scratch: &mut [u8]) {
        let (channel, caller) = &self.clients[client];
        let line = &channel.lines()[slot];
        let operation = self.dispatch.info().operation(request.operation);
        let (event, blocking) = operation.map_or((false, false), |operation| (operation.event, operation.blocking));
        if event != (slot >= CALL_SLOTS) {
            // An event in a call's slot would never be answered, a call in an event's slot never be taken back.
            return self.refuse(line, slot, request, Errno::EBADMSG);
        }
        if event {
            line.state.store(State::new(IDLE, line.state().number()).0, Release);
        }
        if blocking && self.blocking.fetch_add(1, AcqRel) + 1 >= self.threads {
            self.blocking.fetch_sub(1, AcqRel);
            return self.refuse(line, slot, request, Errno::EAGAIN);
        }
        let window = channel.window(slot);
        let Message { sequence, operation, .. } = *request;
        let later = || -> Replier { Box::new(move |mut reply| self.answer(line, slot, sequence, &mut reply)) };
        CURRENT.set((!event).then_some(Current { pool: self, client, slot, sequence, operation, blocking }));
        let incoming = Incoming { caller: *caller, request, window, pools: channel.pools(), scratch, later: &later };
        let answer = self.dispatch.dispatch(incoming, reply);
        CURRENT.set(None);
        if blocking {
            self.blocking.fetch_sub(1, AcqRel);
        }
        if answer == Answer::Reply && !event {
            self.answer(line, slot, sequence, reply);
        }
    }

    fn refuse(&self, line: &Line, slot: usize, request: &Message, errno: Errno) {
        let mut reply = Message::default();
        reply.refuse(request.operation, errno);
        self.answer(line, slot, request.sequence, &mut reply);
    }

    fn answer(&self, line: &Line, slot: usize, sequence: u32, reply: &mut Message) {
        let number = sequence & 0xff_ffff;
        if slot >= CALL_SLOTS {
            line.state.store(State::new(IDLE, number).0, Release);
            return;
        }
        reply.sequence = sequence;
        line.write(reply);
        let state = State::new(REPLY, number).0;
        if matches!(self.wait, Wait::Spin | Wait::Yield) {
            line.state.store(state, Release);
        } else if State(line.state.swap(state, AcqRel)).waits() {
            futex::wake(&line.state, 1);
        }
    }
}

impl Watch for Pool {
    fn leaving(&self) {
        self.call_others();
        let me = NUMBER.get();
        if self.watcher.load(Relaxed) != me {
            return;
        }
        self.stop_watching(me);
        fence(SeqCst);
        // What came in while we watched but did not look is a colleague's now.
        if self.pending() {
            self.bell.ring();
        }
    }

    fn back(&self) {
        self.watches(NUMBER.get());
    }
}
