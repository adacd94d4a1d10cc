//! What an app does beside its load: it passes its secret through a pipe, which has nothing to do with the component that
//! fails. The bytes lie afterwards wherever its calls leave them.

use kd_api::{Errno, Fd, InBuf, OutBuf};
use kd_boot::control::secret;
use kd_workloads::Env;

/// An app's pipe to itself.
pub struct Private {
    env: Env,
    ends: (Fd, Fd),
    secret: Vec<u8>,
}

impl Private {
    pub fn new(env: &Env) -> Result<Private, Errno> {
        let ends = env.sys.pipe(env.caller)?;
        Ok(Private { env: env.clone(), ends, secret: secret(env.caller.app.0) })
    }

    /// Passes the secret. How that ends is no part of the load: probes ask how the pipe is.
    pub fn pass(&self) {
        let (sys, me, (from, to)) = (&self.env.sys, self.env.caller, self.ends);
        if sys.write(me, to, &mut InBuf::new(&self.secret)) == Ok(self.secret.len()) {
            let mut room = vec![0; self.secret.len()];
            let _ = sys.read(me, from, &mut OutBuf::new(&mut room));
        }
    }
}
