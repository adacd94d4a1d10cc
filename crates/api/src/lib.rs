//! The one subsystem API of Kernel Debate.
//!
//! A subsystem or driver offers an *interface*: a trait marked [`interface`]. The attribute generates a client that
//! implements the trait by sending a message, a server that turns a message into a call, and the table of operations.
//! Components hold `Arc<dyn X>` and cannot tell which of the two they hold; that is what lets the same source run in a
//! kernel of direct calls and in one of messages.
//!
//! This crate is `no_std` + `alloc` and knows nothing of processes or threads. `unsafe` lives in [`mod@buf`],
//! [`mod@window`] and [`mod@grant`] alone: the places where bytes of a peer are copied.

#![no_std]

extern crate alloc;
// The attribute expands to `::kd_api::…`, in here as well.
extern crate self as kd_api;

pub mod around;
pub mod blocks;
pub mod buf;
pub mod client;
pub mod completion;
pub mod component;
pub mod device;
pub mod errno;
mod extensions;
pub mod grant;
pub mod hotplug;
pub mod ids;
pub mod interfaces;
pub mod message;
pub mod module;
pub mod server;
pub mod ticket;
pub mod window;
pub mod wire;

/// What generated code refers to; not part of the API.
#[doc(hidden)]
pub mod generated {
    pub use crate::around::{Around, Observed, Observer};
    pub use crate::client;
    pub use crate::component::Interface;
    pub use crate::message::{InterfaceInfo, Message, Operation, WORDS};
    pub use crate::server::{Answer, Dispatch, Incoming};
    pub use crate::ticket;
    pub use crate::wire::{Decoder, Encoder, Wire};
    pub use alloc::sync::Arc;
}

pub use blocks::Blocks;
pub use buf::{InBuf, OutBuf};
pub use completion::Completion;
pub use component::{Component, Handle, Imports, Interface, Store};
pub use errno::{Errno, Result};
pub use grant::Grant;
pub use ids::{AppId, Caller, Fd, Ino};
pub use kd_api_macros::interface;
pub use message::{InterfaceInfo, Message, Operation};
pub use ticket::Ticket;
