//! The injector: writes a payload into a victim's patch room and a jump to it over a function's entry.

use std::io;
use std::num::NonZeroU64;

use kd_nucleus::module::room::PAGE;

use crate::displace::displaced;
use crate::error::InjectError;
use crate::fault::Fault;
use crate::payload::{self, Addresses, COUNT};
use crate::site::{Site, abort_of};
use crate::stop::Stopped;
use crate::victim::{peek, poke};

/// Bytes of a jump within 2 GiB, and of one to anywhere.
const NEAR: usize = 5;
const FAR: usize = 14;
/// How often the victim's threads are looked at until none is within the bytes to overwrite.
const LOOKS: usize = 1000;

/// A victim's patch room: two pages that nothing uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The page `r-x`.
    pub code: usize,
    /// The page `rw-`.
    pub data: usize,
}

/// A fault that lies in wait.
#[derive(Clone, Copy, Debug)]
pub struct Armed {
    pid: i32,
    room: Room,
    execution: u64,
}

impl Armed {
    /// How often the function was executed since the injection.
    ///
    /// # Errors
    /// The host's, when the victim is gone.
    pub fn executions(&self) -> io::Result<u64> {
        let count = peek(self.pid, self.room.data + COUNT, 8)?;
        let count = u64::from_le_bytes(count.try_into().expect("eight bytes were read"));
        Ok(self.execution.wrapping_sub(count))
    }

    /// Whether the fault has happened, or is happening.
    ///
    /// # Errors
    /// As [`Armed::executions`].
    pub fn fired(&self) -> io::Result<bool> {
        Ok(self.executions()? >= self.execution)
    }
}

/// Makes `fault` happen at the `execution`-th execution of `site` from now on, on whichever thread that is. A wild write
/// hits the address `wild`; other faults need none. The victim's threads are stopped for the moment that it takes.
///
/// # Errors
/// See [`InjectError`].
pub fn inject(
    pid: i32,
    site: &Site,
    room: Room,
    fault: Fault,
    execution: NonZeroU64,
    wild: Option<usize>,
) -> Result<Armed, InjectError> {
    if !cfg!(target_arch = "x86_64") {
        return Err(InjectError::Unavailable);
    }
    let at = Addresses {
        wild: match (fault, wild) {
            (Fault::WildWrite, None) => return Err(InjectError::Needs("an address to write to")),
            (_, wild) => wild.unwrap_or(0),
        },
        panic: match (fault, site.panic) {
            (Fault::Panic, None) => return Err(InjectError::Needs("code that can panic on a bad index")),
            (_, panic) => panic.unwrap_or(0),
        },
        abort: if fault == Fault::Abort { abort_of(pid) } else { None },
    };
    let jump = jump(site.address, room.code);
    let moved = displaced(&site.code, site.address, jump.len())?;
    let code = payload::code(room, site, fault, at, &moved);
    let code = code.map_err(|error| InjectError::NotMovable(error.to_string()))?;
    if code.len() > PAGE {
        return Err(InjectError::TooLong(code.len()));
    }
    let overwritten = site.address..site.address + jump.len();
    let _stopped = stop_outside(pid, overwritten)?;
    let read = |address, len| peek(pid, address, len).map_err(InjectError::host("a look at the victim's memory"));
    if read(site.address, site.code.len())? != site.code {
        return Err(InjectError::NotTheCode);
    }
    if read(room.code, PAGE)?.iter().any(|&byte| byte != 0) {
        return Err(InjectError::RoomTaken);
    }
    let write =
        |address, bytes: &[u8]| poke(pid, address, bytes).map_err(InjectError::host("a change of the victim's memory"));
    write(room.data, &payload::data(room, execution.get()))?;
    write(room.code, &code)?;
    write(site.address, &jump)?;
    Ok(Armed { pid, room, execution: execution.get() })
}

/// A jump from one address to another.
fn jump(from: usize, to: usize) -> Vec<u8> {
    let distance = (to as i64).wrapping_sub((from + NEAR) as i64);
    match i32::try_from(distance) {
        Ok(distance) => [&[0xE9][..], &distance.to_le_bytes()].concat(),
        // jmp [rip+0], and the address right behind it.
        Err(_) => {
            let jump = [&[0xFF, 0x25, 0, 0, 0, 0][..], &(to as u64).to_le_bytes()].concat();
            debug_assert_eq!(jump.len(), FAR);
            jump
        }
    }
}

/// Stops the victim at a moment when no thread is inside `range` behind its first byte: it would go on in the middle of
/// the jump.
fn stop_outside(pid: i32, range: std::ops::Range<usize>) -> Result<Stopped, InjectError> {
    let inside = range.start + 1..range.end;
    for _ in 0..LOOKS {
        let stopped = Stopped::all(pid).map_err(InjectError::host(format!("to stop process {pid}")))?;
        if !stopped.instructions().any(|at| inside.contains(&at)) {
            return Ok(stopped);
        }
        drop(stopped);
        std::thread::yield_now();
    }
    Err(InjectError::Busy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_are_short_where_they_reach() {
        assert_eq!(jump(0x1000, 0x2000), [0xE9, 0xFB, 0x0F, 0, 0]);
        assert_eq!(jump(0x2000, 0x1000), [0xE9, 0xFB, 0xEF, 0xFF, 0xFF]);
        let far = jump(0x5555_0000_1000, 0x7fff_0000_2000);
        assert_eq!(far, [0xFF, 0x25, 0, 0, 0, 0, 0x00, 0x20, 0, 0, 0xFF, 0x7F, 0, 0]);
        assert_eq!(jump(0, 5 + i32::MAX as usize).len(), NEAR);
        assert_eq!(jump(0, 6 + i32::MAX as usize).len(), FAR);
    }
}
