//! Components that have no files: the key-value store, and who tells an app its number.

use std::sync::Arc;

use kd_api::interfaces::kv::KvStore;
use kd_api::{Errno, InBuf, OutBuf};
use kd_boot::board::Board;
use kd_boot::control::secret;
use kd_workloads::{Audit, Env, Verdict, Wrong};

use super::{Work, data};

const KEYS: usize = 8;
const SIZE: usize = 200;

/// Values by key.
pub struct Values {
    kv: Arc<dyn KvStore>,
    app: u32,
    /// Whether the last round failed: a store that was started anew has forgotten everything.
    failed: bool,
    /// Acknowledged bytes of values that are gone.
    lost: u64,
    holds: Vec<Option<Vec<u8>>>,
}

impl Values {
    pub fn start(env: &Env) -> Result<Values, Errno> {
        let kv = env.services.get::<dyn KvStore>("kv").map_err(|_| Errno::ENOSYS)?;
        // Nobody asks for it.
        kv.put(u64::from(env.caller.app.0) << 48, &mut InBuf::new(&secret(env.caller.app.0)))?;
        Ok(Values { kv, app: env.caller.app.0, failed: false, lost: 0, holds: vec![None; KEYS] })
    }

    fn key(&self, index: usize) -> u64 {
        u64::from(self.app) << 32 | index as u64
    }

    fn fetch(&self, index: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; SIZE];
        let count = self.kv.get(self.key(index), &mut OutBuf::new(&mut bytes))?;
        bytes.truncate(count);
        Ok(bytes)
    }

    /// After a failure: what is gone is lost, and not expected any more.
    fn take_stock(&mut self) {
        for index in 0..KEYS {
            if self.holds[index].is_some() && self.fetch(index) == Err(Errno::ENOENT) {
                self.holds[index] = None;
                self.lost += SIZE as u64;
            }
        }
    }

    fn work(&mut self, round: u64) -> Result<(), Wrong> {
        let index = round as usize % KEYS;
        let bytes = data(self.app, index, round, SIZE);
        self.holds[index] = None;
        self.kv.put(self.key(index), &mut InBuf::new(&bytes))?;
        self.holds[index] = Some(bytes);
        for index in [index, (round as usize * 3 + 1) % KEYS] {
            if let Some(expected) = &self.holds[index]
                && self.fetch(index)? != *expected
            {
                return Err(Wrong::Answer(format!("key {index} has another value than the one put")));
            }
        }
        let _ = self.kv.count()?;
        // One that comes and goes: its memory is free afterwards.
        let passing = u64::from(self.app) << 48 | 1;
        self.kv.put(passing, &mut InBuf::new(&secret(self.app)))?;
        self.kv.delete(passing)?;
        Ok(())
    }
}

impl Work for Values {
    fn round(&mut self, round: u64, _: &Board) -> Verdict {
        if self.failed {
            self.take_stock();
        }
        let done = self.work(round);
        self.failed = done.is_err();
        done.into()
    }

    fn audit(&mut self) -> Audit {
        let mut audit = Audit { acknowledged: self.lost, lost: self.lost, wrong: 0, twice: 0 };
        for index in 0..KEYS {
            if let Some(expected) = &self.holds[index] {
                super::compare(&mut audit, expected, &self.fetch(index).unwrap_or_default());
            }
        }
        audit
    }
}

/// An app's own number.
pub struct Identity {
    env: Env,
    number: u32,
}

impl Identity {
    pub fn start(env: &Env) -> Result<Identity, Errno> {
        Ok(Identity { env: env.clone(), number: env.sys.getpid(env.caller)? })
    }
}

impl Work for Identity {
    fn round(&mut self, _: u64, _: &Board) -> Verdict {
        match self.env.sys.getpid(self.env.caller) {
            Ok(number) if number == self.number => Verdict::Good,
            Ok(number) => Verdict::Wrong { detail: format!("app {} is called {number}", self.number) },
            Err(errno) => Verdict::Failed(errno),
        }
    }

    fn audit(&mut self) -> Audit {
        Audit::default()
    }
}
