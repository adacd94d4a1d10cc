//! A few domains without a kernel around them: servers that a rig calls, one behind the other, to time crossings alone.
//!
//! Each has a key of its own and windows under another, as a kernel gives its busiest callers. Nobody starts one anew.

use std::sync::Arc;

use kd_api::Caller;
use kd_api::server::Dispatch;

use super::domain::{self, State};
use super::keys::{Key, KeyError, Rights};
use super::thread::{outside, within};
use super::{COMMON, DOMAINS, FIRST, GatePort, server, space};

/// The domains of a rig. Made from the last server to the first, each with what it calls.
pub struct Alone {
    signals: Key,
    window: Key,
    domains: usize,
}

impl Alone {
    /// None yet. Once in a process.
    ///
    /// # Errors
    /// A machine without keys; the host's.
    pub fn new() -> Result<Alone, KeyError> {
        super::available()?;
        let (signals, window) = (Key::allocate()?, Key::allocate()?);
        domain::set_up(signals)?;
        space::map_windows(COMMON, window)?;
        domain::set_rights(COMMON, domain::rights(COMMON).writing(window));
        Ok(Alone { signals, window, domains: FIRST })
    }

    /// Makes a domain and, in it, a server: `make` is handed a port to the server that was made before this one. Returns
    /// the domain.
    ///
    /// # Errors
    /// No key left; the host's; a server that did not come up.
    pub fn add(&mut self, make: impl Fn(Option<GatePort>) -> Arc<dyn Dispatch> + Sync) -> Result<usize, KeyError> {
        let number = self.domains;
        if number == DOMAINS {
            return Err(KeyError::Exhausted);
        }
        let (key, window) = (Key::allocate()?, Key::allocate()?);
        domain::map(number, key)?;
        space::map_windows(number, window)?;
        // Whoever is called reaches its caller's windows, and any of them may be called from outside.
        let rights = Rights::NONE.reading(Key::COMMON).writing(self.signals).writing(self.window);
        domain::set_rights(number, rights.writing(key).writing(window));
        let before = (number > FIRST).then(|| number - 1);
        if let Some(before) = before {
            domain::set_rights(before, domain::rights(before).writing(window));
        }
        let made = within(number, &|| {
            let server = make(before.map(|domain| GatePort::new(domain, 0, Caller::KERNEL)));
            let server: &'static Arc<dyn Dispatch> = Box::leak(Box::new(server));
            outside(|| server::publish(number, 0, server));
        })?;
        if !made {
            return Err(KeyError::Host(std::io::Error::other("a server died over its start")));
        }
        domain::get(number).set(State::Alive);
        self.domains += 1;
        Ok(number)
    }
}
