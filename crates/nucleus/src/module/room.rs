//! Patch room: a page of code and a page of data near a module's text, there in every kernel alike.
//!
//! Linux keeps such room for its function tracer's trampolines and for live patches: code that is to be reached by a
//! jump of 32 bits must lie near. Nothing of a kernel or module uses it; it is for tools that patch from outside.

use std::io;
use std::sync::OnceLock;

/// Bytes of either page.
pub const PAGE: usize = 4096;
/// How far it may be from the text: half of what a jump reaches, so that both ends of the text are in reach.
const REACH: usize = 1 << 30;
/// Distance between two addresses that are tried.
const STEP: usize = 1 << 16;

/// Reserves a page `r-x` and the page `rw-` behind it below `base` or, if all is taken there, above `base + size`;
/// returns the addresses of both. They stay mapped for ever.
///
/// # Errors
/// The host's; `ENOMEM`-like when nothing is free in reach.
pub fn reserve(base: usize, size: usize) -> io::Result<(usize, usize)> {
    let below = (1..REACH / STEP).filter_map(|step| base.checked_sub(step * STEP));
    let above = (1..REACH / STEP).map(|step| (base + size).next_multiple_of(STEP) + step * STEP);
    for at in below.chain(above) {
        match map(at) {
            Ok(()) => return Ok((at, at + PAGE)),
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::OutOfMemory, "no free page near the module"))
}

/// The same beside the text of the running program, for components that are compiled in; returns where the program
/// begins as well.
///
/// # Errors
/// As [`reserve`], and when `/proc` does not tell.
pub fn reserve_beside_program() -> io::Result<(usize, usize, usize)> {
    let (base, end) = program()?;
    let (code, data) = reserve(base, end - base)?;
    Ok((base, code, data))
}

/// Where the running program begins and ends. It stays there: what a process knows, those forked from it know.
///
/// # Errors
/// When `/proc` does not tell.
pub fn program() -> io::Result<(usize, usize)> {
    static PROGRAM: OnceLock<(usize, usize)> = OnceLock::new();
    if let Some(known) = PROGRAM.get() {
        return Ok(*known);
    }
    let program = std::fs::read_link("/proc/self/exe")?;
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let mut ranges = maps.lines().filter(|line| line.ends_with(&*program.to_string_lossy())).filter_map(|line| {
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
    });
    let unknown = || io::Error::new(io::ErrorKind::NotFound, "the program is not among its own mappings");
    let (base, first_end) = ranges.next().ok_or_else(unknown)?;
    let end = ranges.next_back().map_or(first_end, |(_, end)| end);
    Ok(*PROGRAM.get_or_init(|| (base, end)))
}

/// Maps both pages at `at`, where nothing may be mapped yet.
fn map(at: usize) -> io::Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let (code, data) = (libc::PROT_READ | libc::PROT_EXEC, libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: MAP_FIXED_NOREPLACE replaces no mapping, and the second page was just mapped here, unknown to anyone.
    unsafe {
        if libc::mmap(at as *mut _, 2 * PAGE, code, flags, -1, 0) == libc::MAP_FAILED
            || libc::mprotect((at + PAGE) as *mut _, PAGE, data) != 0
        {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
