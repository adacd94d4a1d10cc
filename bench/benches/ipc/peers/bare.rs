//! The limits: the same bytes by the same copies, and nothing of a kernel. Two processes poll one line each, written by
//! the other, or wake each other through a futex each.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use kd_machine::memory::{Memory, Words};
use kd_nucleus::channel::{Bell, Channel};
use kd_nucleus::futex;

use super::{Ask, Link};

/// The client's flag and, in the same line, the number asked ...
const ASKED: usize = 0;
const NUMBER: usize = 1;
/// ... and the server's flag, in a line of its own.
const ANSWERED: usize = 8;

#[derive(Clone)]
struct Bare {
    words: Arc<Words>,
    /// For its window: the copies are a channel's.
    channel: Channel,
    spin: bool,
    bytes: usize,
}

struct Client {
    link: Bare,
    room: Vec<u8>,
}

/// A bare pair that polls, or one that sleeps.
pub fn link(spin: bool, bytes: usize) -> io::Result<Box<dyn Link>> {
    let words = Arc::new(Words::new(Memory::new("kd-bare", 4096)?.map()?));
    Ok(Box::new(Bare { words, channel: Channel::new("kd-bare", &Bell::new()?)?, spin, bytes }))
}

impl Bare {
    /// Waits while a flag holds `before`; what it holds then.
    fn wait(&self, flag: &AtomicU32, before: u32) -> u32 {
        loop {
            let now = flag.load(Acquire);
            if now != before {
                return now;
            }
            if self.spin {
                std::hint::spin_loop();
            } else {
                futex::wait(flag, before);
            }
        }
    }

    fn raise(&self, flag: &AtomicU32, to: u32) {
        flag.store(to, Release);
        if !self.spin {
            futex::wake(flag, 1);
        }
    }
}

impl Link for Bare {
    fn client(&self) -> io::Result<Box<dyn Ask>> {
        Ok(Box::new(Client { link: self.clone(), room: vec![0; self.bytes] }))
    }

    fn serve(&self, mut next: Box<dyn Ask>) -> io::Result<()> {
        let mut last = 0;
        loop {
            last = self.wait(self.words.get_half(ASKED), last);
            let number = self.words.get(NUMBER).load(Relaxed);
            next.ask(number, &mut |bytes| {
                self.channel.window(0).output(self.bytes).write(bytes);
            })?;
            self.raise(self.words.get_half(ANSWERED), last);
        }
    }
}

impl Ask for Client {
    fn ask(&mut self, number: u64, look: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let Bare { words, channel, .. } = &self.link;
        let answered = words.get_half(ANSWERED);
        let before = answered.load(Relaxed);
        words.get(NUMBER).store(number, Relaxed);
        self.link.raise(words.get_half(ASKED), before.wrapping_add(1));
        self.link.wait(answered, before);
        channel.window(0).input(self.room.len()).read(&mut self.room);
        look(&self.room);
        Ok(())
    }
}
