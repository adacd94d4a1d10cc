//! The harness: boots kernels, asks them questions, writes down the answers.

pub mod app;
pub mod boot;
pub mod budget;
pub mod campaign;
pub mod cmd;
pub mod experiments;
pub mod handover;
pub mod holdings;
pub mod host_disk;
pub mod kernels;
pub mod meta;
pub mod progress;
pub mod suite;
pub mod vm;
