//! Submitted calls over both transports within one process: several are under way at once and no more than there are
//! slots, a dropped ticket's call still happens and its slot comes back, and a server's death is told at completion.

#[path = "../../crates/api/tests/kinds/mod.rs"]
mod kinds;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use kd_api::client::Port;
use kd_api::{Caller, Errno, Handle, InBuf, Message, Result, interface};
use kd_microkernel::thread::connect;
use kd_nucleus::channel::{self, Bell, CALL_SLOTS, Channel, ChannelPort, Pool, Wait};
use kd_sync::{Mutex, WaitQueue};
use kinds::{Honest, Kinds, KindsClient};

const ME: Caller = Caller::app(5);
/// Slots of a port between threads.
const THREAD_SLOTS: usize = 16;

static PARK: kd_sync::Park = kd_sync::Park { wait: kd_nucleus::futex::park, wake: kd_nucleus::futex::wake };

#[interface]
trait Door {
    /// Waits until so many are inside, or the door is open; how many ever came.
    #[submittable]
    fn enter(&self, together: u64) -> Result<u64>;
    #[idempotent]
    #[submittable]
    fn count(&self) -> Result<u64>;
}

#[derive(Default)]
struct House {
    came: Mutex<u64>,
    changed: WaitQueue,
    open: AtomicU64,
}

impl House {
    fn open(&self) {
        self.open.store(1, SeqCst);
        drop(self.came.lock());
        self.changed.wake_all();
    }
}

impl Door for House {
    fn enter(&self, together: u64) -> Result<u64> {
        let mut came = self.came.lock();
        *came += 1;
        self.changed.wake_all();
        let shut = |came: &u64| *came < together && self.open.load(SeqCst) == 0;
        Ok(*self.changed.wait_while(came, |came| shut(came)))
    }
    fn count(&self) -> Result<u64> {
        Ok(*self.came.lock())
    }
}

fn channel(handle: &Handle, wait: Wait, threads: u32) -> (Channel, Arc<dyn Port>) {
    let bell = Bell::new().expect("shared memory");
    let channel = Channel::new("kd-test", &bell).expect("shared memory");
    Pool::new(vec![(channel.clone(), ME)], bell, handle.serve(), wait, threads).start();
    (channel.clone(), Arc::new(ChannelPort::new(channel, wait)))
}

/// A house behind each transport, with as many threads as it has slots, and one more.
fn each_transport(test: impl Fn(&str, usize, &House, &DoorClient)) {
    kd_sync::install(&PARK);
    for (transport, slots) in
        [("thread", THREAD_SLOTS), ("yield", CALL_SLOTS), ("block", CALL_SLOTS), ("adaptive", CALL_SLOTS)]
    {
        let house = Arc::new(House::default());
        let handle = Handle::new(house.clone() as Arc<dyn Door>);
        let threads = slots as u32 + 1;
        let port = match Wait::from_name(transport) {
            Some(wait) => channel(&handle, wait, threads).1,
            None => connect(handle.serve(), "door", threads, ME),
        };
        std::thread::scope(|scope| {
            let (done, watch) = std::sync::mpsc::channel::<()>();
            let inside = house.clone();
            // Calls that are not under way together wait for ever: then this is a failure and no hang.
            scope.spawn(move || {
                if watch.recv_timeout(Duration::from_secs(20)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    inside.open();
                }
            });
            test(transport, slots, &house, &DoorClient::new(port));
            drop(done);
        });
    }
}

/// Until the house has seen so many.
fn came(house: &House, many: u64) {
    let begin = Instant::now();
    while house.count() != Ok(many) {
        assert!(begin.elapsed() < Duration::from_secs(20), "{many} never come");
        std::thread::yield_now();
    }
}

#[test]
fn one_thread_has_a_call_under_way_for_each_slot() {
    each_transport(|transport, slots, house, door| {
        let all = slots as u64;
        // Nobody leaves before all are inside, and nobody waits for an answer before all are submitted.
        let tickets: Vec<_> = (0..slots).map(|_| door.submit_enter(all)).collect();
        assert_eq!(door.submit_enter(0).complete(), Err(Errno::EAGAIN), "{transport}: no slot is free");
        assert_eq!(door.count(), Err(Errno::EAGAIN), "{transport}: nor for a call");
        for ticket in tickets.into_iter().rev() {
            assert_eq!(ticket.complete(), Ok(all), "{transport}");
        }
        assert_eq!((door.count(), house.open.load(SeqCst)), (Ok(all), 0), "{transport}: nobody had to let them out");
    });
}

#[test]
fn a_request_is_begun_although_nobody_waits_for_its_answer() {
    each_transport(|transport, _, house, door| {
        // The server's threads sleep by now, if they ever do.
        std::thread::sleep(Duration::from_millis(20));
        let ticket = door.submit_enter(2);
        came(house, 1);
        let other = door.submit_enter(2);
        came(house, 2);
        assert_eq!((ticket.complete(), other.complete()), (Ok(2), Ok(2)), "{transport}");
    });
}

