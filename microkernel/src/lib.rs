//! The message-passing kernel core.
//!
//! Components run apart and reach each other through clients that send messages. Two placements:
//!
//! - [`process`]: a process per domain, channels of shared memory between them, a supervisor that notices death,
//!   hangs and protocol violations and restarts what failed;
//! - [`thread`]: a few threads per component in one process, crossbeam channels between them. Panics stay inside;
//!   memory is not protected.
//!
//! The nucleus (channels, futexes, arenas) is what a microkernel proper would be; the host's kernel decides on
//! scheduling and address spaces.

pub mod process;
pub mod thread;
