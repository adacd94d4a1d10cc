//! Who else could change rights: a scan of everything that this process can execute, at every byte, since code may be
//! entered anywhere.
//!
//! WRPKRU is the bytes 0F 01 EF. XRSTOR, which loads PKRU among other registers, is 0F AE with a second byte that names
//! memory and the group's fifth instruction. Prefixes come before these bytes and change nothing. Where such bytes are
//! found, the code around them is disassembled from where it must begin, and what is found is of one of two kinds, as in
//! ERIM (Vahldiek-Oberwagner and others, USENIX Security 2019) and Hodor (Hedayati and others, USENIX ATC 2019):
//!
//! | kind | what | what becomes of it |
//! | --- | --- | --- |
//! | [`Kind::Instruction`] | the code itself executes it | listed in [`EXCEPTIONS`], or refused |
//! | [`Kind::Within`] | bytes within another instruction, or of two: a jump to them alone executes it | told |
//!
//! ERIM rewrites the second kind and Hodor watches it. Here it is told: such bytes occur by accident, in addresses and
//! constants, in one build and not in the next, and only a wild jump to just these bytes meets them; it then lacks the
//! comparison that follows in a gate. A fault that jumps anywhere is not what keys stop.
//!
//! Code begins where a function of the file does. In a file without names (a stripped library, a module's private copy,
//! memory of no file) it begins where the mapping does: compilers put no data between functions, and a disassembly that
//! starts off the beat falls into step after a few instructions.

use std::hint::black_box;
use std::io;
use std::ops::Range;

use iced_x86::{Code, Decoder, DecoderOptions, Instruction};

use super::gate;
use crate::module::symbols;

/// Bytes that change rights when they are executed, outside the gates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `WRPKRU` or `XRSTOR`.
    pub instruction: &'static str,
    /// Where it is.
    pub address: usize,
    /// The file that is mapped there, or what the host calls the mapping.
    pub image: String,
    /// Whether the code around it means it.
    pub kind: Kind,
}

/// How such bytes lie in the code around them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They are an instruction of it.
    Instruction,
    /// They are within another instruction, or parts of two.
    Within,
}

/// Instructions that images have by design: the C library's `pkey_set`, and the dynamic linker's lazy binding, which saves
/// and restores all registers around the search for a symbol.
pub const EXCEPTIONS: [(&str, &str); 2] = [("libc.so", WRPKRU), ("ld-linux-x86-64.so", XRSTOR)];

const WRPKRU: &str = "WRPKRU";
const XRSTOR: &str = "XRSTOR";
/// The longest instruction.
const LONGEST: usize = 15;

impl Finding {
    /// Whether it is one of the [`EXCEPTIONS`].
    pub fn is_listed(&self) -> bool {
        let file = self.image.rsplit('/').next().unwrap_or_default();
        EXCEPTIONS.iter().any(|(image, instruction)| file.starts_with(image) && *instruction == self.instruction)
    }

    /// Whether no kernel should run beside it.
    pub fn is_refused(&self) -> bool {
        self.kind == Kind::Instruction && !self.is_listed()
    }
}

/// A line of `/proc/self/maps`.
struct Mapped<'a> {
    range: Range<usize>,
    offset: usize,
    image: &'a str,
    is_code: bool,
}

