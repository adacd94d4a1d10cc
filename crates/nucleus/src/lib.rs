//! The nucleus: the mechanisms that both kernel cores link and that cannot sit behind a message without a circle.
//!
//! | module | what |
//! | --- | --- |
//! | [`zygote`] | a small process, started before any thread exists, from which boots are forked |
//! | [`process`] | fork, pidfd, CPU time, affinity |
//! | [`last_words`], [`ring`], [`berth`] | a death told before the host tells it, and made sure of; who comes next |
//! | [`socket`] | messages and descriptors between processes |
//! | [`channel`] | calls between domains through shared memory |
//! | [`futex`], [`watch`] | waiting |
//! | [`threads`] | threads that run kernel code |
//! | [`arena`] | a domain's heap |
//! | [`pkey`] | domains in one process, by protection keys |
//! | [`module`] | driver modules: checks, loading, symbols |
//! | [`mutant`] | code changed at its first execution |
//! | [`confine`] | what a process may ask of the host while its code is broken on purpose |
//! | [`trespass`] | accesses to memory that a faulty component has no right to |
//!
//! `unsafe` stands in `arena`, `channel::layout`, `futex`, `process`, `last_words`, `ring`, `socket`, `zygote`, `threads`,
//! `module`, `mutant`, `confine`, `trespass` and `pkey`.

pub mod arena;
pub mod berth;
pub mod channel;
pub mod confine;
pub mod futex;
pub mod last_words;
pub mod module;
pub mod mutant;
pub mod pkey;
pub mod process;
pub mod ring;
pub mod socket;
pub mod threads;
pub mod trespass;
pub mod watch;
pub mod zygote;

/// Where channels have their atomics and thread-locals from: here the host's. The same sources are compiled a second time
/// with a model's, which tries out every order of their steps (`tests/model`).
mod sync {
    pub use std::sync::atomic;
    pub use std::thread_local;
}
