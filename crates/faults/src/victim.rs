//! A victim's memory, from outside. It is written through `/proc/<pid>/mem`, by which pages can be written that the victim may
//! not write, as long as they are its private ones.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use kd_nucleus::mutant::BREAKPOINT;
use kd_nucleus::process;
use memchr::memmem::Finder;

use crate::error::InjectError;

/// Bytes looked at in one go.
const CHUNK: usize = 1 << 20;

/// One line of `/proc/<pid>/maps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its addresses.
    pub range: Range<usize>,
    /// Its permissions, such as `r-xp`.
    pub permissions: String,
    /// Where it begins in its file.
    pub offset: usize,
    /// Its file, or what the host says instead; empty for anonymous memory.
    pub path: String,
}

impl Region {
    /// `start-end permissions offset device inode path`
    fn parse(line: &str) -> Option<Region> {
        let mut fields = line.split_ascii_whitespace();
        let hex = |text: &str| usize::from_str_radix(text, 16).ok();
        let (start, end) = fields.next()?.split_once('-')?;
        let permissions = fields.next()?.to_string();
        let offset = hex(fields.next()?)?;
        let inode = fields.nth(1)?;
        let path = line.split_once(&format!(" {inode} ")).map_or("", |(_, path)| path.trim_start()).to_string();
        Some(Region { range: hex(start)?..hex(end)?, permissions, offset, path })
    }
}

/// What a process has mapped.
pub fn regions(pid: i32) -> io::Result<Vec<Region>> {
    Ok(std::fs::read_to_string(format!("/proc/{pid}/maps"))?.lines().filter_map(Region::parse).collect())
}

/// `len` bytes of a process's memory; an error if not all of them are mapped.
pub fn peek(pid: i32, address: usize, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    process::copy_from(pid, address, &mut bytes)?;
    Ok(bytes)
}

/// Overwrites a process's memory.
pub(crate) fn poke(pid: i32, address: usize, bytes: &[u8]) -> io::Result<()> {
    File::options().write(true).open(format!("/proc/{pid}/mem"))?.write_all_at(bytes, address as u64)
}

/// Lays a breakpoint over an instruction, of which `original` are the bytes. One byte is written, so whoever executes it
/// meanwhile finds either of both.
///
/// # Errors
/// `NotTheCode`; the host's.
pub fn lay_breakpoint(pid: i32, address: usize, original: &[u8]) -> Result<(), InjectError> {
    let there = peek(pid, address, original.len()).map_err(InjectError::host("a look at the victim's memory"))?;
    if there != original {
        return Err(InjectError::NotTheCode);
    }
    poke(pid, address, &[BREAKPOINT]).map_err(InjectError::host("a change of the victim's memory"))
}

/// Where the bytes of `pattern` lie in a process's readable memory within `range`: the places in order, none of
/// which overlaps another.
///
/// # Errors
/// The host's when the process is gone or may not be looked at. Pages that cannot be read are passed over.
pub fn find_pattern(pid: i32, range: Range<usize>, pattern: &[u8]) -> io::Result<Vec<usize>> {
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut found = Vec::new();
    if pattern.is_empty() {
        return Ok(found);
    }
    let finder = Finder::new(pattern);
    for region in regions(pid)?.into_iter().filter(|region| region.permissions.starts_with('r')) {
        let end = region.range.end.min(range.end);
        let mut at = region.range.start.max(range.start);
        while at < end {
            // Chunks overlap by a byte less than the pattern, so none is missed.
            let mut bytes = vec![0; (CHUNK + pattern.len() - 1).min(end - at)];
            let read = memory.read_at(&mut bytes, at as u64).unwrap_or(0);
            found.extend(finder.find_iter(&bytes[..read]).map(|i| at + i));
            at += CHUNK;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_maps_parse() {
        let line = "7f00-7f10 r-xp 00001000 fe:01 123                  /a b/c.so (deleted)";
        let region = Region::parse(line).unwrap();
        assert_eq!((region.range, region.offset), (0x7f00..0x7f10, 0x1000));
        assert_eq!((region.permissions.as_str(), region.path.as_str()), ("r-xp", "/a b/c.so (deleted)"));
        assert_eq!(Region::parse("10-20 rw-p 00000000 00:00 0 ").unwrap().path, "");
        assert_eq!(Region::parse("10-20 rw-p 00000000 00:00 0").unwrap().path, "");
        assert_eq!(Region::parse("nonsense"), None);
    }

    #[test]
    fn patterns_are_found_across_chunks_and_only_within_the_range() {
        let pid = std::process::id() as i32;
        let mut bytes = vec![0u8; 3 * CHUNK];
        let base = bytes.as_ptr() as usize;
        let range = base..base + bytes.len();
        // Built here, so that the pattern itself lies in no constant within the range.
        let pattern: Vec<u8> = (0..16u8).map(|i| i ^ 0x5c).collect();
        for place in [7, CHUNK - 3, 2 * CHUNK + 100] {
            bytes[place..place + 16].copy_from_slice(&pattern);
        }
        let places = |range| find_pattern(pid, range, &pattern).unwrap();
        assert_eq!(places(range.clone()), [base + 7, base + CHUNK - 3, base + 2 * CHUNK + 100]);
        assert_eq!(places(base + 8..base + CHUNK), [0usize; 0]);
        assert_eq!(peek(pid, base + 7, 16).unwrap(), pattern);
    }
}
