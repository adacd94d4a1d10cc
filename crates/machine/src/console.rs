//! The console: the kernel log, a ring in shared memory that outlives a crash.
//!
//! Any process may append, none ever waits, and one that dies half-way spoils its own line alone. A line is a slot of
//! [`SLOT`] words: ticket, check, time, process and length, text. A writer takes the next ticket, clears the slot's,
//! fills it in and publishes its own; a line counts if its ticket is where the ring says and its check fits, which also
//! finds out a writer so slow that the ring came round to it.

use std::io;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::clock;
use crate::memory::{Memory, Words};

/// Words of a slot.
const SLOT: usize = 32;
const TICKET: usize = 0;
const CHECK: usize = 1;
const TIME: usize = 2;
const WHO: usize = 3;
const TEXT: usize = 4;
/// Bytes of text that one line holds; the rest of a longer one is cut off.
pub const LINE: usize = (SLOT - TEXT) * 8;

/// The kernel log.
#[derive(Debug)]
pub struct Console {
    /// The next ticket, then (from word [`SLOT`] on) the slots.
    words: Words,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it was written, in nanoseconds of [`clock::now`].
    pub at: u64,
    /// The process that wrote it.
    pub pid: u32,
    /// What it says.
    pub text: String,
}

impl Console {
    /// The log in a memory object, which must hold nothing else; a fresh one is an empty log.
    pub fn map(memory: &Memory) -> io::Result<Console> {
        if memory.size() < 2 * SLOT * 8 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a console needs room for at least one line"));
        }
        Ok(Console { words: Words::new(memory.map()?) })
    }

    fn slots(&self) -> u64 {
        (self.words.len() / SLOT - 1) as u64
    }

    /// The first word of a ticket's slot.
    fn slot(&self, ticket: u64) -> usize {
        SLOT + (ticket % self.slots()) as usize * SLOT
    }

    /// Appends a line. Safe in a signal handler: it takes no lock and allocates nothing.
    pub fn append(&self, text: &str) {
        let mut len = text.len().min(LINE);
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        let text = &text.as_bytes()[..len];
        let ticket = self.words.get(0).fetch_add(1, Relaxed);
        let slot = self.slot(ticket);
        self.words.get(slot + TICKET).store(0, Relaxed);
        std::sync::atomic::fence(Release);
        let mut check = Check::new(ticket);
        let mut put = |word: usize, value: u64| {
            self.words.get(slot + word).store(value, Relaxed);
            check.add(value);
        };
        put(TIME, clock::now());
        put(WHO, (std::process::id() as u64) << 32 | len as u64);
        for (i, part) in text.chunks(8).enumerate() {
            let mut bytes = [0; 8];
            bytes[..part.len()].copy_from_slice(part);
            put(TEXT + i, u64::from_le_bytes(bytes));
        }
        self.words.get(slot + CHECK).store(check.0, Relaxed);
        // Tickets count from 1 in a slot: 0 is a slot that was never filled, or is being filled.
        self.words.get(slot + TICKET).store(ticket + 1, Release);
    }

    /// The lines that are still in the ring, oldest first; those never finished are left out.
    pub fn read(&self) -> Vec<Line> {
        let next = self.words.get(0).load(Acquire);
        (next.saturating_sub(self.slots())..next).filter_map(|ticket| self.line(ticket)).collect()
    }

    fn line(&self, ticket: u64) -> Option<Line> {
        let slot = self.slot(ticket);
        let word = |i: usize| self.words.get(slot + i).load(Relaxed);
        if self.words.get(slot + TICKET).load(Acquire) != ticket + 1 {
            return None;
        }
        let (at, who) = (word(TIME), word(WHO));
        let len = (who as u32 as usize).min(LINE);
        let text: Vec<u64> = (0..len.div_ceil(8)).map(|i| word(TEXT + i)).collect();
        let mut check = Check::new(ticket);
        [at, who].iter().chain(&text).for_each(|&value| check.add(value));
        std::sync::atomic::fence(Acquire);
        if check.0 != word(CHECK) || word(TICKET) != ticket + 1 {
            return None;
        }
        let bytes: Vec<u8> = text.iter().flat_map(|word| word.to_le_bytes()).take(len).collect();
        Some(Line { at, pid: (who >> 32) as u32, text: String::from_utf8(bytes).ok()? })
    }
}

/// FNV-1a over words, begun with the ticket.
struct Check(u64);

impl Check {
    fn new(ticket: u64) -> Check {
        let mut check = Check(0xcbf2_9ce4_8422_2325);
        check.add(ticket);
        check
    }

    fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log with room for `lines` lines.
    fn console(lines: usize) -> (Memory, Console) {
        let memory = Memory::new("test", (lines + 1) * SLOT * 8).expect("memory");
        let console = Console::map(&memory).expect("mapped");
        (memory, console)
    }

    fn texts(console: &Console) -> Vec<String> {
        console.read().into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn outlives_its_writer_and_keeps_the_newest_lines() {
        let (memory, console) = console(3);
        assert_eq!(texts(&console), [""; 0]);
        for i in 0..5 {
            console.append(&format!("line {i}"));
        }
        drop(console);
        let again = Console::map(&memory).expect("mapped");
        assert_eq!(texts(&again), ["line 2", "line 3", "line 4"]);
        let lines = again.read();
        assert!(lines.iter().all(|line| line.pid == std::process::id()));
        assert!(lines.windows(2).all(|pair| pair[0].at <= pair[1].at));
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let (_memory, console) = console(1);
        console.append(&format!("x{}", "ü".repeat(LINE)));
        assert_eq!(texts(&console), [format!("x{}", "ü".repeat((LINE - 1) / 2))]);
    }

    #[test]
    fn a_writer_that_dies_half_way_or_comes_late_spoils_one_line() {
        let (_memory, console) = console(4);
        console.append("before");
        // Died after taking its ticket; died while writing; came back after the ring had gone round.
        console.words.get(0).fetch_add(1, Relaxed);
        console.append("spoilt");
        console.words.get(console.slot(2) + TEXT).store(u64::from_le_bytes(*b"SPOILT!!"), Relaxed);
        console.append("after");
        assert_eq!(texts(&console), ["before", "after"]);
    }

    #[test]
    fn lines_of_many_threads_are_whole() {
        let (_memory, console) = console(8);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let console = &console;
                scope.spawn(move || (0..2000).for_each(|_| console.append(&thread.to_string().repeat(100))));
            }
            for _ in 0..200 {
                for text in texts(&console) {
                    assert!(text.len() == 100 && text.bytes().all(|byte| byte == text.as_bytes()[0]), "{text}");
                }
            }
        });
        assert_eq!(console.words.get(0).load(Relaxed), 8000);
    }

    #[test]
    fn a_memory_too_small_for_a_line_is_refused() {
        let memory = Memory::new("test", SLOT * 8).expect("memory");
        assert!(Console::map(&memory).is_err());
    }
}
