//! Rigs: what one crossing needs and nothing else, in real processes or threads, made to go round and round.
//!
//! A rig is a root process of its own: it is the client, and it starts the other end (for a chain: the other ends)
//! before the first round, so every rig is a fresh pair on the cores it was given. The harness asks for a number of
//! rounds and is told how long they took; nothing else runs in between. A bare rig has no kernel and no message: two
//! processes exchange a number, through a cache line each or through one that both write, or wake each other through a
//! futex each. Which of the two ways to poll is faster depends on where the host puts the cores, by a factor of two
//! here, so both are measured: neither alone is what nothing can beat.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

use kd_api::interfaces::proc::{Proc, ProcClient};
use kd_api::{Caller, Interface, OutBuf};
use kd_boot::manifest::WaitName;
use kd_machine::memory::{Memory, Words};
use kd_microkernel::thread::{Server, ThreadPort};
use kd_nucleus::channel::{Bell, Channel, ChannelPort, Pool, Wait};
use kd_nucleus::pkey::thread::{self, Thread};
use kd_nucleus::pkey::{Alone, GatePort, gate};
use kd_nucleus::process::{self, Child};
use kd_nucleus::socket::Socket;
use kd_nucleus::zygote::Zygote;
use kd_nucleus::{arena, futex};
use serde::{Deserialize, Serialize};

use super::batching::{self, Batching};
use super::copying::{self, Between};
use super::granting::{self, By};

/// What [`Zygote::boot`] is told so that the root becomes a rig.
pub const PURPOSE: &str = "rig";

/// Threads of each server: the fewest that a pool has.
pub(super) const THREADS: u32 = 2;
/// Time before the first round that counts: pages are touched, predictors and the host's scheduler know the pattern.
const WARM_UP: Duration = Duration::from_millis(3);

/// The same beside load, for each server of one who adapts to it: some slices of the host's scheduler.
const WARM_UP_BESIDE_LOAD: Duration = Duration::from_millis(40);

/// What goes round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Two bare processes that poll, each writing a cache line of its own.
    LimitSpin,
    /// Two bare processes that poll, both writing the same cache line, as a channel's slot is written.
    LimitOneLine,
    /// Two bare processes that sleep.
    LimitFutex,
    /// A call to a server in another process, through a chain of so many servers.
    Process(WaitName, u32),
    /// A call to a server in another thread.
    Thread,
    /// Rights changed to and fro, by the bare instruction.
    LimitKeys,
    /// A gate to a domain that returns at once, and back.
    Gate,
    /// A call to a server behind a protection key, through a chain of so many of them.
    Keys(u32),
    /// A call that brings so many bytes back.
    Copy(Between, usize),
    /// Blocks, asked for in this way.
    Batch(Batching),
    /// So many bytes that come like this through so many servers.
    Payload(By, usize, u32),
}

/// A part on the cores that all its actors share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Order {
    part: Part,
    cores: Vec<usize>,
    /// A process on each core that computes all the while.
    load: bool,
}

/// A rig, as the harness holds it; its processes end with it.
pub struct Rig {
    control: Socket,
}

impl Part {
    /// A chain of `servers` whose crossings wait by `wait`.
    pub const fn chain(wait: Wait, servers: u32) -> Part {
        Part::Process(WaitName(wait), servers)
    }
}

impl Rig {
    /// Starts one and lets it warm up.
    ///
    /// # Errors
    /// The host's, or the other end's silence.
    pub fn new(part: Part, cores: &[usize]) -> io::Result<Rig> {
        let rig = Rig::start(Order { part, cores: cores.to_vec(), load: false })?;
        let begin = Instant::now();
        while begin.elapsed() < WARM_UP {
            rig.run(32)?;
        }
        Ok(rig)
    }

    /// The same beside a process on each core that computes all the while. Who adapts to load must have met it: warmed up for
    /// longer, by the number of servers.
    ///
    /// # Errors
    /// As those of `new`.
    pub fn beside_load(part: Part, cores: &[usize]) -> io::Result<Rig> {
        let rig = Rig::start(Order { part, cores: cores.to_vec(), load: true })?;
        let warm_up = match part {
            Part::Process(WaitName(Wait::Adaptive), servers) => WARM_UP_BESIDE_LOAD * servers,
            _ => Duration::ZERO,
        };
        let begin = Instant::now();
        rig.run(1)?;
        while begin.elapsed() < warm_up {
            rig.run(1)?;
        }
        Ok(rig)
    }

