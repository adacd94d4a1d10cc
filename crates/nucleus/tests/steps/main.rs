//! One call between two real processes, of which one is killed after its first instruction, its second, and so on to the
//! last: the other one gets its answer, from a successor or anew, or learns that the outcome is unknown; no call that may
//! not be repeated is executed twice; and a client's successor on the same channel has its own answers.
//!
//! What happens inside one instruction, and in other orders of both sides, is the model's (`tests/model`). Without
//! libtest, because only a process with one thread may fork.

mod tracer;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use kd_api::client::{self, Bulk};
use kd_api::message::{InterfaceInfo, Operation};
use kd_api::server::{self, Answer, Dispatch, Incoming};
use kd_api::{Caller, Errno, Message, Result};
use kd_machine::memory::{Memory, Words};
use kd_nucleus::channel::{self, Bell, Channel, ChannelPort, Pool, Wait};
use kd_nucleus::futex;
use kd_nucleus::process::{self, Child};
use tracer::{End, Traced};

const fn operation(name: &'static str, number: u16, idempotent: bool) -> Operation {
    let (interface, blocking, event, result, deferred) = ("Steps", false, false, 8, false);
    Operation { interface, name, number, idempotent, blocking, event, result, deferred }
}

static REPEATED: Operation = operation("repeated", 0, true);
static ONCE: Operation = operation("once", 1, false);
static INFO: InterfaceInfo = InterfaceInfo { name: "Steps", path: "steps", operations: &[REPEATED, ONCE], hash: 0 };

/// The words of the page that all processes of a round share: the sign to begin, what the client got, and how often
/// each call was executed.
const GO: usize = 0;
const GOT: usize = 1;
const EXECUTED: usize = 2;

/// What a client got: its answer, or that nobody knows.
const ANSWER: u32 = 1;
const UNKNOWN: u32 = 2;
const ANYTHING_ELSE: u32 = 3;

/// The call that somebody dies over, and the one of a client's successor.
const CALL: u64 = 0;
const NEXT: u64 = 1;

/// A channel and the page, of one round.
struct Round {
    channel: Channel,
    bell: Bell,
    page: Arc<Words>,
    operation: &'static Operation,
}

struct Component(Arc<Words>);

impl Dispatch for Component {
    fn info(&self) -> &'static InterfaceInfo {
        &INFO
    }

    fn dispatch(&self, incoming: Incoming<'_>, reply: &mut Message) -> Answer {
        let Message { words, operation, .. } = *incoming.request;
        self.0.get_half(EXECUTED + words[0] as usize).fetch_add(1, SeqCst);
        server::reply(operation, incoming.window, 0, Ok(words[0] + 100), reply);
        Answer::Reply
    }
}

impl Round {
    fn new(operation: &'static Operation) -> Round {
        tracer::give_up_after(60);
        let bell = Bell::new().expect("shared memory");
        let channel = Channel::new("kd-steps", &bell).expect("shared memory");
        let page = Memory::new("kd-steps", 4096).and_then(|memory| memory.map()).expect("shared memory");
        Round { channel, bell, page: Arc::new(Words::new(page)), operation }
    }

    /// A server process with two threads, asleep.
    fn server(&self) -> Child {
        let serve = || {
            let clients = vec![(self.channel.clone(), Caller::app(1))];
            Pool::new(clients, self.bell.clone(), Arc::new(Component(self.page.clone())), Wait::Block, 2).run()
        };
        let server = process::fork(serve).expect("a process");
        asleep(&server, 2);
        server
    }

    /// A client process that makes one call at the sign, and says what it got.
    fn client(&self, call: u64) -> Child {
        let ask = || {
            let port = ChannelPort::new(self.channel.clone(), Wait::Block);
            while self.word(GO) <= call as u32 {
                futex::wait(self.page.get_half(GO), call as u32);
            }
            let got = match ask(&port, self.operation, call) {
                Ok(answer) if answer == call + 100 => ANSWER,
                Err(Errno::EUNKNOWN) => UNKNOWN,
                _ => ANYTHING_ELSE,
            };
            self.page.get_half(GOT).store(got, SeqCst);
            0
        };
        let client = process::fork(ask).expect("a process");
        asleep(&client, 1);
        client
    }

