//! What must hold.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use kd_api::client::{self, Bulk, Port};
use kd_api::message::{InterfaceInfo, Operation};
use kd_api::server::{self, Answer, Dispatch, Incoming};
use kd_api::{Caller, Errno, Message, Result};

use crate::channel::Wait;
use crate::channel::bell::Bell;
use crate::channel::client::ChannelPort;
use crate::channel::layout::Channel;
use crate::channel::scrub;
use crate::channel::server::Pool;
use crate::sync::atomic::{AtomicU32, Ordering::*};
use crate::world::{self, Process};

/// Changes from a thread that could go on, in one execution; where a process dies before each of its steps, one less.
const PREEMPTIONS: usize = 2;

const fn operation(name: &'static str, number: u16, idempotent: bool, event: bool) -> Operation {
    Operation { interface: "Model", name, number, idempotent, blocking: false, event, result: 8, deferred: false }
}

static REPEATED: Operation = operation("repeated", 0, true, false);
static ONCE: Operation = operation("once", 1, false, false);
static EVENT: Operation = operation("event", 2, false, true);
static INFO: InterfaceInfo =
    InterfaceInfo { name: "Model", path: "model", operations: &[REPEATED, ONCE, EVENT], hash: 0 };

/// Answers a number with what follows from it, and keeps account of what it was asked.
#[derive(Default)]
struct Component {
    executed: Mutex<HashMap<u64, u32>>,
    happened: Mutex<Option<Arc<AtomicU32>>>,
}

/// Of this number something happens ...
const HAPPENS: u64 = 7;
/// ... that this number's call waits for, as a server waits in a nested call.
const WAITS: u64 = 8;

fn await_set(word: &AtomicU32) {
    while word.load(Acquire) == 0 {
        crate::futex::wait(word, 0);
    }
}

const fn answer_to(number: u64) -> u64 {
    number * 3 + 1
}

impl Dispatch for Component {
    fn info(&self) -> &'static InterfaceInfo {
        &INFO
    }

    fn dispatch(&self, incoming: Incoming<'_>, reply: &mut Message) -> Answer {
        let (number, operation) = (incoming.request.words[0], incoming.request.operation);
        *self.executed.lock().expect("one thread").entry(number).or_default() += 1;
        let happened = self.happened.lock().expect("one thread").clone();
        match (happened, number) {
            (Some(happened), WAITS) => {
                crate::watch::about_to_wait();
                await_set(&happened);
                crate::watch::done_waiting();
            }
            (Some(happened), HAPPENS) => {
                happened.fetch_add(1, Release);
                crate::futex::wake(&happened, 1);
            }
            _ => {}
        }
        if operation == EVENT.number {
            return Answer::Nothing;
        }
        server::reply(operation, incoming.window, 0, Ok(answer_to(number)), reply);
        Answer::Reply
    }
}

impl Component {
    fn executed(&self, number: u64) -> u32 {
        self.executed.lock().expect("one thread").get(&number).copied().unwrap_or(0)
    }
}

/// A channel, and what answers it.
struct Model {
    channel: Channel,
    bell: Bell,
    component: Arc<Component>,
    wait: Wait,
}

impl Model {
    fn new(wait: Wait) -> Rc<Model> {
        world::begin();
        let bell = Bell::new().expect("memory of the model");
        Rc::new(Model { channel: Channel::new(&bell), bell, component: Arc::default(), wait })
    }

    /// A server process; killed before a step, if so.
    fn serve(self: &Rc<Model>, single: bool, dies_before: Option<u32>) -> Rc<Process> {
        let process = Process::new(single, dies_before);
        let model = self.clone();
        process.start(move || {
            let clients = vec![(model.channel.clone(), Caller::app(1))];
            Pool::new(clients, model.bell.clone(), model.component.clone(), model.wait, 2).run()
        });
        process
    }

    fn expect_something(&self) -> Arc<AtomicU32> {
        let happened = Arc::new(AtomicU32::new(0));
        *self.component.happened.lock().expect("one thread") = Some(happened.clone());
        happened
    }

    fn port(&self) -> ChannelPort {
        ChannelPort::new(self.channel.clone(), self.wait)
    }
}

fn call(port: &ChannelPort, operation: &'static Operation, number: u64) -> Result<u64> {
    client::call(port, operation, Bulk::None, |to| to.word(number), |from| from.word())
}

fn explore(preemptions: usize, execution: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(execution);
}

/// Tries `execution` with a death before each step, until there is no such step.
fn at_every_step(execution: impl Fn(u32) -> Rc<Process> + Copy + Sync + Send + 'static) {
    let mut step = 1;
    loop {
        let died = Arc::new(Mutex::new(false));
        let seen = died.clone();
        explore(PREEMPTIONS - 1, move || {
            let process = execution(step);
            *seen.lock().expect("one thread") |= process.steps() >= step;
        });
        if !*died.lock().expect("one thread") {
            break;
        }
        step += 1;
    }
    assert!(step > 10, "a call takes more steps than {step}");
}

/// No wake-up is lost: neither the server's bell nor the client's word.
#[test]
fn calls_are_answered_and_nobody_sleeps_for_ever() {
    for wait in [Wait::Block, Wait::Adaptive] {
        explore(PREEMPTIONS, move || {
            let model = Model::new(wait);
            let server = model.serve(true, None);
            let port = model.port();
            for number in [1, 2] {
                assert_eq!(call(&port, &ONCE, number), Ok(answer_to(number)));
                assert_eq!(model.component.executed(number), 1);
            }
            server.kill();
            server.wait();
        });
    }
}

