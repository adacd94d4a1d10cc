//! Scripts: system calls as data, and what came of them, so that kernels can be compared call by call.
//!
//! Descriptors are named by *handle*: a place in a table that the script's app keeps, the lowest free one for each new
//! descriptor. Kernels number descriptors differently; handles they must not.

use serde::{Deserialize, Serialize};

/// A place in the table of open descriptors; one that is empty stands for a descriptor that is none.
pub type Handle = usize;

/// Bytes to write, said in two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// From which the bytes follow.
    pub start: u8,
    /// How many.
    pub length: usize,
}

impl Data {
    /// The bytes: a pattern whose length is no page's, so that a page at the wrong place shows.
    pub fn bytes(self) -> Vec<u8> {
        (0..self.length).map(|i| ((usize::from(self.start) + i * 3) % 251) as u8).collect()
    }
}

/// One call. Every path is below the app's own directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Call {
    Open {
        path: String,
        flags: u32,
        mode: u32,
    },
    Close(Handle),
    Read(Handle, usize),
    Write(Handle, Data),
    Pread(Handle, i64, usize),
    Pwrite(Handle, i64, Data),
    Lseek(Handle, i64, u32),
    Fsync(Handle),
    Stat(String),
    Mkdir(String, u32),
    Unlink(String),
    Rename(String, String),
    Getdents(Handle, usize),
    Pipe,
    Getpid,
    /// Reads one byte although that may wait for ever.
    Wait(Handle),
    /// The kernel's own number of a handle's descriptor.
    Fd(Handle),
    /// Every file and directory of the app, with its contents.
    Tree,
}

/// What came of one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// A number: bytes, a position, a handle.
    Number(u64),
    /// Bytes that were read: how many, and their FNV-1a hash together with the untouched rest of the room.
    Bytes(usize, u64),
    /// What `stat` tells: directory, mode, links, size.
    Stat(bool, u16, u32, u64),
    /// Names with their type, sorted.
    Names(Vec<(String, u8)>),
    /// Paths, each with what `stat` tells and the hash of its contents, sorted.
    Tree(Vec<(String, Box<Outcome>, u64)>),
    /// It failed: an errno's name.
    Failed(String),
    /// Not made: it might have waited for ever, or means something else on each kernel (a position in a directory).
    Skipped,
}
