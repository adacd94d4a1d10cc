//! Calls as programs make them, with the answer that they expect: anything shorter is `EIO`.

use kd_api::interfaces::fs::Stat;
use kd_api::{Errno, Fd, InBuf, OutBuf};

use crate::{Env, Wrong};

/// Opens a file, lets `work` use it, and closes it whatever came of that.
pub fn with_file<T>(env: &Env, path: &str, flags: u32, work: impl FnOnce(Fd) -> Result<T, Errno>) -> Result<T, Errno> {
    let fd = env.sys.open(env.caller, path, flags, 0o600)?;
    let done = work(fd);
    let closed = env.sys.close(env.caller, fd);
    done.and_then(|done| closed.map(|()| done))
}

/// Writes all of `data` at the file's position.
pub fn write(env: &Env, fd: Fd, data: &[u8]) -> Result<(), Errno> {
    let count = env.sys.write(env.caller, fd, &mut InBuf::new(data))?;
    if count == data.len() { Ok(()) } else { Err(Errno::EIO) }
}

/// Reads what is left of a file, which must be `expected` bytes, as programs do: into a larger buffer, until nothing
/// comes any more.
pub fn read_to_end(env: &Env, fd: Fd, buffer: &mut [u8], expected: usize) -> Result<(), Errno> {
    let count = env.sys.read(env.caller, fd, &mut OutBuf::new(buffer))?;
    let more = env.sys.read(env.caller, fd, &mut OutBuf::new(buffer.get_mut(count..).ok_or(Errno::EIO)?))?;
    if (count, more) == (expected, 0) { Ok(()) } else { Err(Errno::EIO) }
}

/// Makes a directory that an earlier session may have left.
pub fn make_directory(env: &Env, path: &str) -> Result<(), Errno> {
    match env.sys.mkdir(env.caller, path, 0o700) {
        Err(Errno::EEXIST) => Ok(()),
        other => other,
    }
}

/// Sees to it that a path leads nowhere.
pub fn expect_gone(env: &Env, path: &str) -> Result<(), Wrong> {
    match env.sys.stat(env.caller, path) {
        Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(Wrong::Call(errno)),
        Ok(stat) => Err(Wrong::Answer(format!("{path} is still there: {stat:?}"))),
    }
}

/// Sees to it that a path leads to what is expected, so far as `judge` looks.
pub fn expect_stat(env: &Env, path: &str, judge: impl FnOnce(&Stat) -> bool) -> Result<(), Wrong> {
    let stat = env.sys.stat(env.caller, path)?;
    if judge(&stat) { Ok(()) } else { Err(Wrong::Answer(format!("{path} is not as it was made: {stat:?}"))) }
}
