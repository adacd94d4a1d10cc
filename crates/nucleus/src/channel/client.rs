//! The client's end of a channel.

use std::sync::atomic::{AtomicBool, Ordering::*, fence};

use kd_api::client::{Exchange, Port, Slot};
use kd_api::{Errno, Message, Operation, Result};

use super::layout::{AWAKE, CALL_SLOTS, CLOSED, Channel, DIED, EVENT_SLOTS, IDLE, Line, REPLY, REQUEST, State, WAITER};
use super::{Patience, Wait};
use crate::{futex, watch};

/// Calls through a channel. Which slots are free is known here and nowhere else.
pub struct ChannelPort {
    channel: Channel,
    wait: Wait,
    /// Slots in use, each claimed by a swap and given back by a plain store.
    used: [AtomicBool; CALL_SLOTS],
    posting: AtomicBool,
}

impl ChannelPort {
    /// A port on a channel that no other port of this process or another uses.
    pub fn new(channel: Channel, wait: Wait) -> ChannelPort {
        // A slot whose request a server still works on, for a holder that died before us, is lost to us.
        let used = std::array::from_fn(|slot| AtomicBool::new(channel.look(slot).1));
        ChannelPort { channel, wait, used, posting: AtomicBool::new(false) }
    }

    /// Publishes a request.
    ///
    /// Who sleeps until the answer must know now that somebody will look: a full barrier, so that either we see that
    /// nobody does, or whoever stops looking sees the request. Who polls finds out in time, see `await_answer`.
    fn publish(&self, line: &Line, request: &Message, state: State) {
        line.write(request);
        if state.waits() {
            line.state.swap(state.0, SeqCst);
            self.call_attention(line);
        } else {
            line.state.store(state.0, Release);
        }
    }

    /// Rings if nobody looks for requests; fails the request if nobody ever will.
    fn call_attention(&self, line: &Line) {
        match self.channel.attention().load(SeqCst) {
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

    fn await_answer(&self, line: &Line, wait: Wait) -> u32 {
        let mut patience = Patience::new(wait);
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
                    fence(SeqCst);
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
        // Where a request of a client that died is still in hand, its server has the window. One that never answers it takes
        // no more than it could by never answering.
        let free = |slot: usize| self.channel.lines()[slot].state().what() != REQUEST;
        let mut slots = self.used.iter().enumerate();
        let claimed = slots.position(|(slot, used)| !used.load(Relaxed) && free(slot) && !used.swap(true, Acquire));
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
        match self.await_answer(line, wait) {
            DIED => Exchange::Died,
            answer => {
                line.read(message);
                if message.sequence != next.number() || answer != REPLY {
                    // No answer, or one to another question: no operation has this number, so the stub sees a violation.
                    message.operation = u16::MAX;
                }
                Exchange::Replied
            }
        }
    }

    fn release(&self, slot: Slot<'_>) {
        self.used[slot.index].store(false, Release);
    }

    fn post(&self, _: &'static Operation, request: Message) {
        // Two posters at once are rare, and an event may be lost: whoever comes second gives up as if there were no room.
        if !self.posting.swap(true, Acquire) {
            let lines = &self.channel.lines()[CALL_SLOTS..CALL_SLOTS + EVENT_SLOTS];
            let free = lines.iter().find(|line| line.state().what() == IDLE);
            if let Some(line) = free {
                self.publish(line, &request, State::new(REQUEST, line.state().number().wrapping_add(1)));
                fence(SeqCst);
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
    }

    fn repeated(&self) {
        self.channel.counters().repeated.fetch_add(1, Relaxed);
    }

    fn unknown(&self) {
        self.channel.counters().unknown.fetch_add(1, Relaxed);
    }
}
