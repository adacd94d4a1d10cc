//! Why a fault cannot be injected.

use std::io;

/// Why a fault cannot be injected. The victim runs as before: the jump is written last.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say it.
pub enum InjectError {
    #[error("faults are injected on x86-64 only: payloads are machine code")]
    Unavailable,
    #[error("no function's name holds `{0}`: it was inlined, or the file has no symbols")]
    NoSymbol(String),
    #[error("the function has {len} bytes, a jump needs {needed}: choose a longer one")]
    TooShort { len: usize, needed: usize },
    #[error("the function's code cannot be decoded at byte {0}")]
    Undecodable(usize),
    #[error("a branch at byte {from} leads to byte {to}, which the jump would overwrite: choose another function")]
    BranchInto { from: usize, to: usize },
    #[error("the function's first instructions cannot run elsewhere ({0}): choose another function")]
    NotMovable(String),
    #[error("the victim's memory does not hold the function's code: wrong base or file, or already injected")]
    NotTheCode,
    #[error("the patch room is in use: a victim takes one fault")]
    RoomTaken,
    #[error("the payload takes {0} bytes, more than the patch room has")]
    TooLong(usize),
    #[error("the fault needs {0}")]
    Needs(&'static str),
    #[error("a thread of the victim stays within the bytes to overwrite")]
    Busy,
    #[error("the host refused {what}: {source}")]
    Host { what: String, source: io::Error },
}

impl InjectError {
    /// The host's refusal of `what`.
    pub(crate) fn host(what: impl Into<String>) -> impl FnOnce(io::Error) -> InjectError {
        move |source| InjectError::Host { what: what.into(), source }
    }
}
