//! The channel's protocol, in every order of its steps that loom can tell apart.
//!
//! What is tried is the source of `src/channel` itself, compiled here a second time in another world: [`world`] has the
//! atomics, the futex, threads and processes, `layout.rs` the memory. Only how long somebody polls is the model's own: once or
//! not at all. Loom and not shuttle, since what can be wrong here is a barrier, and shuttle's memory forgets none. A
//! world of its own and neither a `cfg` nor a feature, so that plain `cargo test` runs it and the sources name no model.
//!
//! Executions with more than [`PREEMPTIONS`] changes from a thread that could go on are left out.
//!
//! What was broken once, to see it found, and by whom:
//!
//! BROKEN

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
