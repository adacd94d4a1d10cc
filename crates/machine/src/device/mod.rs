//! A block device with a ring, as `kd_api::device` describes it to drivers.
//!
//! | module | what |
//! | --- | --- |
//! | [`registers`] | the page of registers, doorbell and interrupt, of both sides |
//! | [`frames`] | memory that device and driver share |
//! | [`iommu`] | which addresses the device may reach |
//! | [`medium`] | a file of the host or memory, behind a volatile write cache |
//! | [`panel`] | what the machine's owner sets and reads: IOMMU, latency, media errors, power |
//! | [`controller`] | the device itself |
//! | [`port`] | the driver's side |
//!
//! The controller never waits and knows no clock: whoever runs it (a process of the machine's) calls it when the
//! doorbell rang or a request is due, so a test drives it step by step. It trusts nothing that its driver can write: the
//! registers and both rings are read word by word and checked, its own state is its own, and one call does a bounded
//! amount of work. The panel is out of a driver's reach.

pub mod controller;
pub mod frames;
pub mod iommu;
pub mod medium;
pub mod panel;
pub mod port;
pub mod registers;

#[cfg(test)]
mod tests;