/// All such bytes of this process but the gates', in what is not among the ranges seen before; these are added.
///
/// # Errors
/// The host's, if it does not tell what is mapped.
pub fn process(seen: &mut Vec<Range<usize>>) -> io::Result<Vec<Finding>> {
    let gates = gate::extent();
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let maps: Vec<Mapped<'_>> = maps.lines().filter_map(mapped).collect();
    let mut findings = Vec::new();
    for code in maps.iter().filter(|mapped| mapped.is_code) {
        if seen.contains(&code.range) {
            continue;
        }
        // SAFETY: the host says that these bytes are mapped readable; code is not unmapped while a kernel boots.
        let bytes = unsafe { std::slice::from_raw_parts(code.range.start as *const u8, code.range.len()) };
        let of_gates = |offset: &usize| gates.contains(&(code.range.start + offset));
        let found: Vec<_> = instructions(bytes).filter(|(offset, _)| !of_gates(offset)).collect();
        // Read for a finding alone: names take more time than the search.
        let file = if found.is_empty() { Vec::new() } else { std::fs::read(code.image).unwrap_or_default() };
        let first = maps.iter().find(|mapped| mapped.image == code.image && mapped.offset == 0);
        let base = first.map_or(code.range.start, |mapped| mapped.range.start);
        let addresses: Vec<usize> = found.iter().map(|(offset, _)| code.range.start + offset - base).collect();
        for ((offset, instruction), begin) in found.into_iter().zip(symbols::begins(&file, &addresses)) {
            let address = code.range.start + offset;
            let begin = begin.map_or(0, |begin| (base + begin).saturating_sub(code.range.start));
            let kind = kind(bytes, begin.min(offset), offset);
            findings.push(Finding { instruction, address, image: code.image.into(), kind });
        }
        seen.push(code.range.clone());
    }
    Ok(findings)
}

/// One line. The host's own page of entries, `[vsyscall]`, cannot be read and is emulated by the host.
fn mapped(line: &str) -> Option<Mapped<'_>> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let (access, offset) = (words.next()?, words.next()?);
    let image = words.nth(2).unwrap_or("[anonymous]");
    let number = |word| usize::from_str_radix(word, 16).ok();
    let is_code = access.starts_with('r') && access.as_bytes().get(2) == Some(&b'x') && image != "[vsyscall]";
    Some(Mapped { range: number(start)?..number(end)?, offset: number(offset)?, image, is_code })
}

/// Where such instructions begin, at whatever byte.
fn instructions(bytes: &[u8]) -> impl Iterator<Item = (usize, &'static str)> + '_ {
    // Written out, the three bytes could become a constant in this very code, which the scan would find.
    let last = !black_box(0x10);
    // What cannot be one is left out before it is decoded.
    let could_be = move |bytes: &[u8]| match *bytes {
        [0x0F, 0x01, end] => end == last,
        [0x0F, 0xAE, operands] => operands >> 6 != 3 && operands >> 3 & 7 == 5,
        _ => false,
    };
    let places = bytes.windows(3).enumerate().filter(move |(_, bytes)| could_be(bytes));
    places.filter_map(|(offset, _)| {
        let end = bytes.len().min(offset + LONGEST);
        let name = changes_rights(&Decoder::new(64, &bytes[offset..end], DecoderOptions::NONE).decode())?;
        Some((offset, name))
    })
}

fn changes_rights(instruction: &Instruction) -> Option<&'static str> {
    match instruction.code() {
        Code::Wrpkru => Some(WRPKRU),
        Code::Xrstor_mem | Code::Xrstor64_mem => Some(XRSTOR),
        _ => None,
    }
}