/// Of a server's two threads one watches; who takes over misses nothing.
#[test]
fn two_threads_share_the_watch() {
    explore(PREEMPTIONS, || {
        let model = Model::new(Wait::Block);
        let server = model.serve(false, None);
        let port = model.port();
        assert_eq!(call(&port, &ONCE, 1), Ok(answer_to(1)));
        assert_eq!(model.component.executed(1), 1);
        server.kill();
        server.wait();
    });
}

/// A server's thread that waits for something within a call hands the watch over: the other one answers meanwhile.
#[test]
fn who_waits_within_a_call_hands_the_watch_over() {
    explore(PREEMPTIONS - 1, || {
        let model = Model::new(Wait::Block);
        model.expect_something();
        let server = model.serve(false, None);
        let port = model.port();
        client::post(&port, &EVENT, [WAITS, 0, 0, 0, 0, 0]);
        assert_eq!(call(&port, &ONCE, HAPPENS), Ok(answer_to(HAPPENS)));
        server.kill();
        server.wait();
    });
}

/// Two threads of a client claim different slots, and each has its own answer.
#[test]
fn callers_share_a_port() {
    explore(PREEMPTIONS, || {
        let model = Model::new(Wait::Block);
        let server = model.serve(true, None);
        let port = Arc::new(model.port());
        let other = Process::new(true, None);
        let theirs = port.clone();
        other.start(move || assert_eq!(call(&theirs, &ONCE, 2), Ok(answer_to(2))));
        assert_eq!(call(&port, &ONCE, 1), Ok(answer_to(1)));
        other.wait();
        assert_eq!((model.component.executed(1), model.component.executed(2)), (1, 1));
        server.kill();
        server.wait();
    });
}

/// An event that found room arrives, though its server was just going to sleep.
#[test]
fn events_arrive() {
    for wait in [Wait::Block, Wait::Adaptive] {
        explore(PREEMPTIONS, move || {
            let model = Model::new(wait);
            let happened = model.expect_something();
            let server = model.serve(true, None);
            let port = model.port();
            client::post(&port, &EVENT, [HAPPENS, 0, 0, 0, 0, 0]);
            await_set(&happened);
            assert_eq!(model.component.executed(HAPPENS), 1);
            server.kill();
            server.wait();
        });
    }
}

/// A server is killed before each of its steps; whoever supervises it scrubs, and a successor starts.
#[test]
fn a_servers_death_is_an_answer_or_goes_unnoticed() {
    for operation in [&REPEATED, &ONCE] {
        at_every_step(move |step| one_death(operation, step));
    }
}

fn one_death(operation: &'static Operation, step: u32) -> Rc<Process> {
    let model = Model::new(Wait::Block);
    let server = model.serve(true, Some(step));
    let client = Process::new(true, None);
    let (theirs, done) = (model.clone(), Rc::new(Cell::new(false)));
    let is_done = done.clone();
    let victim = server.clone();
    client.start(move || {
        let answer = call(&theirs.port(), operation, 1);
        let executed = theirs.component.executed(1);
        match answer {
            Ok(answer) if operation.idempotent => assert!(answer == answer_to(1) && executed >= 1),
            Ok(answer) => assert_eq!((answer, executed), (answer_to(1), 1)),
            Err(errno) => {
                assert!(
                    errno == Errno::EUNKNOWN && !operation.idempotent && executed <= 1,
                    "{errno:?}, {executed} times"
                );
            }
        }
        is_done.set(true);
        // Had it not died by now, it would serve for ever.
        victim.kill();
    });
    server.wait();
    scrub::scrub(&model.channel);
    let successor = (!done.get()).then(|| model.serve(true, None));
    client.wait();
    if let Some(successor) = successor {
        successor.kill();
        successor.wait();
    }
    server
}

/// Where no successor comes, calls end: those under way, and those to come.
#[test]
fn a_closed_channel_answers_at_once() {
    at_every_step(|step| {
        let model = Model::new(Wait::Block);
        let server = model.serve(true, Some(step));
        let client = Process::new(true, None);
        let (theirs, victim) = (model.clone(), server.clone());
        client.start(move || {
            let port = theirs.port();
            for number in [1, 2] {
                let answer = call(&port, &ONCE, number);
                assert!(answer == Ok(answer_to(number)) || answer == Err(Errno::EUNKNOWN), "{answer:?}");
            }
            victim.kill();
        });
        server.wait();
        scrub::scrub(&model.channel);
        scrub::abandon(&model.channel);
        client.wait();
        server
    });
}

/// A client is killed before each of its steps; its successor on the same channel has its own answers.
#[test]
fn a_clients_death_leaves_nothing_to_its_successor() {
    at_every_step(|step| {
        let model = Model::new(Wait::Block);
        let server = model.serve(true, None);
        let client = Process::new(true, Some(step));
        let theirs = model.clone();
        client.start(move || assert_eq!(call(&theirs.port(), &ONCE, 1), Ok(answer_to(1))));
        client.wait();
        scrub::reset(&model.channel);
        let port = model.port();
        assert_eq!(call(&port, &ONCE, 2), Ok(answer_to(2)));
        // All slots but one are in use, so that this call has to have the dead client's.
        let held = port.claim().expect("a slot that the dead client did not use");
        let answer = loop {
            match call(&port, &ONCE, 3) {
                Err(Errno::EAGAIN) => loom::thread::yield_now(),
                answer => break answer,
            }
        };
        assert_eq!(answer, Ok(answer_to(3)));
        port.release(held);
        assert!(model.component.executed(1) <= 1 && model.component.executed(2) == 1);
        server.kill();
        server.wait();
        client
    });
}
