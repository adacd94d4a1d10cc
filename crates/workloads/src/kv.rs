//! The key-value store: one call to a component of ours that is no system call.
//!
//! Each app has keys of its own: one for the timed loop, [`VERIFIED`] for rounds of load.

use std::sync::Arc;

use kd_api::interfaces::kv::KvStore;
use kd_api::{Errno, InBuf, OutBuf};

use crate::{Audit, Env, Session, Verdict, Workload, Wrong, pattern};

/// Bytes of a value.
const SIZE: usize = 64;
/// Keys that rounds of load write and read; they follow the timed one, which is the app's first.
const VERIFIED: usize = 16;
/// The stamp of what the timed loop reads; no round has this number.
const TIMED: u64 = u64::MAX;

/// All workloads of this file.
pub fn workloads() -> Vec<Box<dyn Workload>> {
    vec![Box::new(KvGet)]
}

/// Reads of one small value.
struct KvGet;

impl Workload for KvGet {
    fn name(&self) -> &'static str {
        "kv_get"
    }

    fn about(&self) -> &'static str {
        "One operation gets a value of 64 bytes from the key-value store, a component that apps call directly: as the \
         null call to proc, with a little data coming back."
    }

    fn subject(&self) -> &'static str {
        "kv"
    }

    fn hops(&self) -> u32 {
        1
    }

    fn is_service(&self) -> bool {
        true
    }

    fn faulty_operation(&self) -> Option<&'static str> {
        Some("get")
    }

    fn start(&self, env: &Env) -> Result<Box<dyn Session>, Errno> {
        let kv = env.services.get::<dyn KvStore>("kv").map_err(|_| Errno::ENOSYS)?;
        let mut session = KvSession { kv, app: env.caller.app.0, stamps: [Stamps::default(); VERIFIED + 1] };
        session.put(0, TIMED)?;
        Ok(Box::new(session))
    }
}

/// By the round that wrote it: what a key was last acknowledged to hold, and what it may hold instead, since a put
/// failed and may have happened. Until one succeeds it is repeated with the same value, so there are never more.
#[derive(Clone, Copy, Default)]
struct Stamps {
    acknowledged: Option<u64>,
    pending: Option<u64>,
}

struct KvSession {
    kv: Arc<dyn KvStore>,
    app: u32,
    stamps: [Stamps; VERIFIED + 1],
}

impl KvSession {
    fn key(&self, index: usize) -> u64 {
        u64::from(self.app) << 32 | index as u64
    }

    fn value(&self, index: usize, stamp: u64) -> [u8; SIZE] {
        let mut value = [0; SIZE];
        pattern::fill(&mut value, self.app, index, stamp);
        value
    }

    fn put(&mut self, index: usize, stamp: u64) -> Result<(), Errno> {
        let stamp = *self.stamps[index].pending.get_or_insert(stamp);
        self.kv.put(self.key(index), &mut InBuf::new(&self.value(index, stamp)))?;
        self.stamps[index] = Stamps { acknowledged: Some(stamp), pending: None };
        Ok(())
    }

    fn get(&self, index: usize) -> Result<[u8; SIZE], Wrong> {
        let mut value = [0; SIZE];
        match self.kv.get(self.key(index), &mut OutBuf::new(&mut value))? {
            SIZE => Ok(value),
            count => Err(Wrong::Answer(format!("key {index} has {count} bytes for {SIZE}"))),
        }
    }

    /// Every value that a key may have; none if it was never acknowledged to have one.
    fn expected(&self, index: usize) -> Vec<[u8; SIZE]> {
        let Stamps { acknowledged, pending } = self.stamps[index];
        let Some(acknowledged) = acknowledged else { return Vec::new() };
        [Some(acknowledged), pending].into_iter().flatten().map(|stamp| self.value(index, stamp)).collect()
    }

    /// Gets a value and compares it, if it was ever acknowledged.
    fn compare(&self, index: usize) -> Result<(), Wrong> {
        let expected = self.expected(index);
        if expected.is_empty() || expected.contains(&self.get(index)?) {
            return Ok(());
        }
        Err(Wrong::Answer(format!("key {index} has another value than the one put")))
    }
}

