//! The bytes in a pipe: in a store, where there is one with room, so that they outlive their server; else a ring that grows up
//! to the pipe's capacity, so that an unused pipe costs nothing and a warm one allocates nothing.

use alloc::vec::Vec;

use kd_api::interfaces::pipe::PIPE_CAPACITY;
use kd_api::{Errno, InBuf, OutBuf, Result};

use super::kept::Place;

const FIRST: usize = 4096;

/// A pipe's bytes.
pub enum Ring {
    /// They go with their server.
    Heap(Heap),
    /// They do not.
    Kept(Place),
}

impl Ring {
    /// Bytes in it.
    pub fn len(&self) -> usize {
        match self {
            Ring::Heap(heap) => heap.len,
            Ring::Kept(place) => place.len(),
        }
    }

    /// Bytes that still fit into the pipe.
    pub fn room(&self) -> usize {
        PIPE_CAPACITY - self.len()
    }

    /// Puts in as much as fits; `ENOMEM`, and nothing put in, if it could not grow.
    pub fn fill(&mut self, data: &mut InBuf<'_>) -> Result<usize> {
        match self {
            Ring::Heap(heap) => heap.fill(data),
            Ring::Kept(place) => Ok(place.fill(data)),
        }
    }

    /// Takes out as much as there is room for.
    pub fn drain(&mut self, out: &mut OutBuf<'_>) -> usize {
        match self {
            Ring::Heap(heap) => heap.drain(out),
            Ring::Kept(place) => place.drain(out),
        }
    }

    /// What was done to it is done, and so many have an end of it: what a successor finds.
    pub fn note(&mut self, readers: u32, writers: u32) {
        if let Ring::Kept(place) = self {
            place.note(readers, writers);
        }
    }
}

/// A ring in the heap.
#[derive(Default)]
pub struct Heap {
    bytes: Vec<u8>,
    head: usize,
    len: usize,
}

impl Heap {
    fn room(&self) -> usize {
        PIPE_CAPACITY - self.len
    }

    fn fill(&mut self, data: &mut InBuf<'_>) -> Result<usize> {
        let count = data.remaining().min(self.room());
        self.reserve(self.len + count)?;
        let mut left = count;
        while left > 0 {
            let at = (self.head + self.len) % self.bytes.len();
            let piece = left.min(self.bytes.len() - at);
            let moved = data.read(&mut self.bytes[at..at + piece]);
            self.len += moved;
            left -= moved;
        }
        Ok(count)
    }

    fn drain(&mut self, out: &mut OutBuf<'_>) -> usize {
        let count = out.remaining().min(self.len);
        let mut left = count;
        while left > 0 {
            let piece = left.min(self.bytes.len() - self.head);
            let moved = out.write(&self.bytes[self.head..self.head + piece]);
            self.head = (self.head + moved) % self.bytes.len();
            self.len -= moved;
            left -= moved;
        }
        count
    }

    fn reserve(&mut self, len: usize) -> Result<()> {
        if len <= self.bytes.len() {
            return Ok(());
        }
        let size = len.next_power_of_two().max(FIRST);
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|_| Errno::ENOMEM)?;
        let first = self.len.min(self.bytes.len() - self.head);
        bytes.extend_from_slice(&self.bytes[self.head..self.head + first]);
        bytes.extend_from_slice(&self.bytes[..self.len - first]);
        bytes.resize(size, 0);
        (self.bytes, self.head) = (bytes, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn keeps_order_over_wrap_and_growth() {
        let mut ring = Heap::default();
        let (mut put, mut got) = (0_u32, 0_u32);
        for step in [1, 4095, 100, 5000, 3, 30_000, 1, 40_000] {
            let bytes: Vec<u8> = (put..put + step).map(|i| (i % 251) as u8).collect();
            let fitted = ring.fill(&mut InBuf::new(&bytes)).expect("memory");
            assert_eq!(fitted, bytes.len().min(fitted + ring.room()));
            put += fitted as u32;
            let mut room = vec![0; step as usize / 2 + 1];
            let count = ring.drain(&mut OutBuf::new(&mut room));
            assert!(room[..count].iter().all(|byte| {
                got += 1;
                u32::from(*byte) == (got - 1) % 251
            }));
        }
        assert_eq!(ring.len, (put - got) as usize);
        assert_eq!(ring.fill(&mut InBuf::new(&vec![0; 70_000])), Ok(65_536 - (put - got) as usize));
        assert_eq!((ring.room(), ring.bytes.len()), (0, 65_536));
    }
}
