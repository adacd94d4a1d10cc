//! What [`Files`] does of the calls that programs make more rarely, a third of them in each round: sparse files and their ends,
//! and what must be refused; links that are names, and attributes; appending, several pieces at once, room. Each answer is
//! checked.

use kd_api::interfaces::fs::{Kind, rename};
use kd_api::interfaces::vfs::{allocate, open, seek};
use kd_api::{Blocks, Errno, InBuf, OutBuf};
use kd_workloads::Wrong;

use super::data;
use super::files::{COUNT, Files, wrong};

/// Where the second piece of a sparse file lies: behind what an inode names itself.
const FAR: i64 = 300_000;
const PIECE: usize = 700;

/// An error unless an answer is the one expected.
fn expect<T: PartialEq>(answer: T, expected: T, what: &str) -> Result<(), Wrong> {
    if answer == expected { Ok(()) } else { wrong(format!("{what} is another one")) }
}

/// An error unless a call is refused so.
pub(super) fn refused<T>(answer: Result<T, Errno>, expected: Errno, what: &str) -> Result<(), Wrong> {
    match answer {
        Err(errno) if errno == expected => Ok(()),
        Err(errno) => Err(Wrong::Call(errno)),
        Ok(_) => wrong(format!("{what} is not refused")),
    }
}

impl Files {
    /// One third of the calls.
    pub(super) fn calls(&self, round: u64) -> Result<(), Wrong> {
        let path = self.path("rare");
        // What an earlier round left when it failed.
        for left in [&path, &self.path("rarer")] {
            let _ = self.env.sys.unlink(self.env.caller, left);
        }
        let bytes = data(self.env.caller.app.0, COUNT + 1, round, PIECE);
        match round % 3 {
            0 => self.sparse(&path, &bytes)?,
            1 => self.named(&path, &bytes)?,
            _ => self.appended(&path, &bytes)?,
        }
        Ok(self.env.sys.unlink(self.env.caller, &path)?)
    }

    fn read_back(&self, path: &str, offset: i64, len: usize) -> Result<Vec<u8>, Wrong> {
        let mut room = vec![1; len];
        let read = |fd| Ok(self.env.sys.pread(self.env.caller, fd, offset, &mut OutBuf::new(&mut room))?);
        let count = self.with(path, open::RDONLY, read)?;
        room.truncate(count);
        Ok(room)
    }

    fn sparse(&self, path: &str, bytes: &[u8]) -> Result<(), Wrong> {
        let (sys, me) = (&self.env.sys, self.env.caller);
        self.with(path, open::RDWR | open::CREAT | open::EXCL, |fd| {
            sys.pwrite(me, fd, 0, &mut InBuf::new(bytes))?;
            sys.pwrite(me, fd, FAR, &mut InBuf::new(bytes))?;
            Ok(sys.fsync(me, fd)?)
        })?;
        expect(self.read_back(path, FAR / 2, PIECE)?, vec![0; PIECE], "a hole")?;
        expect(self.read_back(path, FAR, 2 * PIECE)?, bytes.to_vec(), "what lies behind a hole")?;
        sys.truncate(me, path, FAR as u64 / 2)?;
        sys.truncate(me, path, FAR as u64)?;
        expect(sys.stat(me, path)?.size, FAR as u64, "the size of a sparse file")?;
        expect(self.read_back(path, 0, PIECE)?, bytes.to_vec(), "what lies before a hole")?;
        self.refusals(path)
    }

