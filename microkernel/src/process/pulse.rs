//! A heartbeat of servers that nobody calls, so that one that is stuck is replaced before somebody needs it.
//!
//! No message is needed: a ring of the server's bell wakes a thread that waits for requests, and the host counts its
//! switches. A server whose bell rings, in which nothing runs or wants to, and whose count stands still, has no thread
//! left that waits. As with [hangs](super::hang), looks are counted and not time.

use kd_nucleus::channel::Bell;
use kd_nucleus::process;

/// Looks in a row without a call in hand, after which the bell is rung: a second if the supervisor is never delayed.
const IDLE_TICKS: u32 = 100;
/// Looks after that which find it still asleep.
const SILENT_TICKS: u32 = 20;

/// What is remembered of one idle server.
#[derive(Debug, Default)]
pub struct Pulse {
    idle: u32,
    /// How often it had switched when its bell was rung.
    asked: Option<u64>,
    silent: u32,
}

impl Pulse {
    /// Looks at a server; says what is wrong, if anything is.
    pub fn look(&mut self, pid: i32, called: bool, bell: &Bell) -> Option<&'static str> {
        if called {
            *self = Pulse::default();
            return None;
        }
        let Some(before) = self.asked else {
            self.idle += 1;
            if self.idle >= IDLE_TICKS {
                self.asked = Some(process::context_switches(pid));
                bell.ring();
            }
            return None;
        };
        if process::context_switches(pid) > before {
            *self = Pulse::default();
        } else if !process::is_runnable(pid) {
            self.silent += 1;
        }
        (self.silent >= SILENT_TICKS).then_some("does not stir when its bell rings")
    }
}
