//! The message-passing kernel core.
//!
//! Components run apart and reach each other through clients that send messages. Three placements:
//!
//! - [`process`]: a process per domain, channels of shared memory between them, a supervisor that notices death,
//!   hangs and protocol violations and restarts what failed;
//! - [`pkey`]: a protection key per component in one process; a call stays on its thread and changes its rights. Faults
//!   stay inside, and the component is started anew;
//! - [`thread`]: a few threads per component in one process, crossbeam channels between them. Panics stay inside;
//!   memory is not protected.
//!
//! The nucleus (channels, futexes, arenas) is what a microkernel proper would be; the host's kernel decides on
//! scheduling and address spaces.

pub mod pkey;
pub mod process;
pub mod thread;
