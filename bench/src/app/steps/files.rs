//! Operations on a file system: files made, written, read, renamed, linked, listed and removed, each answer checked.

use kd_api::interfaces::vfs::open;
use kd_api::{Errno, Fd, InBuf, OutBuf};
use kd_boot::board::Board;
use kd_boot::control::secret;
use kd_workloads::{Audit, Env, Verdict, Wrong};

use super::calls::refused;
use super::private::Private;
use super::{Work, data};

/// Files that are written in turn.
pub const COUNT: usize = 4;
/// What they hold: less than a page, some, and enough for a second level of a block map.
pub const SIZES: [usize; COUNT] = [300, 5000, 4096, 56 << 10];

/// A directory of an app's own.
pub struct Files {
    pub(super) env: Env,
    pub(super) directory: String,
    /// Whether names come and go as well.
    names: bool,
    /// Whether the last round failed: a file system that was started anew may have forgotten everything.
    failed: bool,
    /// Acknowledged bytes that went with files that are gone.
    lost: u64,
    /// What each file holds; none if that is not known.
    holds: Vec<Option<Vec<u8>>>,
    /// An app that changes names keeps its secret to a pipe; another one in a file of its own.
    own: Option<Private>,
}

pub(super) fn wrong<T>(what: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong::Answer(what.into()))
}

impl Files {
    /// Makes the directory.
    pub fn start(env: &Env, under: &str, names: bool) -> Result<Files, Errno> {
        let directory = format!("{under}/app-{}", env.caller.app.0);
        env.sys.mkdir(env.caller, &directory, 0o700)?;
        let own = names.then(|| Private::new(env)).transpose()?;
        let files = Files { env: env.clone(), directory, names, failed: false, lost: 0, holds: vec![None; COUNT], own };
        if !names {
            files.keep_secret("kept").map_err(|_| Errno::EIO)?;
        }
        Ok(files)
    }

