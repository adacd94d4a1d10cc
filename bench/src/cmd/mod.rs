//! The commands of `debate`: each is a file here, with its arguments, its help and its work.
//!
//! A command writes to the output it is given and returns one error with its remedy; the program alone decides on exit
//! codes.

pub mod bench;
pub mod campaign;
pub mod crashcheck;
pub mod list;
pub mod report;
pub mod run;
pub mod target;
mod upgrade;
pub mod vm_test;

use std::io;

use crate::boot::BootFailure;
use crate::campaign::session::CampaignError;
use crate::suite::SuiteError;
use crate::vm::VmError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The suite did.
    #[error(transparent)]
    Suite(#[from] SuiteError),
    /// A driver module is missing or is none.
    #[error(transparent)]
    Module(#[from] kd_nucleus::module::ModuleError),
    /// A kernel did not boot, or its root is gone.
    #[error(transparent)]
    Boot(#[from] BootFailure),
    /// A placement that there is not, or that does not fit the components.
    #[error(transparent)]
    Layout(#[from] kd_boot::layout::LayoutError),
    /// A fault campaign gave no summary.
    #[error(transparent)]
    Campaign(#[from] CampaignError),
    /// Logs of a fault campaign cannot be put together.
    #[error(transparent)]
    Merge(#[from] kd_campaign::merge::MergeError),
    /// A log of a fault campaign cannot be read.
    #[error(transparent)]
    Log(#[from] kd_campaign::LogError),
    /// The guest did not run.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// Options that do not fit together.
    #[error("{0}")]
    Options(String),
    /// What ran ended early.
    #[error("{0}")]
    Ended(String),
    /// The output cannot be written.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

impl CommandError {
    /// Whether the reader of our output has just gone away (`debate list | head`), which is no failure of ours.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, CommandError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
