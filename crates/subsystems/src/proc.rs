//! Processes, in their smallest form: each app is one, and its number is the app's plus one, as 0 is nobody.

use alloc::sync::Arc;

use kd_api::interfaces::proc::Proc;
use kd_api::{Caller, Component, Result};

/// The process subsystem.
pub struct Processes;

impl Proc for Processes {
    fn getpid(&self, caller: Caller) -> Result<u32> {
        Ok(caller.app.0.wrapping_add(1))
    }
}

/// The component `proc`.
pub fn component() -> Component {
    Component::new::<dyn Proc, Processes>("proc", &[], |_| Ok(Arc::new(Processes))).for_apps()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pid_follows_the_caller() {
        assert_eq!(Processes.getpid(Caller::app(41)), Ok(42));
    }
}
