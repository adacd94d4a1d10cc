//! Copying a file: what `cp` does without a mapping, and lmbench measures as read and write bandwidth in one.

use kd_api::interfaces::vfs::open;
use kd_api::{Errno, Fd, InBuf, OutBuf};

use crate::place::Place;
use crate::{Env, Group, Session, Workload, Wrong, pattern};

/// Bytes of one piece.
const PIECE: usize = 64 << 10;
/// Pieces of the file: 2 MiB.
const PIECES: usize = 32;
/// The stamp of the file's data; the copy is made of others first where one is checked.
const STAMP: u64 = 0;

/// A copy from one file to another on one file system.
pub struct Copy(pub Place);

impl Workload for Copy {
    fn name(&self) -> &'static str {
        if self.0 == Place::Disk { "disk_copy_64k" } else { "copy_64k" }
    }

    fn about(&self) -> &'static str {
        "One operation copies 64 KiB of a file of 2 MiB into another one, piece after piece, by pread and pwrite: two calls, \
         and the bytes pass through the program."
    }

    fn group(&self) -> Group {
        self.0.group()
    }

    fn needs(&self) -> Option<&'static str> {
        self.0.needs()
    }

    fn subject(&self) -> &'static str {
        self.0.subject()
    }

    fn hops(&self) -> u32 {
        self.0.hops()
    }

    fn verifies(&self) -> bool {
        false
    }

    fn bytes(&self) -> Option<usize> {
        Some(PIECE)
    }

    fn start(&self, env: &Env) -> Result<Box<dyn Session>, Errno> {
        let paths = ["from", "to"].map(|end| format!("{}-{end}", self.0.path(env, self.name())));
        let open = |path: &String| env.sys.open(env.caller, path, open::CREAT | open::TRUNC | open::RDWR, 0o600);
        let from = open(&paths[0])?;
        let to = open(&paths[1]).inspect_err(|_| {
            let _ = env.sys.close(env.caller, from);
        })?;
        let (env, piece) = (env.clone(), vec![0; PIECE]);
        let mut session = CopySession { env, paths, from, to, next: 0, piece };
        for number in 0..PIECES {
            session.put(session.from, number, STAMP)?;
            session.put(session.to, number, STAMP)?;
        }
        Ok(Box::new(session))
    }
}

struct CopySession {
    env: Env,
    paths: [String; 2],
    from: Fd,
    to: Fd,
    /// The piece that comes next.
    next: usize,
    piece: Vec<u8>,
}

/// The whole of a piece, or `EIO`.
fn whole(count: Result<usize, Errno>) -> Result<(), Errno> {
    if count? == PIECE { Ok(()) } else { Err(Errno::EIO) }
}

impl CopySession {
    fn read(&mut self, fd: Fd, number: usize) -> Result<(), Errno> {
        whole(self.env.sys.pread(self.env.caller, fd, (number * PIECE) as i64, &mut OutBuf::new(&mut self.piece)))
    }

    fn write(&mut self, fd: Fd, number: usize) -> Result<(), Errno> {
        whole(self.env.sys.pwrite(self.env.caller, fd, (number * PIECE) as i64, &mut InBuf::new(&self.piece)))
    }

    /// Writes a piece whose data follows from `stamp`.
    fn put(&mut self, fd: Fd, number: usize, stamp: u64) -> Result<(), Errno> {
        pattern::fill(&mut self.piece, self.env.caller.app.0, number, stamp);
        self.write(fd, number)
    }
}

impl Session for CopySession {
    fn run(&mut self, operations: u64) -> Result<(), Errno> {
        for _ in 0..operations {
            self.read(self.from, self.next)?;
            self.write(self.to, self.next)?;
            self.next = (self.next + 1) % PIECES;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), Wrong> {
        let number = self.next;
        self.put(self.to, number, STAMP + 1)?;
        self.run(1)?;
        self.read(self.to, number)?;
        let mut expected = vec![0; PIECE];
        pattern::fill(&mut expected, self.env.caller.app.0, number, STAMP);
        if self.piece == expected {
            return Ok(());
        }
        Err(Wrong::Answer(format!("piece {number} of the copy is not that of the file")))
    }
}

impl Drop for CopySession {
    fn drop(&mut self) {
        // What a kernel in trouble does not remove is left.
        let env = &self.env;
        for (fd, path) in [self.from, self.to].into_iter().zip(&self.paths) {
            let _ = env.sys.close(env.caller, fd);
            let _ = env.sys.unlink(env.caller, path);
        }
    }
}