    /// What cannot be done with a file and its directory.
    fn refusals(&self, path: &str) -> Result<(), Wrong> {
        let (sys, me, directory) = (&self.env.sys, self.env.caller, &self.directory);
        let exclusive = open::RDWR | open::CREAT | open::EXCL;
        refused(sys.open(me, path, exclusive, 0o600), Errno::EEXIST, "a second file of a name")?;
        refused(sys.mkdir(me, path, 0o700), Errno::EEXIST, "a directory where a file is")?;
        refused(sys.stat(me, &format!("{path}/below")), Errno::ENOTDIR, "a name below a file")?;
        refused(sys.rmdir(me, path), Errno::ENOTDIR, "a file removed as a directory")?;
        refused(sys.unlink(me, directory), Errno::EISDIR, "a directory removed as a file")?;
        refused(sys.rmdir(me, directory), Errno::ENOTEMPTY, "a directory with files removed")?;
        refused(sys.rename(me, directory, &self.path("within"), 0), Errno::EINVAL, "a directory moved into itself")?;
        refused(sys.link(me, directory, &self.path("second")), Errno::EPERM, "a directory with two names")
    }

    fn named(&self, path: &str, bytes: &[u8]) -> Result<(), Wrong> {
        let (sys, me, link) = (&self.env.sys, self.env.caller, self.path("rarer"));
        self.with(path, open::RDWR | open::CREAT, |fd| Ok(sys.pwrite(me, fd, 0, &mut InBuf::new(bytes)).map(drop)?))?;
        sys.symlink(me, "rare", &link)?;
        let mut room = [0; 16];
        let count = sys.readlink(me, &link, &mut OutBuf::new(&mut room))?;
        expect(room.get(..count), Some(&b"rare"[..]), "what a link says")?;
        expect(sys.lstat(me, &link)?.kind, Kind::Symlink, "a link")?;
        expect(self.read_back(&link, 0, 2 * PIECE)?, bytes.to_vec(), "what a link leads to")?;
        sys.chmod(me, path, 0o640)?;
        sys.chown(me, path, 7, 8)?;
        sys.utimens(me, path, 5_000_000_000, 7_000_000_000)?;
        let stat = sys.stat(me, &link)?;
        let attributes = (stat.mode & 0o777, stat.uid, stat.gid, stat.mtime);
        expect(attributes, (0o640, 7, 8, 7_000_000_000), "an attribute")?;
        sys.rename(me, path, &link, rename::EXCHANGE)?;
        expect(sys.lstat(me, path)?.kind, Kind::Symlink, "a name that was exchanged")?;
        sys.rename(me, path, &link, rename::EXCHANGE)?;
        Ok(sys.unlink(me, &link)?)
    }

    fn appended(&self, path: &str, bytes: &[u8]) -> Result<(), Wrong> {
        let (sys, me) = (&self.env.sys, self.env.caller);
        self.with(path, open::RDWR | open::CREAT | open::APPEND, |fd| {
            let (head, tail) = bytes.split_at(PIECE / 3);
            sys.write(me, fd, &mut InBuf::new(head))?;
            let other = sys.dup(me, fd)?;
            sys.write(me, other, &mut InBuf::new(tail))?;
            expect(sys.lseek(me, fd, 0, seek::CUR)?, PIECE as u64, "a shared position")?;
            sys.fallocate(me, fd, allocate::KEEP_SIZE, 0, 4 * PIECE as u64)?;
            expect(sys.fstat(me, other)?.size, PIECE as u64, "the size of a file with room")?;
            sys.lseek(me, other, 0, seek::SET)?;
            let mut room = vec![0; 2 * PIECE];
            let count = sys.read(me, fd, &mut OutBuf::new(&mut room))?;
            sys.fdatasync(me, fd)?;
            sys.close(me, other)?;
            expect(room.get(..count), Some(bytes), "what was appended")
        })?;
        self.with(path, open::RDWR, |fd| {
            let pieces = Blocks::new(PIECE, [PIECE as u64, 2 * PIECE as u64])?;
            let twice = [bytes, bytes].concat();
            let written = sys.pwrite_many(me, fd, pieces, &mut InBuf::new(&twice))?;
            let mut room = vec![0; 2 * PIECE];
            let count = sys.pread_many(me, fd, pieces, &mut OutBuf::new(&mut room))?;
            expect((written, room.get(..count)), (2 * PIECE, Some(&twice[..])), "what is in several pieces")
        })?;
        let room = sys.statfs(me, path)?;
        expect(room.free <= room.blocks, true, "the room of a file system")
    }
}
