//! A key-value store in memory. A value is replaced as a whole: whoever reads sees the old one or the new one.
//!
//! Where there is a store ([`values`]), values outlive their server; else a restarted one is empty, and its
//! clients are told `ENOENT`.

use alloc::sync::Arc;
use alloc::vec;

use kd_api::interfaces::kv::{KvStore, VALUE_MAX};
use kd_api::{Component, Errno, InBuf, OutBuf, Result, Store};

use crate::sharded::Sharded;
use crate::values::{self, Value, Values};

/// Values that a store has room for, those included that replace others.
const KEPT: usize = 4096;

/// The store.
pub struct Kv {
    values: Sharded<Value>,
    makes: Values,
}

impl Kv {
    /// An empty one.
    pub fn new() -> Kv {
        Kv::open(None)
    }

    /// The values that a predecessor left, if they are kept.
    pub fn open(store: Option<Store>) -> Kv {
        let (makes, found) = Values::open(store, KEPT, "kv");
        let values = Sharded::new();
        found.into_iter().for_each(|(key, value)| drop(values.insert(key, Arc::new(value))));
        Kv { values, makes }
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
        let value = self.makes.make(key, value)?;
        self.values.insert(key, Arc::new(value)).into_iter().for_each(|before| before.forget());
        Ok(())
    }

    fn get(&self, key: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        let value = self.values.get(key).ok_or(Errno::ENOENT)?;
        let bytes = value.bytes()?;
        if bytes.len() > out.remaining() {
            return Err(Errno::EINVAL);
        }
        Ok(out.write(bytes))
    }

    fn delete(&self, key: u64) -> Result<()> {
        self.values.remove(key).map(|value| value.forget()).ok_or(Errno::ENOENT)
    }

    fn count(&self) -> Result<u64> {
        Ok(self.values.len() as u64)
    }
}

/// The component `kv`.
pub fn component() -> Component {
    Component::new::<dyn KvStore, Kv>("kv", &[], |imports| Ok(Arc::new(Kv::open(imports.store()))))
        .for_apps()
        .with_store(values::words(KEPT))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

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
