//! Locks and wait queues for no_std code.
//!
//! [`Mutex`] and [`RwLock`] take one compare-and-swap when nobody else wants them; a [`WaitQueue`] is a condition
//! variable; a [`rendezvous()`] lets a direct caller wait for a deferred reply. How a thread sleeps is not known here: it
//! goes through the [`Park`] hook that a kernel core installs once per domain, so the same source parks on a private
//! futex in one kernel and tells its server pool in the other.
//!
//! [`Kthread`]s, the time of day and the kernel's log come through a second hook, [`Host`].
//!
//! There is no poisoning: a thread killed inside a lock leaves it held for good, as a Linux oops does.

#![no_std]

extern crate alloc;

mod kthread;
mod park;
mod raw;
mod rendezvous;
mod wait_queue;

pub use kthread::{Context, Host, Kthread, exact_now, install_host, log, now};
pub use park::{Park, install};
pub use raw::{RawMutex, RawRwLock};
pub use rendezvous::{Waiter, rendezvous};
pub use wait_queue::WaitQueue;

/// Mutual exclusion.
pub type Mutex<T> = lock_api::Mutex<RawMutex, T>;
/// The guard of a [`Mutex`].
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawMutex, T>;
/// Many readers or one writer. A reader must not lock it again: a writer may be waiting in between.
pub type RwLock<T> = lock_api::RwLock<RawRwLock, T>;
/// A reader's guard of a [`RwLock`].
pub type RwLockReadGuard<'a, T> = lock_api::RwLockReadGuard<'a, RawRwLock, T>;
/// A reader's guard of a part of what a [`RwLock`] guards.
pub type MappedRwLockReadGuard<'a, T> = lock_api::MappedRwLockReadGuard<'a, RawRwLock, T>;
/// A writer's guard of a [`RwLock`].
pub type RwLockWriteGuard<'a, T> = lock_api::RwLockWriteGuard<'a, RawRwLock, T>;