    /// Writes the app's secret to a file.
    fn keep_secret(&self, name: &str) -> Result<(), Wrong> {
        self.with(&self.path(name), open::RDWR | open::CREAT, |fd| {
            let me = self.env.caller;
            Ok(self.env.sys.pwrite(me, fd, 0, &mut InBuf::new(&secret(me.app.0))).map(drop)?)
        })
    }

    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.directory)
    }

    pub(super) fn with<T>(
        &self,
        path: &str,
        flags: u32,
        work: impl FnOnce(Fd) -> Result<T, Wrong>,
    ) -> Result<T, Wrong> {
        let fd = self.env.sys.open(self.env.caller, path, flags, 0o600)?;
        let done = work(fd);
        let closed = self.env.sys.close(self.env.caller, fd);
        done.and_then(|done| Ok(closed.map(|()| done)?))
    }

    fn write(&mut self, file: usize, round: u64) -> Result<(), Wrong> {
        let bytes = data(self.env.caller.app.0, file, round, SIZES[file]);
        self.holds[file] = None;
        self.with(&self.path(&format!("f{file}")), open::RDWR | open::CREAT, |fd| {
            let (sys, me) = (&self.env.sys, self.env.caller);
            match sys.pwrite(me, fd, 0, &mut InBuf::new(&bytes))? {
                count if count == bytes.len() => {}
                count => return Err(super::told_short(count, bytes.len())),
            }
            Ok(sys.fsync(me, fd)?)
        })?;
        self.holds[file] = Some(bytes);
        Ok(())
    }

    fn fetch(&self, file: usize) -> Result<Vec<u8>, Wrong> {
        let mut bytes = vec![0; SIZES[file] + 1];
        let count = self.with(&self.path(&format!("f{file}")), open::RDONLY, |fd| {
            Ok(self.env.sys.pread(self.env.caller, fd, 0, &mut OutBuf::new(&mut bytes))?)
        })?;
        bytes.truncate(count);
        Ok(bytes)
    }

    fn read(&self, file: usize) -> Result<(), Wrong> {
        match &self.holds[file] {
            Some(expected) if self.fetch(file)? != *expected => wrong(format!("f{file} reads back other bytes")),
            _ => Ok(()),
        }
    }

    /// Names come and go, and lead to what they should.
    fn names(&self, round: u64) -> Result<(), Wrong> {
        let (sys, me) = (&self.env.sys, self.env.caller);
        let (one, other) = (self.path("one"), self.path("other"));
        // What an earlier round left when it failed.
        for path in [&one, &other] {
            let _ = sys.unlink(me, path);
        }
        let bytes = data(me.app.0, COUNT, round, 100);
        self.with(&one, open::RDWR | open::CREAT, |fd| {
            sys.pwrite(me, fd, 0, &mut InBuf::new(&bytes))?;
            Ok(sys.ftruncate(me, fd, 64)?)
        })?;
        match round % 3 {
            0 => sys.rename(me, &one, &other, 0)?,
            1 => {
                sys.link(me, &one, &other)?;
                sys.unlink(me, &one)?;
            }
            _ => {
                sys.mkdir(me, &self.path("d"), 0o700)?;
                sys.rename(me, &one, &self.path("d/inner"), 0)?;
                sys.rename(me, &self.path("d/inner"), &other, 0)?;
                sys.rmdir(me, &self.path("d"))?;
            }
        }
        refused(sys.stat(me, &one), Errno::ENOENT, "a name that went")?;
        match sys.stat(me, &other)?.size {
            64 => {}
            size => return wrong(format!("a file of 64 bytes has {size}")),
        }
        let listed = self.list()?;
        if !listed.windows(5).any(|name| name == b"other") {
            return wrong("a name is not listed");
        }
        Ok(sys.unlink(me, &other)?)
    }

    fn list(&self) -> Result<Vec<u8>, Wrong> {
        self.with(&self.directory, open::RDONLY, |fd| {
            let (mut all, mut room) = (Vec::new(), vec![0; 1024]);
            // A directory has some ten entries; one that never ends is wrong.
            for _ in 0..16 {
                match self.env.sys.getdents64(self.env.caller, fd, &mut OutBuf::new(&mut room))? {
                    0 => return Ok(all),
                    count => all.extend_from_slice(room.get(..count).unwrap_or(&[])),
                }
            }
            wrong("a listing that does not end")
        })
    }

    /// After a failure: what is gone is lost, and not expected any more.
    fn take_stock(&mut self) {
        // It may be there.
        let _ = self.env.sys.mkdir(self.env.caller, &self.directory, 0o700);
        for (file, &size) in SIZES.iter().enumerate() {
            if self.holds[file].is_some() && matches!(self.fetch(file), Err(Wrong::Call(Errno::ENOENT))) {
                self.holds[file] = None;
                self.lost += size as u64;
            }
        }
    }

    fn work(&mut self, round: u64, board: &Board) -> Result<(), Wrong> {
        let file = round as usize % COUNT;
        board.set_stable(file, None);
        self.write(file, round)?;
        board.set_stable(file, Some(round));
        match &self.own {
            Some(own) => own.pass(),
            // One that comes and goes: its memory is free afterwards.
            None => {
                self.keep_secret("gone")?;
                self.env.sys.unlink(self.env.caller, &self.path("gone"))?;
            }
        }
        self.read(file)?;
        if self.names {
            self.names(round)?;
            self.calls(round)?;
        }
        self.read((round as usize * 3 + 1) % COUNT)
    }
}

impl Work for Files {
    fn round(&mut self, round: u64, board: &Board) -> Verdict {
        if self.failed {
            self.take_stock();
        }
        let done = self.work(round, board);
        self.failed = done.is_err();
        done.into()
    }

    fn audit(&mut self) -> Audit {
        let mut audit = Audit { acknowledged: self.lost, lost: self.lost, wrong: 0, twice: 0 };
        for file in 0..COUNT {
            if let Some(expected) = &self.holds[file] {
                super::compare(&mut audit, expected, &self.fetch(file).unwrap_or_default());
            }
        }
        audit
    }
}
