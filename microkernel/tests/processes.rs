//! The channel between two real processes: the same answers as a direct call, a client's scribbling survived, a server's
//! death told.
//!
//! Without libtest, because only a process with one thread may fork.

#[path = "../../crates/api/tests/kinds/mod.rs"]
mod kinds;
#[path = "../../crates/subsystems/tests/differential/random.rs"]
#[allow(dead_code)]
mod random;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use kd_api::{Caller, Errno, Handle, InBuf, Message};
use kd_nucleus::channel::{self, Bell, Channel, ChannelPort, Pool, Wait};
use kd_nucleus::process::{self, Child, Exit};
use kinds::{Honest, Kinds, KindsClient};
use random::Random;

const ME: Caller = Caller::app(5);
const HOSTILE: Caller = Caller::app(6);

/// A server process behind two channels, the second meant for a hostile client.
struct Far {
    child: Child,
    bell: Bell,
    channels: [Channel; 2],
    client: KindsClient,
    wait: Wait,
}

impl Far {
    fn new(wait: Wait) -> Far {
        let bell = Bell::new().expect("shared memory");
        let channels = [(); 2].map(|()| Channel::new("kd-test", &bell).expect("shared memory"));
        let child = Far::fork(&channels, &bell, wait);
        let client = KindsClient::new(Arc::new(ChannelPort::new(channels[0].clone(), wait)));
        Far { child, bell, channels, client, wait }
    }

    fn fork(channels: &[Channel; 2], bell: &Bell, wait: Wait) -> Child {
        let clients = channels.iter().cloned().zip([ME, HOSTILE]).collect();
        let serve = || Pool::new(clients, bell.clone(), honest().serve(), wait, 3).run();
        process::fork(serve).expect("a process")
    }
}

fn honest() -> Handle {
    Handle::new(Arc::new(Honest::default()) as Arc<dyn Kinds>)
}

fn answers_are_those_of_a_direct_call(far: &mut Far) {
    kinds::agrees(&far.client, ME, 64);
    kinds::events_arrive(&far.client);
}

/// Every word that a client can write, written at random, over and over: other clients' calls go on.
fn a_scribbling_client_hurts_itself_alone(far: &mut Far) {
    let mut random = Random(7);
    let channel = &far.channels[1];
    for round in 0..20_000 {
        let slot = random.below(channel.lines().len());
        let line = &channel.lines()[slot];
        let mut word = || match random.below(3) {
            0 => random.next(),
            1 => random.next() % 20,
            _ => 0,
        };
        let message = kd_api::Message {
            sequence: word() as u32,
            operation: word() as u16,
            status: word() as i16,
            bulk: word() as u32,
            words: std::array::from_fn(|_| word()),
        };
        let (state, taken, attention) = (word() as u32, word() as u32, word() as u32);
        line.write(&message);
        // A request as often as not, which a server may find pending, in hand, or neither.
        let number = taken << 8;
        line.state.store(if round % 2 == 0 { number | 1 } else { state }, SeqCst);
        match random.below(4) {
            0 => channel.taken()[slot].store((taken & 0xff_ffff).wrapping_sub(1) & 0xff_ffff, SeqCst),
            1 => channel.taken()[slot].store(taken, SeqCst),
            2 => channel.attention().store(attention, SeqCst),
            _ => far.bell.ring(),
        }
        let bytes: [u8; 32] = std::array::from_fn(|_| random.next() as u8);
        assert!(channel.window(slot).write_spill(random.below(64), &bytes));
        if round % 50 == 0 {
            assert_eq!(far.client.int(round), Ok(!round), "round {round}");
        }
    }
    assert_eq!(far.child.poll(), None, "the server lives");
    kinds::agrees(&far.client, ME, 8);
    assert_eq!(far.channels[0].counters().violations.load(SeqCst), 0);
}

/// A server that answers at random: `EPROTO` or an answer, and every breach is counted where the supervisor looks.
fn a_lying_server_is_found_out(far: &mut Far) {
    far.child.kill();
    let channel = &far.channels[0];
    channel::scrub(channel);
    let liar = process::fork(|| {
        let mut random = Random(3);
        loop {
            for (slot, line) in channel.lines().iter().enumerate() {
                let (state, in_hand) = channel.look(slot);
                if state.what() != 1 || in_hand {
                    continue;
                }
                let mut request = Message::default();
                line.read(&mut request);
                channel.taken()[slot].store(state.number(), SeqCst);
                let lie = random.below(12);
                line.write(&kd_api::Message {
                    sequence: if lie == 0 { random.next() as u32 } else { request.sequence },
                    operation: if lie == 1 { random.next() as u16 } else { request.operation },
                    status: if lie == 2 { random.next() as i16 } else { 0 },
                    bulk: if lie == 3 { random.next() as u32 } else { request.bulk },
                    words: std::array::from_fn(|_| if lie == 4 { random.next() } else { 1 }),
                });
                // Never REQUEST, which would be no answer but a hang.
                let what = if lie == 5 { 4 + random.below(100) as u32 } else { 2 };
                line.state.store(what | state.number() << 8, SeqCst);
                kd_nucleus::futex::wake(&line.state, 1);
            }
            std::thread::yield_now();
        }
    });
    let (mut good, mut errors) = (0, 0);
    for _ in 0..3000 {
        let before = channel.counters().violations.load(SeqCst);
        let answer = far.client.flag(true, 1);
        let counted = channel.counters().violations.load(SeqCst) - before;
        match answer {
            Err(Errno::EPROTO) => assert!(counted == 1 || counted == 0),
            _ => assert_eq!(counted, 0, "{answer:?}"),
        }
        good += u32::from(answer.is_ok());
        errors += counted;
    }
    assert!(good > 100 && errors > 100, "{good} good, {errors} counted");
    drop(liar);
}