    fn start(order: Order) -> io::Result<Rig> {
        let rig = Rig { control: Zygote::get()?.boot(PURPOSE)? };
        rig.control.send(&order, &[])?;
        Ok(rig)
    }

    /// How long so many rounds take.
    ///
    /// # Errors
    /// The host's, if the rig is gone.
    pub fn run(&self, rounds: u64) -> io::Result<Duration> {
        self.control.send(&rounds, &[])?;
        self.control.receive().map(|(nanos, _)| Duration::from_nanos(nanos))
    }
}

/// A root process as a rig, until the harness lets go of it.
pub fn serve(control: &Socket) -> io::Result<()> {
    let (Order { part, cores, load }, _) = control.receive()?;
    let _load = if load { busy(&cores)? } else { Vec::new() };
    process::bind(0, &cores);
    // Who spins has a core of its own; everybody else goes where the host likes among the rig's cores.
    let (ours, theirs) = match part {
        Part::LimitSpin | Part::LimitOneLine | Part::Process(WaitName(Wait::Spin), _) => (&cores[..1], &cores[1..]),
        _ => (&cores[..], &cores[..]),
    };
    match part {
        Part::LimitSpin => bare(control, Spin { answered: OTHER_LINE }, (ours, theirs)),
        Part::LimitOneLine => bare(control, Spin { answered: SAME_LINE }, (ours, theirs)),
        Part::LimitFutex => bare(control, Futex, (ours, theirs)),
        Part::Process(WaitName(wait), servers) => {
            process::bind(0, theirs);
            let mut children = Vec::new();
            let client = chain(wait, servers, &mut children)?;
            process::bind(0, ours);
            call(control, &*client)
        }
        Part::Copy(between, bytes) => {
            let mut children = Vec::new();
            let source = copying::source(between, bytes, &mut children)?;
            let mut room = vec![0; bytes];
            rounds(control, || {
                assert_eq!(source.read(0, &mut OutBuf::new(&mut room)), Ok(bytes), "all bytes come back")
            })
        }
        Part::Batch(way) => batching::serve(control, way),
        Part::Payload(by, bytes, servers) => granting::serve(control, by, bytes, servers),
        Part::LimitKeys => {
            Alone::new().map_err(io::Error::other)?;
            Thread::enlist()?;
            timed(control, gate::change_rights)
        }
        Part::Gate => {
            extern "C" fn come_back(first: usize, second: usize, _: usize) -> u64 {
                (first + second) as u64
            }
            let domain = keys(1)?;
            let mut number = 0;
            rounds(control, || {
                number += 1;
                let answer = thread::call(domain, come_back, number, 1, false);
                assert_eq!(answer.ok(), Some(number as u64 + 1), "it comes back with the answer");
            })
        }
        Part::Keys(servers) => {
            let port = GatePort::new(keys(servers)?, 0, Caller::app(1));
            // Whoever is in a domain speaks for the kernel.
            let seen = if servers == 1 { Caller::app(1) } else { Caller::KERNEL };
            call_as(control, &ProcClient::new(Arc::new(port)), seen)
        }
        Part::Thread => {
            let server = Server::start(<dyn Proc>::server(Arc::new(Answerer)), "answerer", THREADS);
            call(control, &ProcClient::new(Arc::new(ThreadPort::new(&server, Caller::app(1)))))
        }
    }
}

/// A process on each core that does nothing but compute.
fn busy(cores: &[usize]) -> io::Result<Vec<Child>> {
    let on = |core: &usize| {
        process::fork(|| {
            process::bind(0, std::slice::from_ref(core));
            let mut sum = 0u64;
            loop {
                sum = std::hint::black_box(sum.wrapping_mul(3).wrapping_add(1));
            }
        })
    };
    cores.iter().map(on).collect()
}

/// Goes as many rounds as the harness asks for, again and again.
pub(super) fn rounds(control: &Socket, mut round: impl FnMut()) -> io::Result<()> {
    timed(control, |count| (0..count).for_each(|_| round()))
}

fn timed(control: &Socket, mut rounds: impl FnMut(u64)) -> io::Result<()> {
    while let Ok((count, _)) = control.receive::<u64>() {
        let begin = Instant::now();
        rounds(count);
        control.send(&(begin.elapsed().as_nanos() as u64), &[])?;
    }
    Ok(())
}

fn call(control: &Socket, client: &dyn Proc) -> io::Result<()> {
    call_as(control, client, Caller::app(1))
}