    fn go(&self, call: u64) {
        self.page.get_half(GO).store(call as u32 + 1, SeqCst);
        futex::wake(self.page.get_half(GO), 1);
    }

    fn word(&self, index: usize) -> u32 {
        self.page.get_half(index).load(SeqCst)
    }

    fn executed(&self, call: u64) -> u32 {
        self.word(EXECUTED + call as usize)
    }
}

fn ask(port: &ChannelPort, operation: &'static Operation, call: u64) -> Result<u64> {
    client::call(port, operation, Bulk::None, |to| to.word(call), |from| from.word())
}

/// Waits until a process has so many threads and all sleep.
fn asleep(child: &Child, count: usize) {
    loop {
        let threads = tracer::threads(child.pid());
        if threads.len() == count && threads.iter().all(|thread| process::state(*thread) == Some('S')) {
            return;
        }
        std::thread::sleep(Duration::from_micros(50));
    }
}

/// How rounds ended: with an answer, or with an unknown outcome.
#[derive(Debug, Default)]
struct Ends {
    answers: u32,
    unknown: u32,
}

/// One call, its server killed after so many steps; whether there were as many.
fn server_dies(operation: &'static Operation, steps: u32, ends: &mut Ends) -> bool {
    let round = Round::new(operation);
    let server = round.server();
    let client = round.client(CALL);
    let traced = Traced::attach(server.pid()).expect("a child may be traced");
    round.go(CALL);
    let end = traced.run(steps, client.pid()).expect("it can be waited for");
    let _successor = (end == End::Killed).then(|| {
        channel::scrub(&round.channel);
        let successor = round.server();
        tracer::wait_for(client.pid()).expect("the client ends");
        successor
    });
    let (got, executed) = (round.word(GOT), round.executed(CALL));
    let is_right = match (got, operation.idempotent) {
        (ANSWER, true) => executed >= 1,
        (ANSWER, false) => executed == 1,
        (UNKNOWN, false) => executed <= 1 && end == End::Killed,
        _ => false,
    };
    assert!(is_right, "{}: server killed after {steps} steps: got {got}, executed {executed} times", operation.name);
    ends.answers += u32::from(got == ANSWER);
    ends.unknown += u32::from(got == UNKNOWN);
    end == End::Killed
}

/// One call, its client killed after so many steps; whether there were as many.
fn client_dies(operation: &'static Operation, steps: u32, ends: &mut Ends) -> bool {
    let round = Round::new(operation);
    let _server = round.server();
    let client = round.client(CALL);
    let traced = Traced::attach(client.pid()).expect("a child may be traced");
    round.go(CALL);
    let end = traced.run(steps, client.pid()).expect("it can be waited for");
    channel::reset(&round.channel);
    let successor = round.client(NEXT);
    round.go(NEXT);
    tracer::wait_for(successor.pid()).expect("the successor ends");
    let (got, executed) = (round.word(GOT), [CALL, NEXT].map(|call| round.executed(call)));
    let is_right = got == ANSWER && executed[0] <= 1 && executed[1] == 1;
    assert!(is_right, "{}: client killed after {steps} steps: got {got}, executed {executed:?} times", operation.name);
    ends.answers += executed[0];
    ends.unknown += 1 - executed[0];
    end == End::Killed
}

/// A call over which somebody dies.
type Dies = fn(&'static Operation, u32, &mut Ends) -> bool;

fn main() {
    // Everybody on one core, where a step costs no message to another.
    process::bind(0, &[tracer::core()]);
    let deaths =
        [("server", &ONCE, server_dies as Dies), ("server", &REPEATED, server_dies), ("client", &ONCE, client_dies)];
    for (victim, operation, dies) in deaths {
        let mut ends = Ends::default();
        let steps = (1..).take_while(|steps| dies(operation, *steps, &mut ends)).count();
        println!("{victim} killed after each of {steps} instructions of a call `{}`: {ends:?}", operation.name);
        assert!(steps > 100 && ends.answers > 0, "a call takes more instructions than {steps}");
        // A server that had it in hand leaves it unknown; a client that had not published it, undone.
        assert_eq!(ends.unknown > 0, !(victim == "server" && operation.idempotent), "{victim}, {}", operation.name);
    }
}
