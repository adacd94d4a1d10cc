//! Running a script: each call made, each outcome written, in the app's own directory.
//!
//! A script runs alone, so a pipe that is empty stays empty: reads and writes that would wait are skipped, the same ones
//! on every kernel as long as the kernels agree.

use std::fs::File;
use std::time::Duration;

use kd_api::interfaces::fs::{Kind, Stat};
use kd_api::interfaces::vfs::{PATH_MAX, open, seek};
use kd_api::{Blocks, Errno, Fd, InBuf, OutBuf, Result};
use kd_boot::board::{Board, Field};
use kd_boot::script::{Call, Outcome, Seen};
use kd_workloads::Env;

use super::emit;

/// Directories around a script's own, for `..` behind symbolic links: the root's names are each kernel's own.
const AROUND: &str = "/w/w/w";
/// Bytes that fit into a pipe on every kernel, however it counts its pages (differs: pipe-room).
const PIPE_FITS: usize = 28_000;
/// What rooms are filled with before a call, to see what it leaves alone.
const UNTOUCHED: u8 = 0xEE;
/// Permission bits that are compared (differs: setuid-bits). Linux clears setuid and setgid when a user writes who is not the superuser of the
/// whole host, and in a private namespace nobody is.
const MODE: u16 = 0o1777;
/// Scripts set times before this one, in January 1970 (differs: present).
const SET: u64 = 1_000_000_000_000_000;
/// Longest file whose contents are compared.
const FILE_MAX: usize = 1 << 20;