#[test]
fn a_dropped_ticket_gives_its_slot_back_when_the_server_has_answered() {
    each_transport(|transport, slots, house, door| {
        let all = slots as u64;
        for _ in 0..slots {
            drop(door.submit_enter(u64::MAX));
        }
        came(house, all);
        for _ in 0..10 {
            assert_eq!(door.count(), Err(Errno::EAGAIN), "{transport}: windows are the server's until it answers");
        }
        house.open();
        let begin = Instant::now();
        while door.count() == Err(Errno::EAGAIN) {
            assert!(begin.elapsed() < Duration::from_secs(20), "{transport}: no slot comes back");
        }
        assert_eq!(door.count(), Ok(all), "{transport}: all were made, each once");
        // All of them, and each is whole again.
        let again = || (0..slots).map(|_| door.submit_count()).collect::<Vec<_>>();
        let begin = Instant::now();
        while again().into_iter().any(|ticket| ticket.complete() == Err(Errno::EAGAIN)) {
            assert!(begin.elapsed() < Duration::from_secs(20), "{transport}: some slot does not come back");
        }
        for ticket in again() {
            assert_eq!(ticket.complete(), Ok(all), "{transport}");
        }
    });
}

#[test]
fn a_forgotten_ticket_costs_its_slot_and_no_more() {
    each_transport(|transport, slots, _, door| {
        std::mem::forget(door.submit_count());
        let tickets: Vec<_> = (0..slots).map(|_| door.submit_count()).collect();
        let mut answers: Vec<_> = tickets.into_iter().map(|ticket| ticket.complete()).collect();
        assert_eq!(answers.pop(), Some(Err(Errno::EAGAIN)), "{transport}");
        assert!(answers.iter().all(|answer| *answer == Ok(0)), "{transport}: {answers:?}");
    });
}

#[test]
fn directly_a_call_is_made_at_submission() {
    let house = Arc::new(House::default());
    let door: Arc<dyn Door> = house.clone();
    let ticket = door.submit_enter(0);
    assert_eq!(house.count(), Ok(1));
    assert_eq!(ticket.complete(), Ok(1));
    drop(door.submit_enter(0));
    assert_eq!(house.count(), Ok(2));
}

#[test]
fn an_abandoned_channel_fails_tickets_present_and_to_come() {
    for wait in [Wait::Yield, Wait::Block, Wait::Adaptive] {
        let bell = Bell::new().expect("shared memory");
        let channel = Channel::new("kd-test", &bell).expect("shared memory");
        let client = KindsClient::new(Arc::new(ChannelPort::new(channel.clone(), wait)));
        let before = client.submit_byte(1);
        channel::abandon(&channel);
        let after = [client.submit_byte(1), client.submit_byte(2)];
        assert_eq!(before.complete(), Err(Errno::EUNKNOWN), "{}", wait.name());
        for ticket in after {
            assert_eq!(ticket.complete(), Err(Errno::EUNKNOWN), "{}", wait.name());
        }
        drop(client.submit_byte(3));
        assert_eq!(client.byte(1), Err(Errno::EUNKNOWN), "{}", wait.name());
        assert_eq!(channel.counters().unknown.load(SeqCst), 4);
    }
}

#[test]
fn what_a_dead_server_had_in_hand_is_sent_again_or_unknown_and_the_rest_waits() {
    let bell = Bell::new().expect("shared memory");
    let channel = Channel::new("kd-test", &bell).expect("shared memory");
    let client = KindsClient::new(Arc::new(ChannelPort::new(channel.clone(), Wait::Block)));
    let data = [7; 5000];
    let expected = Honest::default().input(1, 5000, &mut InBuf::new(&data));
    let repeated = client.submit_input(1, 5000, InBuf::new(&data));
    let unknown = client.submit_byte(1);
    let dropped = client.submit_byte(1);
    let in_hand: Vec<_> = channel::stuck(&channel).collect();
    let pending = client.submit_byte(1);
    drop(dropped);
    assert_eq!(in_hand.len(), 3);
    for call in in_hand {
        // As a server does that takes them up, dies of it, and writes where it may before it does.
        channel.taken()[call.slot].store(call.sequence, SeqCst);
        channel.window(call.slot).output(5000).write_zeros(5000);
        channel.lines()[call.slot].write(&Message { operation: 3, words: [9; 6], ..Message::default() });
    }
    channel::scrub(&channel);
    Pool::new(
        vec![(channel.clone(), ME)],
        bell,
        Handle::new(Arc::new(Honest::default()) as Arc<dyn Kinds>).serve(),
        Wait::Block,
        2,
    )
    .start();
    assert_eq!(pending.complete(), Ok(!1), "its successor took it up");
    assert_eq!(repeated.complete(), expected, "sent again as it was");
    assert_eq!(unknown.complete(), Err(Errno::EUNKNOWN));
    let counters = channel.counters();
    assert_eq!((counters.repeated.load(SeqCst), counters.unknown.load(SeqCst)), (1, 1), "of the dropped nobody hears");
    let all: Vec<_> = (0..CALL_SLOTS).map(|i| client.submit_byte(i as u8)).collect();
    for (i, ticket) in all.into_iter().enumerate() {
        assert_eq!(ticket.complete(), Ok(!(i as u8)), "no slot is lost");
    }
}
