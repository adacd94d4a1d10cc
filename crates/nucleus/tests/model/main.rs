//! The channel's protocol, in every order of its steps that loom can tell apart.
//!
//! What is tried is the source of `src/channel` itself, compiled here a second time in another world: [`world`] has the
//! atomics, the futex, threads and processes, `layout.rs` the memory. Only how long somebody polls is the model's own: once or
//! not at all. Loom and not shuttle, since what can be wrong here is a barrier, and shuttle's memory forgets none. A
//! world of its own and neither a `cfg` nor a feature, so that plain `cargo test` runs it and the sources name no model.
//!
//! Executions in which threads that could go on are left more than twice (once where somebody dies) are not tried.
//!
//! Each of these was broken once, and found:
//!
//! | broken | found as |
//! | --- | --- |
//! | the barrier in `call_attention`, before a server's last look, in `leaving`, in `abandon`; the look in `leaving`; the bell noted after the last look, or not rung for an event | somebody sleeps for ever |
//! | a reply stored without a look at who waits; a scrub that wakes nobody who was answered; a reset that does not ring | the same |
//! | `Release` and `Acquire` of a request, of a reply, of a slot; a claim in two steps; any thread takes requests up | two sides in one message |
//! | a reset that withdraws requests beside a living server; a port that inherits no slot in use | two sides in one message |
//! | a scrub that leaves requests in hand | a call without an answer |

#![allow(missing_docs, unreachable_pub, dead_code)]

mod world;

use world::{futex, sync, threads};

#[path = "../../src/watch.rs"]
mod watch;

mod process {
    pub fn has_one_core() -> bool {
        false
    }
}

mod channel;
mod scenarios;
