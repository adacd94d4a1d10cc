//! Why a module cannot be had. Each message names the file and what to do.

use std::io;
use std::path::PathBuf;

use kd_api::Errno;

/// Why a module was not found, was refused, or did not start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say it.
pub enum ModuleError {
    #[error("`{0}` is no module name: use a-z, 0-9 and _")]
    BadName(String),
    #[error("no {file} in {searched}: build the module's crate with the same profile as this program")]
    NotFound { file: String, searched: String },
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is not a driver module ({why}): give a file that a module's crate was built to")]
    NotAModule { path: PathBuf, why: String },
    #[error("{path} is the module `{found}`, not `{wanted}`: give the file of `{wanted}`")]
    WrongName { path: PathBuf, found: String, wanted: String },
    #[error("{path} states no licence: add `license` to its `driver!`")]
    NoLicence { path: PathBuf },
    #[error("{path} has no parameter `{parameter}`: it has {known}")]
    UnknownParameter { path: PathBuf, parameter: String, known: String },
    #[error("{path} cannot take {parameter}={value}: give {least} to {most}")]
    BadValue { path: PathBuf, parameter: String, value: u64, least: u64, most: u64 },
    #[error(
        "{path} was built for another kernel: rebuild both with one cargo command\n  module: {module}\n  kernel: {kernel}"
    )]
    WrongStamp { path: PathBuf, module: String, kernel: String },
    #[error("{path} could not be loaded ({why}): rebuild it")]
    Load { path: PathBuf, why: String },
    #[error("{path} has no entry `{entry}`: declare its driver with `driver!`")]
    NoEntry { path: PathBuf, entry: String },
    #[error("the driver in {path} did not start: {errno}")]
    Refused { path: PathBuf, errno: Errno },
    #[error("the host gave no memory for {path}: {source}")]
    Host { path: PathBuf, source: io::Error },
}
