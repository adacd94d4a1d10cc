//! A key-value store in memory. A value is replaced as a whole: whoever reads sees the old one or the new one.
//!
//! What it holds goes with its domain: a restarted store is empty, and its clients are told `ENOENT`.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use kd_api::interfaces::kv::{KvStore, VALUE_MAX};
use kd_api::{Component, Errno, InBuf, OutBuf, Result};

use crate::sharded::Sharded;

/// The store.
pub struct Kv {
    values: Sharded<Vec<u8>>,
}

impl Kv {
    /// An empty one.
    pub fn new() -> Kv {
        Kv { values: Sharded::new() }
    }
}

impl Default for Kv {
    fn default() -> Self {
        Kv::new()
    }
}

impl KvStore for Kv {
    fn put(&self, key: u64, data: &mut InBuf<'_>) -> Result<()> {
        if data.remaining() > VALUE_MAX {
            return Err(Errno::EFBIG);
        }
        let mut value = vec![0; data.remaining()];
        data.read(&mut value);
        self.values.insert(key, Arc::new(value));
        Ok(())
    }

    fn get(&self, key: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        let value = self.values.get(key).ok_or(Errno::ENOENT)?;
        if value.len() > out.remaining() {
            return Err(Errno::EINVAL);
        }
        Ok(out.write(&value))
    }

    fn delete(&self, key: u64) -> Result<()> {
        self.values.remove(key).map(drop).ok_or(Errno::ENOENT)
    }

    fn count(&self) -> Result<u64> {
        Ok(self.values.len() as u64)
    }
}

/// The component `kv`.
pub fn component() -> Component {
    Component::new::<dyn KvStore, Kv>("kv", &[], |_| Ok(Arc::new(Kv::new()))).for_apps()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(kv: &Kv, key: u64, room: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; room];
        let count = kv.get(key, &mut OutBuf::new(&mut bytes))?;
        bytes.truncate(count);
        Ok(bytes)
    }

    #[test]
    fn values_are_replaced_found_and_forgotten() {
        let kv = Kv::new();
        assert_eq!(get(&kv, 7, 8), Err(Errno::ENOENT));
        kv.put(7, &mut InBuf::new(b"first")).expect("short enough");
        kv.put(7, &mut InBuf::new(b"new")).expect("short enough");
        kv.put(u64::MAX, &mut InBuf::new(b"")).expect("short enough");
        assert_eq!((get(&kv, 7, 8), get(&kv, u64::MAX, 0)), (Ok(b"new".to_vec()), Ok(Vec::new())));
        assert_eq!(kv.count(), Ok(2));
        assert_eq!((kv.delete(7), kv.delete(7), kv.count()), (Ok(()), Err(Errno::ENOENT), Ok(1)));
    }

    #[test]
    fn a_refused_call_changes_and_shows_nothing() {
        let kv = Kv::new();
        kv.put(1, &mut InBuf::new(&[5; VALUE_MAX])).expect("just short enough");
        assert_eq!(kv.put(1, &mut InBuf::new(&[6; VALUE_MAX + 1])), Err(Errno::EFBIG));
        let mut room = [0; VALUE_MAX - 1];
        assert_eq!(kv.get(1, &mut OutBuf::new(&mut room)), Err(Errno::EINVAL));
        assert_eq!(room, [0; VALUE_MAX - 1]);
        assert_eq!(get(&kv, 1, VALUE_MAX), Ok(vec![5; VALUE_MAX]));
    }
}
