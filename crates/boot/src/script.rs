//! Scripts: system calls as data, and what came of them, so that kernels can be compared call by call.
//!
//! Descriptors are named by *handle*: a place in a table that the script's app keeps, the lowest free one for each new
//! descriptor. Kernels number descriptors differently (differs: open-numbers); handles they must not.

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
    /// Offsets of blocks of one size.
    PreadMany(Handle, Vec<u64>, usize),
    /// Offsets of blocks of one size, and the bytes of all.
    PwriteMany(Handle, Vec<u64>, usize, Data),
    Lseek(Handle, i64, u32),
    Fsync(Handle),
    Stat(String),
    Mkdir(String, u32),
    Unlink(String),
    Rename(String, String, u32),
    Rmdir(String),
    Link(String, String),
    /// What it says, and where it is.
    Symlink(String, String),
    Readlink(String, usize),
    Lstat(String),
    Fstat(Handle),
    Statfs(String),
    Truncate(String, i64),
    Ftruncate(Handle, i64),
    Fallocate(Handle, u32, i64, i64),
    Fdatasync(Handle),
    Sync,
    Dup(Handle),
    Chmod(String, u32),
    Chown(String, u32, u32),
    Utimens(String, u64, u64),
    Umask(u32),
    Getdents(Handle, usize),
    Pipe,
    Getpid,
    /// Reads one byte although that may wait for ever.
    Wait(Handle),
    /// The kernel's own number of a handle's descriptor.
    Fd(Handle),
    /// Waits until the app's board has been told to stop as often as there were pauses, this one included.
    Pause,
    /// Every file and directory of the app, with its contents.
    Tree,
}

/// What `stat` tells that every kernel must tell alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// What it is, by `S_IFMT`'s number.
    pub kind: u32,
    /// Permission bits.
    pub mode: u16,
    /// Names.
    pub links: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// Bytes; 0 for a directory.
    pub size: u64,
    /// When it was read and when it changed, where a call has set that; else `None`, for the present differs.
    pub times: [Option<u64>; 2],
}

/// What came of one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// A number: bytes, a position, a handle.
    Number(u64),
    /// Bytes that were read: how many, and their FNV-1a hash together with the untouched rest of the room.
    Bytes(usize, u64),
    /// What `stat` tells.
    Stat(Seen),
    /// Names with their type, sorted.
    Names(Vec<(String, u8)>),
    /// Paths, each with what `stat` tells and the hash of its contents, sorted.
    Tree(Vec<(String, Box<Outcome>, u64)>),
    /// It failed: an errno's name.
    Failed(String),
    /// Not made: it might have waited for ever, or means something else on each kernel (a position in a directory).
    Skipped,
}