/// `kill -9`, and a successor on the same channels: idempotent calls are repeated, others of unknown outcome.
fn death_is_told_and_a_successor_finds_its_clients(far: &mut Far) {
    let counters = far.channels[0].counters();
    for round in 0..20 {
        far.child.signal(libc::SIGSTOP);
        while process::state(far.child.pid()) != Some('T') {
            std::thread::yield_now();
        }
        let (repeated, unknown) = (counters.repeated.load(SeqCst), counters.unknown.load(SeqCst));
        let client = &far.client;
        let (channels, bell, wait) = (&far.channels, &far.bell, far.wait);
        // The one who calls must be another process, as this one restarts what it waits for.
        let mut caller = process::fork(|| {
            let own = KindsClient::new(Arc::new(ChannelPort::new(channels[0].clone(), wait)));
            i32::from(if round % 2 == 0 { own.nothing() != Ok(()) } else { own.byte(1) != Err(Errno::EUNKNOWN) })
        })
        .expect("a process");
        let call = loop {
            if let Some(call) = channel::stuck(&channels[0]).next() {
                break call;
            }
        };
        // As if the server had begun it, which it cannot any more.
        channels[0].taken()[call.slot].store(call.sequence, SeqCst);
        assert_eq!(far.child.kill(), Exit::Signal(libc::SIGKILL));
        channels.iter().for_each(channel::scrub);
        far.child = Far::fork(channels, bell, wait);
        assert_eq!(caller.wait(), Exit::Code(0), "round {round}");
        assert_eq!(client.int(round), Ok(!round), "round {round}");
        let seen = (counters.repeated.load(SeqCst) - repeated, counters.unknown.load(SeqCst) - unknown);
        assert_eq!(seen, if round % 2 == 0 { (1, 0) } else { (0, 1) }, "round {round}");
    }
}

/// `kill -9` with tickets out: each is told as a call is.
fn death_is_told_to_tickets(far: &mut Far) {
    let data = [3; 3000];
    let expected = Honest::default().input(1, 3000, &mut InBuf::new(&data));
    for round in 0..20 {
        far.child.signal(libc::SIGSTOP);
        while process::state(far.child.pid()) != Some('T') {
            std::thread::yield_now();
        }
        let counters = far.channels[0].counters();
        let before = (counters.repeated.load(SeqCst), counters.unknown.load(SeqCst));
        let repeated = far.client.submit_input(1, 3000, InBuf::new(&data));
        let [unknown, pending] = [1, 2].map(|byte| far.client.submit_byte(byte));
        let calls: Vec<_> = channel::stuck(&far.channels[0]).collect();
        assert_eq!(calls.len(), 3);
        // As if the server had begun the first two, which it cannot any more; the third waits for its successor.
        for call in &calls[..2] {
            far.channels[0].taken()[call.slot].store(call.sequence, SeqCst);
        }
        assert_eq!(far.child.kill(), Exit::Signal(libc::SIGKILL));
        far.channels.iter().for_each(channel::scrub);
        far.child = Far::fork(&far.channels, &far.bell, far.wait);
        assert_eq!(pending.complete(), Ok(!2), "round {round}");
        assert_eq!((repeated.complete(), unknown.complete()), (expected, Err(Errno::EUNKNOWN)), "round {round}");
        let seen = (counters.repeated.load(SeqCst) - before.0, counters.unknown.load(SeqCst) - before.1);
        assert_eq!(seen, (1, 1), "round {round}");
    }
}

fn main() {
    type Test = (&'static str, fn(&mut Far));
    let tests: [Test; 5] = [
        ("answers_are_those_of_a_direct_call", answers_are_those_of_a_direct_call),
        ("a_scribbling_client_hurts_itself_alone", a_scribbling_client_hurts_itself_alone),
        ("a_lying_server_is_found_out", a_lying_server_is_found_out),
        ("death_is_told_and_a_successor_finds_its_clients", death_is_told_and_a_successor_finds_its_clients),
        ("death_is_told_to_tickets", death_is_told_to_tickets),
    ];
    for (name, test) in tests {
        for wait in [Wait::Yield, Wait::Block, Wait::Adaptive] {
            print!("test {name}, {} ... ", wait.name());
            test(&mut Far::new(wait));
            println!("ok");
        }
    }
}