impl Session for KvSession {
    fn run(&mut self, operations: u64) -> Result<(), Errno> {
        let (key, mut value) = (self.key(0), [0; SIZE]);
        for _ in 0..operations {
            if self.kv.get(key, &mut OutBuf::new(&mut value))? != SIZE {
                return Err(Errno::EIO);
            }
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), Wrong> {
        self.compare(0)
    }

    /// Puts one value, gets it back, and one that an earlier round put.
    fn verify(&mut self, round: u64) -> Verdict {
        let mut work = || {
            let first = 1 + (round % VERIFIED as u64) as usize;
            // An odd factor visits all of them over the rounds.
            let other = 1 + (round.wrapping_mul(7).wrapping_add(3) % VERIFIED as u64) as usize;
            self.put(first, round)?;
            self.compare(first)?;
            self.compare(other)
        };
        work().into()
    }

    fn audit(&mut self) -> Audit {
        let mut audit = Audit::default();
        for index in 0..self.stamps.len() {
            let expected = self.expected(index);
            if expected.is_empty() {
                continue;
            }
            audit.acknowledged += SIZE as u64;
            match self.get(index) {
                Ok(value) if expected.contains(&value) => {}
                // A value is replaced as a whole, so a wrong one is wrong as a whole.
                Ok(_) | Err(Wrong::Answer(_)) => audit.wrong += SIZE as u64,
                Err(Wrong::Call(_)) => audit.lost += SIZE as u64,
            }
        }
        audit
    }
}

impl Drop for KvSession {
    fn drop(&mut self) {
        for index in 0..self.stamps.len() {
            // What a kernel in trouble does not forget is left.
            let _ = self.kv.delete(self.key(index));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use kd_api::interfaces::kv::KvStore;
    use kd_api::{Errno, InBuf, OutBuf, Result};
    use kd_subsystems::kv::Kv;

    use super::{KvSession, SIZE, Stamps, TIMED, VERIFIED};
    use crate::{Audit, Session, Verdict};

    /// A store that can be told to ignore what it acknowledges.
    struct Forgetful {
        store: Kv,
        forgets: AtomicBool,
    }

    impl KvStore for Forgetful {
        fn put(&self, key: u64, data: &mut InBuf<'_>) -> Result<()> {
            if self.forgets.load(Relaxed) { Ok(()) } else { self.store.put(key, data) }
        }
        fn get(&self, key: u64, out: &mut OutBuf<'_>) -> Result<usize> {
            self.store.get(key, out)
        }
        fn delete(&self, key: u64) -> Result<()> {
            self.store.delete(key)
        }
        fn count(&self) -> Result<u64> {
            self.store.count()
        }
    }

    #[test]
    fn a_store_that_forgets_is_found_out() {
        let kv = Arc::new(Forgetful { store: Kv::new(), forgets: AtomicBool::new(false) });
        let mut session = KvSession { kv: kv.clone(), app: 3, stamps: [Stamps::default(); VERIFIED + 1] };
        assert_eq!(session.put(0, TIMED), Ok(()));
        for round in 0..4 {
            assert_eq!(session.verify(round), Verdict::Good);
        }
        let acknowledged = 5 * SIZE as u64;
        assert_eq!(session.audit(), Audit { acknowledged, lost: 0, wrong: 0, twice: 0 });
        kv.forgets.store(true, Relaxed);
        assert!(matches!(session.verify(16), Verdict::Wrong { .. }), "key 1 has the value of round 0");
        assert_eq!(session.verify(4), Verdict::Failed(Errno::ENOENT), "key 5 has none");
        let size = SIZE as u64;
        assert_eq!(session.audit(), Audit { acknowledged: acknowledged + size, lost: size, wrong: size, twice: 0 });
        kv.forgets.store(false, Relaxed);
        drop(session);
        assert_eq!(kv.count(), Ok(0), "a session leaves nothing");
    }
}
