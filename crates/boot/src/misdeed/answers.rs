//! A driver that does not do what it was asked, or says that it did something else: a wrapper in the driver's place, the
//! same in every kernel. What is wrong here is what the driver answers; its code is the shipped one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use kd_api::interfaces::block::{BlockDevice, SECTOR, Statistics, read_each, write_each};
use kd_api::{Blocks, Errno, InBuf, OutBuf, Result};

use super::{Misdeed, Trigger};

/// A driver that misbehaves.
pub struct Misbehaving {
    inner: Arc<dyn BlockDevice>,
    trigger: Trigger,
    /// The last sectors asked for that were not alike, the later one first.
    sectors: [AtomicU64; 2],
}

impl Misbehaving {
    /// One around a driver.
    pub fn new(inner: Arc<dyn BlockDevice>, trigger: Trigger) -> Misbehaving {
        Misbehaving { inner, trigger, sectors: [const { AtomicU64::new(0) }; 2] }
    }

    /// What to do wrong in this read or write, if anything, and on which sector another one worked before.
    fn now(&self, sector: u64) -> Option<(Misdeed, u64)> {
        let [last, before] = &self.sectors;
        if last.load(Relaxed) != sector {
            before.store(last.swap(sector, Relaxed), Relaxed);
        }
        self.trigger.strikes_now().then(|| (self.trigger.what.misdeed, before.load(Relaxed)))
    }

    /// What every direction has alike: `moved` is what the driver said.
    fn lie(misdeed: Misdeed, moved: Result<usize>) -> Result<usize> {
        match misdeed {
            Misdeed::TooMuch => moved.map(|count| count + 8 * SECTOR),
            Misdeed::TooLittle => moved.map(|count| count / 2),
            Misdeed::False => moved.and(Err(Errno::EIO)),
            _ => moved,
        }
    }

    fn never<T>() -> T {
        loop {
            std::thread::park();
        }
    }
}

impl BlockDevice for Misbehaving {
    fn capacity(&self) -> Result<u64> {
        self.inner.capacity()
    }

    fn read(&self, sector: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        let Some((misdeed, other)) = self.now(sector) else { return self.inner.read(sector, out) };
        match misdeed {
            Misdeed::Foreign => self.inner.read(other, out),
            Misdeed::Silence => Self::never(),
            Misdeed::NotDone => Ok(out.remaining()),
            Misdeed::Neighbour => self.inner.read(sector + 1, out),
            Misdeed::WrongData => {
                let mut bytes = vec![0; out.remaining()];
                let count = self.inner.read(sector, &mut OutBuf::new(&mut bytes))?;
                bytes.iter_mut().take(1).for_each(|byte| *byte = !*byte);
                out.write(&bytes[..count.min(bytes.len())]);
                Ok(count)
            }
            _ => Self::lie(misdeed, self.inner.read(sector, out)),
        }
    }

    fn write(&self, sector: u64, fua: bool, data: &mut InBuf<'_>) -> Result<usize> {
        let Some((misdeed, other)) = self.now(sector) else { return self.inner.write(sector, fua, data) };
        match misdeed {
            Misdeed::Foreign => self.inner.write(other, fua, data),
            Misdeed::Silence => Self::never(),
            Misdeed::NotDone => Ok(data.remaining()),
            Misdeed::Neighbour => self.inner.write(sector + 1, fua, data),
            Misdeed::WrongData => {
                let mut bytes = vec![0; data.remaining()];
                data.read(&mut bytes);
                bytes.iter_mut().take(1).for_each(|byte| *byte = !*byte);
                self.inner.write(sector, fua, &mut InBuf::new(&bytes))
            }
            _ => Self::lie(misdeed, self.inner.write(sector, fua, data)),
        }
    }

    fn read_many(&self, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        read_each(self, &blocks, out)
    }

    fn write_many(&self, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        write_each(self, &blocks, data)
    }

    fn flush(&self) -> Result<()> {
        self.inner.flush()
    }

