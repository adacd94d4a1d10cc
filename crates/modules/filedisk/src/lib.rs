//! A disk behind a ring that stores in a file of the host, as a driver module.
//!
//! What a flush costs here is what the host's `fdatasync` costs; the driver cannot tell it from `vdisk`'s device.
//!
//! All of it is [`kd_ringblk`]; this is its declaration.

#![no_std]
#![forbid(unsafe_code)]

use kd_api::Result;
use kd_api::module::DriverEnv;
use kd_ringblk::RingBlock;

kd_module_rt::driver! {
    name: "filedisk",
    license: "MIT OR Apache-2.0",
    author: "Kernel Debate",
    description: "A disk behind a ring that stores in a file of the host",
    parameters: Parameters {
        max_kb: 1024 in 1..=1_048_576 => "longest request in KiB; longer ones are refused with EINVAL",
        depth: 64 in 1..=64 => "requests of one page that the ring holds, rounded down to a power of two",
    },
    probe: probe,
}

fn probe(env: &DriverEnv<'_>, parameters: &Parameters) -> Result<RingBlock> {
    RingBlock::probe(env, parameters.depth, parameters.max_kb)
}
