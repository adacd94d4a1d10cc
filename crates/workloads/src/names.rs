//! Paths and descriptors without data: `stat`, `fstat`, and `open` with `close`, of a file in the root directory or in that
//! of the disk.
//!
//! All but `fstat` are a walk of one or two path components through the VFS; nothing of the file's content moves.

use kd_api::interfaces::fs::{Kind, Stat};
use kd_api::interfaces::vfs::open;
use kd_api::{Errno, Fd, InBuf, OutBuf};

use crate::place::Place;
use crate::{Env, Group, Session, Workload, Wrong};

/// What the file holds.
const CONTENT: &[u8] = b"content";

#[derive(Clone, Copy)]
enum What {
    Stat,
    Fstat,
    OpenClose,
}

/// A workload of this family.
pub struct NameOperation {
    name: &'static str,
    place: Place,
    what: What,
}

impl NameOperation {
    /// All of them at one place.
    pub fn all(place: Place) -> [NameOperation; 3] {
        let names = match place {
            Place::Root => ["stat", "fstat", "open_close"],
            Place::Disk => ["disk_stat", "disk_fstat", "disk_open_close"],
        };
        let kinds = [What::Stat, What::Fstat, What::OpenClose];
        std::array::from_fn(|index| NameOperation { name: names[index], place, what: kinds[index] })
    }
}

impl Workload for NameOperation {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        match self.what {
            What::Stat => {
                "One operation is stat of a file in the root directory of its file system: a path becomes an inode and \
                 the inode's attributes."
            }
            What::Fstat => "One operation is fstat of an open file: the attributes alone, without a path.",
            What::OpenClose => {
                "One operation opens a file in the root directory of its file system for reading and closes it again: \
                 two calls, with the descriptor table and the hold on the inode that they keep."
            }
        }
    }

    fn group(&self) -> Group {
        self.place.group()
    }

    fn needs(&self) -> Option<&'static str> {
        self.place.needs()
    }

    fn subject(&self) -> &'static str {
        "vfs"
    }

    fn hops(&self) -> u32 {
        self.place.hops()
    }

    fn verifies(&self) -> bool {
        false
    }

    fn start(&self, env: &Env) -> Result<Box<dyn Session>, Errno> {
        let named = Named::new(env, self.place.path(env, self.name))?;
        Ok(match self.what {
            What::Stat => Box::new(StatSession(named)),
            What::Fstat => {
                Box::new(FstatSession { fd: env.sys.open(env.caller, &named.path, open::RDONLY, 0)?, named })
            }
            What::OpenClose => Box::new(OpenCloseSession(named)),
        })
    }
}

/// A file with known content; removed when dropped.
struct Named {
    env: Env,
    path: String,
}

impl Named {
    fn new(env: &Env, path: String) -> Result<Named, Errno> {
        let (named, sys) = (Named { env: env.clone(), path }, &env.sys);
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
        expected(self.0.env.sys.stat(self.0.env.caller, &self.0.path)?)
    }
}

fn expected(stat: Stat) -> Result<(), Wrong> {
    let expected = (Kind::File, 0o600, 1, CONTENT.len() as u64);
    if (stat.kind, stat.mode, stat.links, stat.size) == expected {
        return Ok(());
    }
    Err(Wrong::Answer(format!("{stat:?} for kind, mode, links, size {expected:?}")))
}

struct FstatSession {
    fd: Fd,
    named: Named,
}

impl Session for FstatSession {
    fn run(&mut self, operations: u64) -> Result<(), Errno> {
        let env = &self.named.env;
        for _ in 0..operations {
            env.sys.fstat(env.caller, self.fd)?;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), Wrong> {
        let env = &self.named.env;
        expected(env.sys.fstat(env.caller, self.fd)?)
    }
}

impl Drop for FstatSession {
    fn drop(&mut self) {
        let env = &self.named.env;
        let _ = env.sys.close(env.caller, self.fd);
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
