//! What a supervisor does to a channel whose server or client is gone.
//!
//! The end that died can no longer write; the other end knows its own slots and takes any state for an answer.

use kd_api::Message;

use super::layout::{CALL_SLOTS, Channel, Line};
use super::state::{ASLEEP, CLOSED, DIED, IDLE, REQUEST, State};
use crate::futex;
use crate::sync::atomic::{Ordering::*, fence};

/// The server died: what it had in hand is answered `DIED`; what it had not begun waits for its successor.
pub fn scrub(channel: &Channel) {
    channel.attention().store(ASLEEP, SeqCst);
    channel.bell.clear_out();
    for (slot, line) in channel.lines().iter().enumerate() {
        let (state, in_hand) = channel.look(slot);
        if slot >= CALL_SLOTS && state.what() != REQUEST {
            line.state.store(State::new(IDLE, state.number()).0, Release);
        } else if in_hand || state.what() > DIED {
            answer_died(line, state);
        } else if state.what() != IDLE {
            // It may have answered, and died before it could wake who waits.
            futex::wake(&line.state, 1);
        }
        // Whatever the dying server left here: a request that is still one becomes pending.
        let (state, _) = channel.look(slot);
        let taken = if state.what() == REQUEST { state.previous() } else { state.number() };
        channel.taken()[slot].store(taken, Release);
    }
}

fn answer_died(line: &Line, state: State) {
    let died = State::new(DIED, state.number());
    let _ = line.state.fetch_update(AcqRel, Acquire, |now| (State(now).number() == state.number()).then_some(died.0));
    futex::wake(&line.state, 1);
}

/// There is no server and there will be none: every call, present or to come, is answered `DIED`.
pub fn abandon(channel: &Channel) {
    channel.attention().store(CLOSED, SeqCst);
    // Either we see a request, or who published it sees that there is nobody.
    fence(SeqCst);
    for line in &channel.lines()[..CALL_SLOTS] {
        let state = line.state();
        if state.what() == REQUEST {
            answer_died(line, state);
        }
    }
}

/// The client died: what it has published ends in a reply that nobody reads, and until then no successor has the slot. It
/// may have died before it rang. Nothing is withdrawn: the server may just be taking it up.
pub fn reset(channel: &Channel) {
    channel.bell.ring();
}

/// Both ends died: requests that nobody has begun are withdrawn. To be called before [`scrub`], while nobody serves.
pub fn withdraw(channel: &Channel) {
    for (slot, line) in channel.lines().iter().enumerate() {
        let (state, in_hand) = channel.look(slot);
        if state.what() == REQUEST && !in_hand {
            let idle = State::new(IDLE, state.number());
            line.state.store(idle.0, Release);
            channel.taken()[slot].store(state.number(), Release);
        }
    }
}

/// A request that its server works on, as seen at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// The slot.
    pub slot: usize,
    /// The request's number: seen again later, the server has been at it all the while.
    pub sequence: u32,
    /// The operation.
    pub operation: u16,
    /// It was taken up; otherwise it waits to be.
    pub taken: bool,
}

/// The requests that wait or are worked on.
pub fn stuck(channel: &Channel) -> impl Iterator<Item = Stuck> + '_ {
    channel.lines().iter().enumerate().filter_map(|(slot, line)| {
        let (state, taken) = channel.look(slot);
        let mut request = Message::default();
        line.read(&mut request);
        let operation = request.operation;
        (state.what() == REQUEST).then_some(Stuck { slot, sequence: state.number(), operation, taken })
    })
}

/// Whether a server works on nothing that came by this channel.
pub fn is_idle(channel: &Channel) -> bool {
    (0..channel.lines().len()).all(|slot| !channel.look(slot).1)
}
