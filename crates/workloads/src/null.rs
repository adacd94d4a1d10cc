//! Null calls: the price of being in the kernel at all. One ends in the kernel core, one in the `proc` subsystem; what
//! lies between them is one boundary between subsystems and nothing else.

use kd_api::Errno;

use crate::{Env, Session, Workload, Wrong};

/// The null call that ends in the core.
pub struct NullCore;

/// The null call that ends in `proc`.
pub struct NullProc;

impl Workload for NullCore {
    fn name(&self) -> &'static str {
        "null_core"
    }

    fn about(&self) -> &'static str {
        "One operation is a call that does nothing and ends in the kernel core: the floor under every other figure. On \
         the host's kernel it is getppid."
    }

    fn subject(&self) -> &'static str {
        "core"
    }

    fn hops(&self) -> u32 {
        0
    }

    fn verifies(&self) -> bool {
        false
    }

    fn start(&self, env: &Env) -> Result<Box<dyn Session>, Errno> {
        Ok(Box::new(CoreSession(env.clone())))
    }
}

struct CoreSession(Env);

impl Session for CoreSession {
    fn run(&mut self, operations: u64) -> Result<(), Errno> {
        for _ in 0..operations {
            self.0.sys.null()?;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), Wrong> {
        Ok(self.0.sys.null()?)
    }
}

impl Workload for NullProc {
    fn name(&self) -> &'static str {
        "null_proc"
    }

    fn about(&self) -> &'static str {
        "One operation is getpid, answered by the proc subsystem: the smallest call that crosses from the app to one \
         subsystem."
    }

    fn subject(&self) -> &'static str {
        "proc"
    }

    fn hops(&self) -> u32 {
        1
    }

    fn start(&self, env: &Env) -> Result<Box<dyn Session>, Errno> {
        let pid = env.sys.getpid(env.caller)?;
        Ok(Box::new(ProcSession { env: env.clone(), pid }))
    }
}

struct ProcSession {
    env: Env,
    pid: u32,
}

impl Session for ProcSession {
    fn run(&mut self, operations: u64) -> Result<(), Errno> {
        for _ in 0..operations {
            self.env.sys.getpid(self.env.caller)?;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), Wrong> {
        match self.env.sys.getpid(self.env.caller)? {
            pid if pid == self.pid && pid != 0 => Ok(()),
            pid => Err(Wrong::Answer(format!("getpid answers {pid}, at first it was {}", self.pid))),
        }
    }
}
