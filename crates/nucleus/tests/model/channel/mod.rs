//! The channel's own source files, over the model's memory and patience.

#[path = "../../../src/channel/bell.rs"]
pub mod bell;
#[path = "../../../src/channel/client.rs"]
pub mod client;
#[path = "../../../src/channel/gate.rs"]
pub mod gate;
pub mod layout;
#[path = "../../../src/channel/scrub.rs"]
pub mod scrub;
#[path = "../../../src/channel/server.rs"]
pub mod server;
#[path = "../../../src/channel/state.rs"]
pub mod state;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    Spin,
    Yield,
    Block,
    Adaptive,
}

impl Wait {
    fn now(self) -> Wait {
        self
    }
}

pub const CLIENT_HEAD_START: u32 = 0;
pub const SERVER_HEAD_START: u32 = 0;

/// Polls once, unless it blocks at once.
pub struct Patience {
    polls: u32,
}

impl Patience {
    fn new(wait: Wait, _: u32) -> Patience {
        Patience { polls: u32::from(wait == Wait::Adaptive) }
    }
    fn poll_again(&mut self) -> bool {
        let more = self.polls > 0;
        self.polls = self.polls.saturating_sub(1);
        if more {
            loom::thread::yield_now();
        }
        more
    }
    fn is_idle(&self) -> bool {
        false
    }
    fn is_short(&self) -> bool {
        false
    }
}