    fn statistics(&self) -> Result<Statistics> {
        self.inner.statistics()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::{Misbehaviour, Place, World};
    use super::*;

    /// Four sectors of memory.
    struct Plain(Mutex<Vec<u8>>);

    impl BlockDevice for Plain {
        fn capacity(&self) -> Result<u64> {
            Ok(4)
        }
        fn read(&self, sector: u64, out: &mut OutBuf<'_>) -> Result<usize> {
            let bytes = self.0.lock().expect("no panic");
            let at = sector as usize * SECTOR;
            let count = out.remaining();
            Ok(out.write(&bytes[at..at + count]))
        }
        fn write(&self, sector: u64, _: bool, data: &mut InBuf<'_>) -> Result<usize> {
            let mut bytes = self.0.lock().expect("no panic");
            let at = sector as usize * SECTOR;
            let count = data.remaining();
            Ok(data.read(&mut bytes[at..at + count]))
        }
        fn read_many(&self, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
            read_each(self, &blocks, out)
        }
        fn write_many(&self, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
            write_each(self, &blocks, data)
        }
        fn flush(&self) -> Result<()> {
            Ok(())
        }
        fn statistics(&self) -> Result<Statistics> {
            Ok(Statistics::default())
        }
    }

    fn driver(misdeed: Misdeed, permanent: bool) -> Misbehaving {
        let bytes = (0..4 * SECTOR).map(|at| (at / SECTOR) as u8 + 1).collect();
        let what = Misbehaviour { misdeed, call: 2, salt: 0 };
        let world = World { good: || false, done: || (), loot: |_| (), target: |_| None };
        Misbehaving::new(Arc::new(Plain(Mutex::new(bytes))), Trigger::new(what, permanent, world))
    }

    fn read(driver: &Misbehaving) -> (Result<usize>, Vec<u8>) {
        let mut room = vec![0xEE; SECTOR];
        let said = driver.read(1, &mut OutBuf::new(&mut room));
        (said, room)
    }

    #[test]
    fn the_second_call_goes_wrong_as_it_says_and_no_other() {
        let right = (Ok(SECTOR), vec![2; SECTOR]);
        let answers = Misdeed::ALL.iter().copied().filter(|misdeed| misdeed.place() == Place::Answer);
        for misdeed in answers.filter(|misdeed| *misdeed != Misdeed::Silence) {
            let driver = driver(misdeed, false);
            assert_eq!(read(&driver), right, "{misdeed:?}");
            let (said, bytes) = read(&driver);
            let expected = match misdeed {
                Misdeed::WrongData => (Ok(SECTOR), [vec![!2], vec![2; SECTOR - 1]].concat()),
                Misdeed::TooMuch => (Ok(9 * SECTOR), vec![2; SECTOR]),
                Misdeed::TooLittle => (Ok(SECTOR / 2), vec![2; SECTOR]),
                Misdeed::NotDone => (Ok(SECTOR), vec![0xEE; SECTOR]),
                Misdeed::Neighbour => (Ok(SECTOR), vec![3; SECTOR]),
                Misdeed::False => (Err(Errno::EIO), vec![2; SECTOR]),
                _ => unreachable!("left out"),
            };
            assert_eq!((said, bytes), expected, "{misdeed:?}");
            assert_eq!(read(&driver), right, "{misdeed:?}");
        }
    }

    #[test]
    fn another_calls_sector_is_the_last_one_that_differs() {
        let driver = driver(Misdeed::Foreign, false);
        let mut room = vec![0; SECTOR];
        assert_eq!(driver.read(3, &mut OutBuf::new(&mut room)), Ok(SECTOR));
        assert_eq!(read(&driver), (Ok(SECTOR), vec![4; SECTOR]));
        assert_eq!(read(&driver), (Ok(SECTOR), vec![2; SECTOR]));
    }

    #[test]
    fn a_permanent_one_goes_on() {
        let driver = driver(Misdeed::False, true);
        let said: Vec<bool> = (0..4).map(|_| read(&driver).0.is_ok()).collect();
        assert_eq!(said, [true, false, false, false]);
    }

    #[test]
    fn a_write_that_is_not_done_leaves_what_was_there() {
        let driver = driver(Misdeed::NotDone, false);
        let write = |byte| driver.write(1, false, &mut InBuf::new(&[byte; SECTOR]));
        assert_eq!((write(7), write(8)), (Ok(SECTOR), Ok(SECTOR)));
        assert_eq!(read(&driver).1, vec![7; SECTOR]);
    }
}