/// Runs one, in a directory of its own in `under`.
pub fn run(env: &Env, under: &str, calls: &[Call], board: &Board, mut results: File) {
    let directory = format!("{under}/script-{}{AROUND}", env.caller.app.0);
    let mut script = Script { env, directory, handles: Vec::new(), pipes: Vec::new() };
    let ends = script.directory.match_indices('/').map(|(at, _)| at).skip(1).chain([script.directory.len()]);
    for end in ends {
        match env.sys.mkdir(env.caller, &script.directory[..end], 0o755) {
            // An earlier script of this app's number may have left it.
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return emit(&mut results, &failed(errno)),
        }
    }
    let mut pauses = 0;
    for call in calls {
        if *call == Call::Pause {
            pauses += 1;
            while board.get(Field::Stop) < pauses {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        let outcome = script.make(call);
        emit(&mut results, &outcome);
    }
}

#[derive(Clone, Copy)]
struct Open {
    fd: Fd,
    directory: bool,
    /// Of a pipe: which one, and whether this is the writing end.
    pipe: Option<(usize, bool)>,
}

struct Script<'a> {
    env: &'a Env,
    directory: String,
    handles: Vec<Option<Open>>,
    /// Bytes in each pipe.
    pipes: Vec<usize>,
}

fn failed(errno: Errno) -> Outcome {
    Outcome::Failed(errno.name().into())
}

fn number(result: Result<u64>) -> Outcome {
    result.map_or_else(failed, Outcome::Number)
}

/// What every kernel must tell alike.
fn seen(stat: Result<Stat>) -> Outcome {
    let kind = |kind| match kind {
        Kind::File => 0o100_000,
        Kind::Directory => 0o040_000,
        Kind::Symlink => 0o120_000,
        Kind::Block => 0o060_000,
        Kind::Fifo => 0o010_000,
    };
    let stat = match stat {
        Ok(stat) => stat,
        Err(errno) => return failed(errno),
    };
    Outcome::Stat(Seen {
        kind: kind(stat.kind),
        mode: stat.mode & MODE,
        links: stat.links,
        owner: (stat.uid, stat.gid),
        // differs: directory-size.
        size: if stat.kind == Kind::Directory { 0 } else { stat.size },
        times: [stat.atime, stat.mtime].map(|time| Some(time).filter(|time| *time < SET)),
    })
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Entries of a directory's listing: name and type.
fn entries(bytes: &[u8]) -> Vec<(String, u8)> {
    let mut names = Vec::new();
    let mut rest = bytes;
    while let [_, .., _] = rest {
        let length = usize::from(u16::from_le_bytes([rest[16], rest[17]]));
        let name = rest[19..length].split(|byte| *byte == 0).next().unwrap_or_default();
        names.push((String::from_utf8_lossy(name).into_owned(), rest[18]));
        rest = &rest[length..];
    }
    names
}

impl Script<'_> {
    fn path(&self, path: &str) -> String {
        if path.is_empty() { String::new() } else { format!("{}{path}", self.directory) }
    }

    fn open(&self, handle: usize) -> Option<Open> {
        self.handles.get(handle).copied().flatten()
    }

    /// The descriptor of a handle; of an empty one a number that is none on any kernel.
    fn fd(&self, handle: usize) -> Fd {
        self.open(handle).map_or(Fd(if handle.is_multiple_of(2) { -1 } else { 1000 }), |open| open.fd)
    }

    fn keep(&mut self, open: Open) -> u64 {
        let free = self.handles.iter().position(Option::is_none).unwrap_or(self.handles.len());
        if free == self.handles.len() {
            self.handles.push(None);
        }
        self.handles[free] = Some(open);
        free as u64
    }

    /// Whether the other end of a pipe is open.
    fn is_open(&self, pipe: usize, writer: bool) -> bool {
        self.handles.iter().flatten().any(|open| open.pipe == Some((pipe, writer)))
    }

    fn read(&self, room: usize, read: impl FnOnce(&mut OutBuf<'_>) -> Result<usize>) -> Outcome {
        let mut bytes = vec![UNTOUCHED; room];
        match read(&mut OutBuf::new(&mut bytes)) {
            Ok(count) => Outcome::Bytes(count, hash(&bytes)),
            Err(errno) => failed(errno),
        }
    }

    fn make(&mut self, call: &Call) -> Outcome {
        let (sys, me) = (&self.env.sys, self.env.caller);
        match call {
            Call::Open { path, flags, mode } => {
                let path = self.path(path);
                let opened = sys.open(me, &path, *flags, *mode).map(|fd| {
                    let directory = sys.fstat(me, fd).is_ok_and(|stat| stat.kind == Kind::Directory);
                    Open { fd, directory, pipe: None }
                });
                number(opened.map(|open| self.keep(open)))
            }
            Call::Close(handle) => {
                let result = sys.close(me, self.fd(*handle));
                if let Some(open) = self.handles.get_mut(*handle) {
                    *open = None;
                }
                number(result.map(|()| 0))
            }
            Call::Read(handle, room) => {
                let pipe = self.open(*handle).and_then(|open| open.pipe);
                if pipe.is_some_and(|(pipe, writer)| !writer && self.pipes[pipe] == 0 && self.is_open(pipe, true)) {
                    return Outcome::Skipped; // differs: pipe-waits.
                }
                let outcome = self.read(*room, |out| sys.read(me, self.fd(*handle), out));
                if let (Some((pipe, false)), Outcome::Bytes(count, _)) = (pipe, &outcome) {
                    self.pipes[pipe] = self.pipes[pipe].saturating_sub(*count);
                }
                outcome
            }
            Call::Write(handle, data) => {
                let pipe = self.open(*handle).and_then(|open| open.pipe);
                if pipe.is_some_and(|(pipe, writer)| writer && self.pipes[pipe] + data.length > PIPE_FITS) {
                    return Outcome::Skipped;
                }
                let result = sys.write(me, self.fd(*handle), &mut InBuf::new(&data.bytes()));
                if let (Some((pipe, true)), Ok(count)) = (pipe, result) {
                    self.pipes[pipe] += count;
                }
                number(result.map(|count| count as u64))
            }
            Call::Pread(handle, offset, room) => self.read(*room, |out| sys.pread(me, self.fd(*handle), *offset, out)),
            Call::Pwrite(handle, offset, data) => {
                let result = sys.pwrite(me, self.fd(*handle), *offset, &mut InBuf::new(&data.bytes()));
                number(result.map(|count| count as u64))
            }
            Call::PreadMany(handle, at, size) => match Blocks::new(*size, at.iter().copied()) {
                Ok(blocks) => self.read(blocks.bytes(), |out| sys.pread_many(me, self.fd(*handle), blocks, out)),
                Err(errno) => failed(errno),
            },
            Call::PwriteMany(handle, at, size, data) => {
                let blocks = Blocks::new(*size, at.iter().copied());
                let write = |blocks| sys.pwrite_many(me, self.fd(*handle), blocks, &mut InBuf::new(&data.bytes()));
                number(blocks.and_then(write).map(|count| count as u64))
            }
            // differs: directory-positions.
            Call::Lseek(handle, ..) if self.open(*handle).is_some_and(|open| open.directory) => Outcome::Skipped,
            Call::Lseek(handle, offset, whence) => number(sys.lseek(me, self.fd(*handle), *offset, *whence)),
            Call::Fsync(handle) => number(sys.fsync(me, self.fd(*handle)).map(|()| 0)),
            Call::Stat(path) => seen(sys.stat(me, &self.path(path))),
            Call::Mkdir(path, mode) => number(sys.mkdir(me, &self.path(path), *mode).map(|()| 0)),
            Call::Unlink(path) => number(sys.unlink(me, &self.path(path)).map(|()| 0)),
            Call::Rename(from, to, flags) => {
                number(sys.rename(me, &self.path(from), &self.path(to), *flags).map(|()| 0))
            }
            Call::Rmdir(path) => number(sys.rmdir(me, &self.path(path)).map(|()| 0)),
            Call::Link(from, to) => number(sys.link(me, &self.path(from), &self.path(to)).map(|()| 0)),
            Call::Symlink(target, path) => number(sys.symlink(me, target, &self.path(path)).map(|()| 0)),
            Call::Readlink(path, room) => self.read(*room, |out| sys.readlink(me, &self.path(path), out)),
            Call::Lstat(path) => seen(sys.lstat(me, &self.path(path))),
            // differs: fstat-pipe.
            Call::Fstat(handle) if self.open(*handle).is_some_and(|open| open.pipe.is_some()) => Outcome::Skipped,
            Call::Fstat(handle) => seen(sys.fstat(me, self.fd(*handle))),
            // differs: statfs.
            Call::Statfs(path) => number(sys.statfs(me, &self.path(path)).map(|stat| stat.block_size.into())),
            Call::Truncate(path, size) => {
                let path = self.path(path);
                // differs: truncate-same-size.
                if sys.stat(me, &path).is_ok_and(|stat| stat.kind == Kind::File && stat.size == *size as u64) {
                    return Outcome::Skipped;
                }
                number(sys.truncate(me, &path, *size as u64).map(|()| 0))
            }
            Call::Ftruncate(handle, size) => number(sys.ftruncate(me, self.fd(*handle), *size as u64).map(|()| 0)),
            Call::Fallocate(handle, flags, offset, bytes) => {
                let allocated = sys.fallocate(me, self.fd(*handle), *flags, *offset as u64, *bytes as u64);
                number(allocated.map(|()| 0))
            }
            Call::Fdatasync(handle) => number(sys.fdatasync(me, self.fd(*handle)).map(|()| 0)),
            Call::Sync => number(sys.sync(me).map(|()| 0)),
            Call::Dup(handle) => {
                let duplicate = sys.dup(me, self.fd(*handle));
                number(duplicate.map(|fd| match self.open(*handle) {
                    Some(open) => self.keep(Open { fd, ..open }),
                    None => 0,
                }))
            }
            Call::Chmod(path, mode) => number(sys.chmod(me, &self.path(path), *mode).map(|()| 0)),
            Call::Chown(path, uid, gid) => number(sys.chown(me, &self.path(path), *uid, *gid).map(|()| 0)),
            Call::Utimens(path, atime, mtime) => number(sys.utimens(me, &self.path(path), *atime, *mtime).map(|()| 0)),
            Call::Umask(mask) => number(sys.umask(me, *mask).map(u64::from)),
            Call::Getdents(handle, _) if self.open(*handle).is_some_and(|open| open.pipe.is_some()) => Outcome::Skipped,
            Call::Getdents(handle, room) => self.list(self.fd(*handle), *room).map_or_else(failed, Outcome::Names),
            Call::Pipe => match sys.pipe(me) {
                Ok((reading, writing)) => {
                    let pipe = self.pipes.len();
                    self.pipes.push(0);
                    self.keep(Open { fd: reading, directory: false, pipe: Some((pipe, false)) });
                    Outcome::Number(self.keep(Open { fd: writing, directory: false, pipe: Some((pipe, true)) }))
                }
                Err(errno) => failed(errno),
            },
            Call::Wait(handle) => self.read(1, |out| sys.read(me, self.fd(*handle), out)),
            Call::Fd(handle) => Outcome::Number(self.fd(*handle).0 as u64),
            Call::Pause => Outcome::Skipped,
            Call::Getpid => number(sys.getpid(me).map(|pid| u64::from(pid > 0))),
            Call::Tree => {
                let mut tree = Vec::new();
                self.walk(&self.directory, &mut tree).map_or_else(failed, |()| Outcome::Tree(tree))
            }
        }
    }

    /// What a directory lists from its start, read in pieces of `room` bytes, sorted (differs: listing-order).
    fn list(&self, fd: Fd, room: usize) -> Result<Vec<(String, u8)>> {
        let (sys, me) = (&self.env.sys, self.env.caller);
        sys.lseek(me, fd, 0, seek::SET)?;
        let mut names = Vec::new();
        let mut bytes = vec![0; room];
        loop {
            let count = sys.getdents64(me, fd, &mut OutBuf::new(&mut bytes))?;
            if count == 0 {
                names.sort();
                return Ok(names);
            }
            names.extend(entries(&bytes[..count]));
        }
    }

    fn walk(&self, path: &str, tree: &mut Vec<(String, Box<Outcome>, u64)>) -> Result<()> {
        let (sys, me) = (&self.env.sys, self.env.caller);
        let stat = sys.lstat(me, path)?;
        let directory = stat.kind == Kind::Directory;
        if stat.kind == Kind::Symlink {
            let Outcome::Bytes(_, target) = self.read(PATH_MAX, |out| sys.readlink(me, path, out)) else {
                return Err(Errno::EIO);
            };
            tree.push((path.into(), Box::new(seen(Ok(stat))), target));
            return Ok(());
        }
        let fd = sys.open(me, path, open::RDONLY, 0)?;
        let (names, contents) = if directory {
            (self.list(fd, 4096), 0)
        } else {
            let mut bytes = vec![0; FILE_MAX];
            let mut count = 0;
            // A system-call port carries less at once than the table of system calls does.
            loop {
                match sys.pread(me, fd, count as i64, &mut OutBuf::new(&mut bytes[count..]))? {
                    0 => break (Ok(Vec::new()), hash(&bytes[..count])),
                    more => count += more,
                }
            }
        };
        sys.close(me, fd)?;
        tree.push((path.into(), Box::new(seen(Ok(stat))), contents));
        let names = names?.into_iter().filter(|(name, _)| name != "." && name != "..");
        names.into_iter().try_for_each(|(name, _)| self.walk(&format!("{path}/{name}"), tree))
    }
}
