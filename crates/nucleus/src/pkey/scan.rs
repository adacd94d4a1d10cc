//! Who else could change rights: a scan of everything that this process can execute, at every byte, since code may be
//! entered anywhere.
//!
//! WRPKRU is the bytes 0F 01 EF. XRSTOR, which loads PKRU among other registers, is 0F AE with a second byte that names
//! memory and the group's fifth instruction. Prefixes come before these bytes and change nothing. The same bytes occur in
//! addresses and constants within other instructions, in one build and not in the next: a finding is not yet a fault.

use std::hint::black_box;
use std::io;
use std::ops::Range;

use super::gate;

/// An instruction that changes rights, outside the gates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `WRPKRU` or `XRSTOR`.
    pub instruction: &'static str,
    /// Where it is.
    pub address: usize,
    /// The file that is mapped there, or what the host calls the mapping.
    pub image: String,
}

/// Images that have such instructions by design: the C library's `pkey_set`, and the dynamic linker's lazy binding, which
/// saves and restores all registers around the search for a symbol.
pub const EXCEPTIONS: [&str; 2] = ["libc.so", "ld-linux-x86-64.so"];

impl Finding {
    /// Whether it is one of the [`EXCEPTIONS`].
    pub fn is_listed(&self) -> bool {
        let file = self.image.rsplit('/').next().unwrap_or_default();
        EXCEPTIONS.iter().any(|exception| file.starts_with(exception))
    }
}

/// All such instructions of this process but the gates', in what is not among the ranges seen before; these are added.
///
/// # Errors
/// The host's, if it does not tell what is mapped.
pub fn process(seen: &mut Vec<Range<usize>>) -> io::Result<Vec<Finding>> {
    let gates = gate::extent();
    let mut findings = Vec::new();
    for line in std::fs::read_to_string("/proc/self/maps")?.lines() {
        let Some((range, image)) = executable(line).filter(|(range, _)| !seen.contains(range)) else { continue };
        // SAFETY: the host says that these bytes are mapped readable; code is not unmapped while a kernel boots.
        let bytes = unsafe { std::slice::from_raw_parts(range.start as *const u8, range.len()) };
        let found = instructions(bytes).map(|(offset, instruction)| (range.start + offset, instruction));
        findings.extend(found.filter(|(address, _)| !gates.contains(address)).map(|(address, instruction)| Finding {
            instruction,
            address,
            image: image.into(),
        }));
        seen.push(range);
    }
    Ok(findings)
}

/// The range and name of a line of `/proc/self/maps`, if it may be read and executed. The host's own page of entries,
/// `[vsyscall]`, cannot be read and is emulated by the host.
fn executable(line: &str) -> Option<(Range<usize>, &str)> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let access = words.next()?;
    let image = words.nth(3).unwrap_or("[anonymous]");
    let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
    (access.starts_with('r') && access.as_bytes().get(2) == Some(&b'x') && image != "[vsyscall]")
        .then_some((range, image))
}

/// Where such instructions begin, at whatever byte.
fn instructions(bytes: &[u8]) -> impl Iterator<Item = (usize, &'static str)> + '_ {
    // Written out, the three bytes could become a constant in this very code, which the scan would find.
    let last = !black_box(0x10);
    bytes.windows(3).enumerate().filter_map(move |(offset, bytes)| {
        let instruction = match *bytes {
            [0x0F, 0x01, end] if end == last => "WRPKRU",
            [0x0F, 0xAE, operands] if operands >> 6 != 3 && operands >> 3 & 7 == 5 => "XRSTOR",
            _ => return None,
        };
        Some((offset, instruction))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_found_at_every_byte_and_others_are_not() {
        // mov eax, 0x00EF010F hides a WRPKRU; lfence and ldmxcsr share XRSTOR's first bytes.
        let hidden = [0xB8, 0x0F, 0x01, 0xEF, 0x00];
        assert_eq!(instructions(&hidden).collect::<Vec<_>>(), [(1, "WRPKRU")]);
        let restore = [0x48, 0x0F, 0xAE, 0x6C, 0x24, 0x40];
        assert_eq!(instructions(&restore).collect::<Vec<_>>(), [(1, "XRSTOR")]);
        for harmless in [[0x0F, 0xAE, 0xE8], [0x0F, 0xAE, 0x17], [0x0F, 0x01, 0xEE], [0x0F, 0xAE, 0x24]] {
            assert_eq!(instructions(&harmless).next(), None, "{harmless:x?}");
        }
    }

    #[test]
    fn lines_of_maps_are_read() {
        let line = "7f00-7f10 r-xp 00001000 fe:01 123 /usr/lib/libc.so.6";
        assert_eq!(executable(line), Some((0x7f00..0x7f10, "/usr/lib/libc.so.6")));
        assert_eq!(executable("7f00-7f10 r--p 00001000 fe:01 123 /usr/lib/libc.so.6"), None);
        assert_eq!(executable("7f00-7f10 r-xp 00000000 00:00 0"), Some((0x7f00..0x7f10, "[anonymous]")));
    }
}