/// The same where the last server sees another caller.
fn call_as(control: &Socket, client: &dyn Proc, seen: Caller) -> io::Result<()> {
    rounds(control, || {
        assert_eq!(client.getpid(Caller::app(1)), Ok(seen.app.0), "the last server's answer comes back");
    })
}

/// The server at the end of every chain.
pub struct Answerer;

impl Proc for Answerer {
    fn getpid(&self, caller: Caller) -> kd_api::Result<u32> {
        Ok(caller.app.0)
    }
}

/// Forks a server that passes each call on through a chain of one less; the client that calls it.
fn chain(wait: Wait, servers: u32, children: &mut Vec<Child>) -> io::Result<Arc<dyn Proc>> {
    if servers == 0 {
        return Ok(Arc::new(Answerer));
    }
    let next = chain(wait, servers - 1, children)?;
    let bell = Bell::new()?;
    let channel = Channel::new("kd-rig", &bell)?;
    let ours = channel.clone();
    // The heap of the place that the domain would have in a kernel: 0 is the client's own.
    children.push(process::fork(|| match arena::adopt(servers as usize) {
        Ok(()) => Pool::new(vec![(channel, Caller::app(1))], bell, <dyn Proc>::server(next), wait, THREADS).run(),
        Err(_) => 1,
    })?);
    Ok(Arc::new(ProcClient::new(Arc::new(ChannelPort::new(ours, wait)))))
}

/// Domains with a server each that passes calls on to the one before; the last of them.
fn keys(servers: u32) -> io::Result<usize> {
    let mut domains = Alone::new().map_err(io::Error::other)?;
    let serve = |next: Option<GatePort>| match next {
        Some(next) => <dyn Proc>::server(Arc::new(ProcClient::new(Arc::new(next)))),
        None => <dyn Proc>::server(Arc::new(Answerer)),
    };
    let mut last = 0;
    for _ in 0..servers {
        last = domains.add(serve).map_err(io::Error::other)?;
    }
    Ok(last)
}

/// How two bare processes exchange a number.
trait Exchange: Copy {
    /// The client's round: hands `number` over and has it back.
    fn ask(self, words: &Words, number: u32);
    /// The server's: waits for the number after `last`, hands it back.
    fn answer(self, words: &Words, last: u32) -> u32;
}

/// The client's word ...
const ASKED: usize = 0;
/// ... and the server's, beside it or in a line of its own.
const SAME_LINE: usize = 1;
const OTHER_LINE: usize = 8;

fn bare(control: &Socket, exchange: impl Exchange, (ours, theirs): (&[usize], &[usize])) -> io::Result<()> {
    let words = Words::new(Memory::new("kd-rig", 4096)?.map()?);
    process::bind(0, theirs);
    let _server = process::fork(|| {
        let mut last = 0;
        loop {
            last = exchange.answer(&words, last);
        }
    })?;
    process::bind(0, ours);
    let mut number = 0u32;
    rounds(control, || {
        number = number.wrapping_add(1);
        exchange.ask(&words, number);
    })
}

/// Both poll.
#[derive(Clone, Copy)]
struct Spin {
    answered: usize,
}

impl Exchange for Spin {
    fn ask(self, words: &Words, number: u32) {
        words.get_half(ASKED).store(number, Release);
        while words.get_half(self.answered).load(Acquire) != number {
            std::hint::spin_loop();
        }
    }
    fn answer(self, words: &Words, last: u32) -> u32 {
        loop {
            let number = words.get_half(ASKED).load(Acquire);
            if number != last {
                words.get_half(self.answered).store(number, Release);
                return number;
            }
            std::hint::spin_loop();
        }
    }
}

/// Both sleep at once.
#[derive(Clone, Copy)]
struct Futex;

impl Exchange for Futex {
    fn ask(self, words: &Words, number: u32) {
        let (asked, answered) = (words.get_half(ASKED), words.get_half(OTHER_LINE));
        asked.store(number, Release);
        futex::wake(asked, 1);
        loop {
            let before = answered.load(Acquire);
            if before == number {
                return;
            }
            futex::wait(answered, before);
        }
    }
    fn answer(self, words: &Words, last: u32) -> u32 {
        let (asked, answered) = (words.get_half(ASKED), words.get_half(OTHER_LINE));
        loop {
            let number = asked.load(Acquire);
            if number != last {
                answered.store(number, Release);
                futex::wake(answered, 1);
                return number;
            }
            futex::wait(asked, last);
        }
    }
}
