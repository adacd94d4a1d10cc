//! The client's end of a channel.

use kd_api::client::{Exchange, Port, Slot};
use kd_api::{Errno, Message, Operation, Result};

use super::layout::{CALL_SLOTS, Channel, EVENT_SLOTS, Line};
use super::state::{AWAKE, CLOSED, DIED, IDLE, REPLY, REQUEST, State, WAITER};
use super::{CLIENT_HEAD_START, Patience, Wait};
use crate::sync::atomic::{AtomicBool, Ordering::*, fence};
use crate::{futex, watch};

/// Calls through a channel. Which slots are free is known here and nowhere else.
pub struct ChannelPort {
    channel: Channel,
    wait: Wait,
    /// Slots in use, each claimed by a swap and given back by a plain store.
    used: [AtomicBool; CALL_SLOTS],
    /// Of these, the ones whose answer nobody waits for: given up, or of a holder that died before us. Free once it is there.
    abandoned: [AtomicBool; CALL_SLOTS],
    posting: AtomicBool,
}

impl ChannelPort {
    /// A port on a channel that no other port of this process or another uses.
    pub fn new(channel: Channel, wait: Wait) -> ChannelPort {
        let requests: [bool; CALL_SLOTS] = std::array::from_fn(|slot| channel.lines()[slot].state().what() == REQUEST);
        let [used, abandoned] = [requests, requests].map(|slots| slots.map(AtomicBool::new));
        ChannelPort { channel, wait, used, abandoned, posting: AtomicBool::new(false) }
    }

    /// Publishes a request. Who sleeps until the answer must know now that somebody will look; who polls finds out in
    /// time, see `await_answer`.
    fn publish(&self, line: &Line, request: &Message, state: State) {
        line.write(request);
        line.state.store(state.0, Release);
        if state.waits() {
            self.call_attention(line);
        }
    }

    /// Rings if nobody looks for requests; fails the request if nobody ever will. A full barrier before the look, so
    /// that either we see that nobody looks, or whoever stops looking sees the request.
    fn call_attention(&self, line: &Line) {
        fence(SeqCst);
        match self.channel.attention().load(Relaxed) {
            AWAKE => {}
            CLOSED => self.fail(line),
            _ => self.channel.bell.ring(),
        }
    }

    /// With no server left, a request fails at once.
    fn fail(&self, line: &Line) {
        let state = line.state();
        if state.what() == REQUEST {
            let died = State::new(DIED, state.number());
            let _ = line.state.compare_exchange(state.0, died.0, AcqRel, Relaxed);
        }
    }

    /// A slot that was given up and has been answered since.
    #[cold]
    fn reclaim(&self) -> Option<usize> {
        (0..CALL_SLOTS).find(|&slot| {
            // Looked at only once it is ours to look at: else it may be claimed and given up again in between.
            let ours = self.abandoned[slot].load(Relaxed) && self.abandoned[slot].swap(false, Acquire);
            let busy = ours && self.channel.lines()[slot].state().what() == REQUEST;
            if busy {
                self.abandoned[slot].store(true, Release);
            }
            ours && !busy
        })
    }

    /// Whether a request of ours waits to be taken up: whoever comes for it, because of its own ring, sees all others.
    fn others_wait(&self, slot: usize) -> bool {
        (0..CALL_SLOTS).filter(|&other| other != slot).any(|other| {
            let (state, in_hand) = self.channel.look(other);
            state.what() == REQUEST && !in_hand
        })
    }

    fn await_reply(&self, line: &Line, wait: Wait, message: &mut Message) -> Exchange {
        let sequence = message.sequence;
        match self.await_answer(line, wait) {
            DIED => Exchange::Died,
            answer => {
                line.read(message);
                if message.sequence != sequence || answer != REPLY {
                    // No answer, or one to another question: no operation has this number, so the stub sees a violation.
                    message.operation = u16::MAX;
                }
                Exchange::Replied
            }
        }
    }

