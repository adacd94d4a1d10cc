//! The memory that this process has, and how much of the host it may take.

use std::io;
use std::sync::OnceLock;

/// Bytes of addresses that this process has, or that the one had from which it was forked, if that asked before.
///
/// # Errors
/// The host does not tell.
pub fn measure() -> io::Result<u64> {
    const PAGE: u64 = 4096;
    static BYTES: OnceLock<u64> = OnceLock::new();
    if let Some(&bytes) = BYTES.get() {
        return Ok(bytes);
    }
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split(' ').next().and_then(|pages| pages.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok(*BYTES.get_or_init(|| pages * PAGE))
}

/// Limits what this process may take of the host from now on: so many bytes of addresses more than [`measure`] says, so
/// many descriptors, no core file. Threads count by their stacks.
///
/// # Errors
/// The host's; the limits set before stay.
pub fn limit(more_bytes: usize, descriptors: u64) -> io::Result<()> {
    let limits =
        [(libc::RLIMIT_AS, measure()? + more_bytes as u64), (libc::RLIMIT_NOFILE, descriptors), (libc::RLIMIT_CORE, 0)];
    for (resource, most) in limits {
        let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
        // SAFETY: the limit is live.
        if unsafe { libc::setrlimit(resource, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Brings in the pages that this process is going to run and write, so that none of them is missing when time is short:
/// all code and constants, and private memory in pieces of up to `most` bytes, copied now instead of at the first write.
pub fn bring_in(most: usize) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for line in maps.lines() {
        let mut words = line.split(' ');
        let range = words.next().and_then(|range| range.split_once('-'));
        let ends = range
            .and_then(|(from, to)| Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?)));
        let (Some((from, to)), Some(access)) = (ends, words.next()) else { continue };
        let advice = match access {
            "r-xp" | "r--p" => libc::MADV_POPULATE_READ,
            "rw-p" => libc::MADV_POPULATE_WRITE,
            // What is shared begins with what is used first.
            "rw-s" => libc::MADV_POPULATE_WRITE,
            _ => continue,
        };
        let len = match access {
            "r-xp" | "r--p" => to - from,
            "rw-p" => (to - from).min(most),
            _ => (to - from).min(4096),
        };
        // SAFETY: populating changes no byte; a host that does not know how leaves the pages to be brought in when used.
        unsafe { libc::madvise(from as *mut _, len, advice) };
    }
}
