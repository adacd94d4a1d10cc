//! The virtual hardware under both kernels: memory, disk, a device with a ring, clock, console.
//!
//! It outlives a kernel: what it holds lies in memory objects that the machine's own process keeps, and a kernel that
//! boots again finds them as the last one left them.

pub mod clock;
pub mod console;
pub mod device;
pub mod disk;
pub mod memory;