/// How the bytes at an offset lie in code that begins at another, not behind them.
fn kind(code: &[u8], begin: usize, offset: usize) -> Kind {
    let decoder = Decoder::with_ip(64, &code[begin..], begin as u64, DecoderOptions::NONE);
    // With its prefixes, an instruction begins before the bytes that make it one.
    let around = decoder.into_iter().find(|instruction| instruction.next_ip() as usize > offset);
    match around.as_ref().and_then(changes_rights) {
        Some(_) => Kind::Instruction,
        None => Kind::Within,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(code: &[u8]) -> Vec<(usize, &'static str, Kind)> {
        instructions(code).map(|(offset, name)| (offset, name, kind(code, 0, offset))).collect()
    }

    #[test]
    fn what_the_code_executes_is_told_from_bytes_that_look_like_it() {
        // xor ecx, ecx; wrpkru; ret
        assert_eq!(found(&[0x31, 0xC9, 0x0F, 0x01, 0xEF, 0xC3]), [(2, WRPKRU, Kind::Instruction)]);
        // xrstor64 [rsp + 0x40]: a prefix first.
        assert_eq!(found(&[0x48, 0x0F, 0xAE, 0x6C, 0x24, 0x40]), [(1, XRSTOR, Kind::Instruction)]);
        // mov eax, 0x00EF010F
        assert_eq!(found(&[0xB8, 0x0F, 0x01, 0xEF, 0x00]), [(1, WRPKRU, Kind::Within)]);
        // mov al, 0x0F; add edi, ebp
        assert_eq!(found(&[0xB0, 0x0F, 0x01, 0xEF]), [(1, WRPKRU, Kind::Within)]);
        // mov rax, [rip + 0x2CAE0F]
        assert_eq!(found(&[0x48, 0x8B, 0x05, 0x0F, 0xAE, 0x2C, 0x00, 0xC3]), [(3, XRSTOR, Kind::Within)]);
        // One of each, in one function.
        let both = [0xB8, 0x0F, 0x01, 0xEF, 0x00, 0x0F, 0x01, 0xEF, 0xC3];
        assert_eq!(found(&both), [(1, WRPKRU, Kind::Within), (5, WRPKRU, Kind::Instruction)]);
    }

    #[test]
    fn others_are_not_found() {
        // lfence, ldmxcsr and fxrstor share XRSTOR's first bytes; the last is cut off.
        for harmless in
            [[0x0F, 0xAE, 0xE8], [0x0F, 0xAE, 0x17], [0x0F, 0x01, 0xEE], [0x0F, 0xAE, 0x0C], [0x0F, 0xAE, 0x6C]]
        {
            assert_eq!(found(&harmless), [], "{harmless:x?}");
        }
    }

    #[test]
    fn a_disassembly_falls_into_step() {
        // From wherever in movabs rax, 0x1122334455667788 it begins; xor ecx, ecx; xor edx, edx; wrpkru; ret
        let code = [
            0x48, 0xB8, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x31, 0xC9, 0x31, 0xD2, 0x0F, 0x01, 0xEF, 0xC3,
        ];
        assert!((0..10).all(|begin| kind(&code, begin, 14) == Kind::Instruction));
    }

    #[test]
    fn exceptions_are_of_one_image_and_one_instruction() {
        let finding = |image: &str, instruction, kind| Finding { instruction, address: 0, image: image.into(), kind };
        let libc = "/usr/lib/x86_64-linux-gnu/libc.so.6";
        assert!(!finding(libc, WRPKRU, Kind::Instruction).is_refused());
        assert!(finding(libc, XRSTOR, Kind::Instruction).is_refused());
        assert!(!finding("/usr/lib/ld-linux-x86-64.so.2", XRSTOR, Kind::Instruction).is_refused());
        assert!(finding("/tmp/program", WRPKRU, Kind::Instruction).is_refused());
        assert!(!finding("/tmp/program", WRPKRU, Kind::Within).is_refused());
    }

    #[test]
    fn lines_of_maps_are_read() {
        let read = |line| mapped(line).map(|line| (line.range, line.offset, line.image, line.is_code));
        let line = "7f00-7f10 r-xp 00001000 fe:01 123 /usr/lib/libc.so.6";
        assert_eq!(read(line), Some((0x7f00..0x7f10, 0x1000, "/usr/lib/libc.so.6", true)));
        let data = "7f00-7f10 r--p 00000000 fe:01 123 /usr/lib/libc.so.6";
        assert_eq!(read(data), Some((0x7f00..0x7f10, 0, "/usr/lib/libc.so.6", false)));
        assert_eq!(read("7f00-7f10 r-xp 00000000 00:00 0"), Some((0x7f00..0x7f10, 0, "[anonymous]", true)));
    }
}
