//! Pipes.

use crate::ids::PipeId;
use crate::{Completion, InBuf, OutBuf, Result, interface};

/// Bytes a pipe holds, as in Linux.
pub const PIPE_CAPACITY: usize = 64 * 1024;
/// Bytes a write puts into a pipe at once or not at all (POSIX's `PIPE_BUF`).
pub const PIPE_BUF: usize = 4096;

/// The kernel's pipes. Each end is counted: a pipe goes when both counts are zero.
#[interface]
pub trait Pipe {
    /// Makes a pipe with one reader and one writer.
    fn create(&self) -> Result<PipeId>;
    /// Reads what there is, at most `out`; waits while the pipe is empty and has writers, then 0 is the end.
    #[blocking]
    fn read(&self, pipe: PipeId, out: &mut OutBuf<'_>) -> Result<usize>;
    /// Writes all of `data`, waiting for room; `EPIPE` without readers. Up to [`PIPE_BUF`] bytes are never mixed with
    /// another writer's.
    #[blocking]
    fn write(&self, pipe: PipeId, data: &mut InBuf<'_>) -> Result<usize>;
    /// Answers, without holding a thread meanwhile, once a read would not wait.
    #[idempotent]
    fn wait_readable(&self, pipe: PipeId, done: Completion<()>);
    /// Ends all waits in a pipe with `ECANCELED`, so that they take nothing: said by a VFS that follows one that died with
    /// them.
    #[idempotent]
    fn interrupt(&self, pipe: PipeId) -> Result<()>;
    /// Drops one count of the reading (`writer` false) or writing end.
    fn close(&self, pipe: PipeId, writer: bool) -> Result<()>;
}
