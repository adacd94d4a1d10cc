//! A server whose messages are wrong: before the generated server that turns messages into calls, and behind the transport,
//! which is the shipped one. A component that is called directly has no messages, and nothing of this.

use std::sync::{Arc, Mutex, PoisonError};

use kd_api::message::InterfaceInfo;
use kd_api::server::{Answer, Dispatch, Incoming, Replier};
use kd_api::window::{BULK, WINDOW};
use kd_api::{Errno, Message};
use kd_nucleus::{channel, trespass};

use super::{Misdeed, Trigger};
use crate::control::canary;

/// How far beyond its window a server writes: up to this power of two.
const REACH: u64 = 22;

/// Before a server.
pub struct Forger {
    inner: Arc<dyn Dispatch>,
    trigger: &'static Trigger,
    /// An answer that is given during the next call.
    kept: Mutex<Option<(Replier, Message)>>,
}

impl Forger {
    /// One before a server. All servers of one component count their calls together.
    pub fn new(inner: Arc<dyn Dispatch>, trigger: &'static Trigger) -> Forger {
        Forger { inner, trigger, kept: Mutex::default() }
    }

    fn keep(&self, answer: Option<(Replier, Message)>) -> Option<(Replier, Message)> {
        std::mem::replace(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner), answer)
    }

    /// Numbers that follow from the fault's salt.
    fn noise(&self) -> Vec<u64> {
        let word = |bytes: &[u8]| bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        canary(self.trigger.what.salt).chunks(8).map(word).collect()
    }

    /// Writes beyond a window.
    fn overrun(&self, window: usize) {
        let noise = canary(self.trigger.what.salt);
        let mut left = 64usize << (self.trigger.what.salt % (REACH - 6));
        let mut at = window + WINDOW;
        while left > 0 {
            let count = left.min(noise.len());
            trespass::store(at, &noise[..count]);
            (at, left) = (at + count, left - count);
        }
    }

    /// Some of a reply's fields become noise, at least one.
    fn garble(&self, reply: &mut Message) {
        let noise = self.noise();
        let which = 1 + noise[0] % 15;
        if which & 1 != 0 {
            reply.operation = noise[1] as u16;
        }
        if which & 2 != 0 {
            reply.status = noise[2] as i16;
        }
        if which & 4 != 0 {
            reply.bulk = noise[3] as u32;
        }
        if which & 8 != 0 {
            reply.words.iter_mut().zip(&noise[4..]).for_each(|(word, noise)| *word = *noise);
        }
    }
}

impl Dispatch for Forger {
    fn info(&self) -> &'static InterfaceInfo {
        self.inner.info()
    }

    fn dispatch(&self, incoming: Incoming<'_>, reply: &mut Message) -> Answer {
        let done = self.trigger.world.done;
        if let Some((late, answer)) = self.keep(None) {
            done();
            late(answer);
            // On one core a client that is woken now comes to see it before the answer to this call, or never does.
            std::thread::yield_now();
        }
        let request = *incoming.request;
        let misdeed = self.trigger.what.misdeed;
        let ordinary = self.info().operation(request.operation).is_some_and(|one| !one.event && !one.deferred);
        let counts = ordinary && (misdeed != Misdeed::Uninitialised || request.bulk > 0);
        if !counts || !self.trigger.strikes() {
            return self.inner.dispatch(incoming, reply);
        }
        match misdeed {
            Misdeed::Twice | Misdeed::Late => {
                let later = (incoming.later)();
                let answer = self.inner.dispatch(incoming, reply);
                self.keep(Some((later, *reply)));
                if misdeed == Misdeed::Late {
                    reply.refuse(request.operation, Errno::EIO);
                }
                return answer;
            }
            Misdeed::Uninitialised => {
                done();
                reply.begin(request.operation);
                reply.bulk = request.bulk;
                reply.words[0] = request.bulk.into();
                return Answer::Reply;
            }
            _ => {}
        }
        done();
        match misdeed {
            Misdeed::Unasked => drop(channel::answer_unasked()),
            Misdeed::Overrun => self.overrun(incoming.window.as_raw() as usize),
            _ => {}
        }
        let answer = self.inner.dispatch(incoming, reply);
        match misdeed {
            Misdeed::Garbage => self.garble(reply),
            Misdeed::Beyond => reply.bulk = request.bulk + 1 + (self.trigger.what.salt % BULK as u64) as u32,
            _ => {}
        }
        answer
    }
}
