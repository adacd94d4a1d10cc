//! Paths and descriptors without data: `stat`, and `open` with `close`, of a file in the root directory.
//!
//! Both are a walk of one path component through the VFS and into ramfs; nothing of the file's content moves.

use kd_api::interfaces::fs::Kind;
use kd_api::interfaces::vfs::open;
use kd_api::{Errno, InBuf, OutBuf};

use crate::place::Place;
use crate::{Env, Group, Session, Workload, Wrong};

/// What the file holds.
const CONTENT: &[u8] = b"content";

/// `stat` of a file.
pub struct Stat;

/// `open` and `close` of a file.
pub struct OpenClose;

macro_rules! named {
    ($workload:ident, $session:ident, $name:literal, $about:literal) => {
        impl Workload for $workload {
            fn name(&self) -> &'static str {
                $name
            }

            fn about(&self) -> &'static str {
                $about
            }

            fn group(&self) -> Group {
                Group::File
            }

            fn subject(&self) -> &'static str {
                "vfs"
            }

            fn hops(&self) -> u32 {
                2
            }

            fn verifies(&self) -> bool {
                false
            }

            fn start(&self, env: &Env) -> Result<Box<dyn Session>, Errno> {
                Ok(Box::new($session(Named::new(env, $name)?)))
            }
        }
    };
}

named!(
    Stat,
    StatSession,
    "stat",
    "One operation is stat of a file in the root directory: a path becomes an inode and the inode's attributes."
);
named!(
    OpenClose,
    OpenCloseSession,
    "open_close",
    "One operation opens a file in the root directory for reading and closes it again: two calls, with the \
     descriptor table and the hold on the inode that they keep."
);

/// A file with known content; removed when dropped.
struct Named {
    env: Env,
    path: String,
}

impl Named {
    fn new(env: &Env, workload: &str) -> Result<Named, Errno> {
        let (named, sys) = (Named { env: env.clone(), path: Place::Root.path(env, workload) }, &env.sys);
        let fd = sys.open(env.caller, &named.path, open::CREAT | open::TRUNC | open::WRONLY, 0o600)?;
        let written = sys.write(env.caller, fd, &mut InBuf::new(CONTENT));
        sys.close(env.caller, fd)?;
        if written? == CONTENT.len() { Ok(named) } else { Err(Errno::EIO) }
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        // What a kernel in trouble does not remove is left.
        let _ = self.env.sys.unlink(self.env.caller, &self.path);
    }
}

struct StatSession(Named);

impl Session for StatSession {
    fn run(&mut self, operations: u64) -> Result<(), Errno> {
        let Named { env, path } = &self.0;
        for _ in 0..operations {
            env.sys.stat(env.caller, path)?;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), Wrong> {
        let stat = self.0.env.sys.stat(self.0.env.caller, &self.0.path)?;
        let expected = (Kind::File, 0o600, 1, CONTENT.len() as u64);
        if (stat.kind, stat.mode, stat.links, stat.size) == expected {
            return Ok(());
        }
        Err(Wrong::Answer(format!("{stat:?} for kind, mode, links, size {expected:?}")))
    }
}

struct OpenCloseSession(Named);

impl Session for OpenCloseSession {
    fn run(&mut self, operations: u64) -> Result<(), Errno> {
        let Named { env, path } = &self.0;
        for _ in 0..operations {
            let fd = env.sys.open(env.caller, path, open::RDONLY, 0)?;
            env.sys.close(env.caller, fd)?;
        }
        Ok(())
    }

    /// The descriptor reads the file while it is open, and nothing afterwards.
    fn check(&mut self) -> Result<(), Wrong> {
        let Named { env, path } = &self.0;
        let fd = env.sys.open(env.caller, path, open::RDONLY, 0)?;
        let mut bytes = [0; CONTENT.len() + 1];
        let read = env.sys.pread(env.caller, fd, 0, &mut OutBuf::new(&mut bytes));
        env.sys.close(env.caller, fd)?;
        if read? != CONTENT.len() || &bytes[..CONTENT.len()] != CONTENT {
            return Err(Wrong::Answer(format!("the opened file reads {bytes:?}")));
        }
        match env.sys.pread(env.caller, fd, 0, &mut OutBuf::new(&mut bytes)) {
            Err(Errno::EBADF) => Ok(()),
            other => Err(Wrong::Answer(format!("a closed descriptor reads {other:?}"))),
        }
    }
}