    fn await_answer(&self, line: &Line, wait: Wait) -> u32 {
        let mut patience = Patience::new(wait, CLIENT_HEAD_START);
        let mut told = false;
        let answer = loop {
            let state = line.state();
            if state.what() != REQUEST {
                break state.what();
            }
            if patience.is_short() {
                patience.poll_again();
                continue;
            }
            // Before the core is offered to others, or we sleep, somebody must know that we wait.
            if !told {
                watch::about_to_wait();
                told = true;
                if !state.waits() {
                    self.call_attention(line);
                }
            }
            if patience.poll_again() {
                continue;
            }
            let asleep = state.0 | WAITER;
            if !state.waits() && line.state.compare_exchange(state.0, asleep, AcqRel, Relaxed).is_err() {
                continue;
            }
            futex::wait(&line.state, asleep);
        };
        if told {
            watch::done_waiting();
        }
        answer
    }
}

impl Port for ChannelPort {
    fn claim(&self) -> Result<Slot<'_>> {
        let claimed = self.used.iter().position(|used| !used.load(Relaxed) && !used.swap(true, Acquire));
        let claimed = claimed.or_else(|| self.reclaim());
        claimed.map(|index| Slot { index, window: self.channel.window(index) }).ok_or(Errno::EAGAIN)
    }

    fn exchange(&self, slot: &Slot<'_>, _: &'static Operation, message: &mut Message) -> Exchange {
        let line = &self.channel.lines()[slot.index];
        let next = State::new(REQUEST, line.state().number().wrapping_add(1));
        message.sequence = next.number();
        // A blocking client sleeps at once, so it says so with the request itself.
        let wait = self.wait.now();
        let waiter = if wait == Wait::Block { WAITER } else { 0 };
        self.publish(line, message, State(next.0 | waiter));
        self.await_reply(line, wait, message)
    }

    fn submit(&self, slot: &Slot<'_>, _: &'static Operation, message: &mut Message) -> Option<Exchange> {
        let line = &self.channel.lines()[slot.index];
        let next = State::new(REQUEST, line.state().number().wrapping_add(1));
        message.sequence = next.number();
        self.publish(line, message, next);
        // Nobody may come to wait for a while: the server must know now. One ring is enough for several requests.
        fence(SeqCst);
        if !self.others_wait(slot.index) {
            self.call_attention(line);
        }
        None
    }

    fn complete(&self, slot: &Slot<'_>, _: &'static Operation, message: &mut Message) -> Exchange {
        self.await_reply(&self.channel.lines()[slot.index], self.wait.now(), message)
    }

    fn abandon(&self, slot: Slot<'_>) {
        self.abandoned[slot.index].store(true, Release);
    }

    fn release(&self, slot: Slot<'_>) {
        self.used[slot.index].store(false, Release);
    }

    fn grant(&self, at: *const u8, len: usize) -> Option<(i16, u64)> {
        let mut pools = (1..).zip(self.channel.pools());
        pools.find_map(|(number, pool)| Some((number, pool.find(at, len)?)))
    }

    fn post(&self, _: &'static Operation, request: Message) {
        // Two posters at once are rare, and an event may be lost: whoever comes second gives up as if there were no room.
        if !self.posting.swap(true, Acquire) {
            let lines = &self.channel.lines()[CALL_SLOTS..CALL_SLOTS + EVENT_SLOTS];
            let free = lines.iter().find(|line| line.state().what() == IDLE);
            if let Some(line) = free {
                self.publish(line, &request, State::new(REQUEST, line.state().number().wrapping_add(1)));
                self.call_attention(line);
            }
            self.posting.store(false, Release);
            if free.is_some() {
                return;
            }
        }
        self.channel.counters().dropped.fetch_add(1, Relaxed);
    }

    fn violated(&self) {
        self.channel.counters().violations.fetch_add(1, Relaxed);
        watch::complain();
    }

    fn repeated(&self) {
        self.channel.counters().repeated.fetch_add(1, Relaxed);
    }

    fn unknown(&self) {
        self.channel.counters().unknown.fetch_add(1, Relaxed);
    }
}
