//! Both kernels side by side: which of their descriptors mean the same, and whether their answers do.

use std::collections::BTreeMap;
use std::sync::Arc;

use kd_api::interfaces::fs::Kind;
use kd_api::interfaces::syscalls::Syscalls;
use kd_api::interfaces::vfs::{Vfs, open};
use kd_api::{Caller, Errno, Fd, OutBuf};
use kd_subsystems::syscalls::SyscallTable;

use crate::common;
use crate::host::{Answer, Host, Seen};

pub const APP: Caller = Caller::app(7);

pub fn number<T>(result: Result<T, Errno>) -> Answer<T> {
    result.map_err(|errno| errno as i32)
}

/// Both kernels, and which of their descriptors mean the same.
pub struct Pair {
    pub ours: SyscallTable,
    pub vfs: Arc<dyn Vfs>,
    pub host: Host,
    pub open: BTreeMap<i32, Open>,
    pub log: Vec<String>,
}

pub struct Open {
    pub host: i32,
    pub directory: bool,
    /// Of a pipe: the number that its other end had, and whether this one writes.
    pub pipe: Option<(i32, bool)>,
}

impl Pair {
    pub fn new(name: &str) -> Option<Pair> {
        let host = Host::new(name)?;
        let (ours, vfs) = common::boot();
        number(ours.mkdir(APP, "/w", 0o755)).expect("an empty root");
        Some(Pair { ours, vfs, host, open: BTreeMap::new(), log: Vec::new() })
    }

    pub fn same<T: PartialEq + std::fmt::Debug>(&mut self, call: String, ours: &Answer<T>, host: &Answer<T>) {
        let call = if call.len() > 200 { format!("{}...", &call[..200]) } else { call };
        self.log.push(format!("{call} = {ours:?}"));
        if ours != host {
            let from = self.log.len().saturating_sub(25);
            panic!("{call}: ours {ours:?}, the host's {host:?}; before it:\n{}", self.log[from..].join("\n"));
        }
    }

    pub fn host_fd(&self, fd: i32) -> i32 {
        self.open.get(&fd).map_or(-1, |open| open.host)
    }

    pub fn ours_at(path: &str) -> String {
        if path.is_empty() { String::new() } else { format!("/w{path}") }
    }

    pub fn open(&mut self, path: &str, flags: u32, mode: u32) -> Option<i32> {
        let ours = number(self.ours.open(APP, &Pair::ours_at(path), flags, mode)).map(|fd| fd.0);
        let host = self.host.open(path, flags, mode);
        self.same(format!("open({path:?}, {flags:#o}, {mode:#o})"), &ours.map(drop), &host.map(drop));
        let (fd, host) = (ours.ok()?, host.ok()?);
        let lowest = (3..).find(|fd| !self.open.contains_key(fd)).expect("one is free");
        assert_eq!(fd, lowest, "the lowest free descriptor");
        let directory = self.stat_ours(path).is_ok_and(|seen| seen.directory);
        self.open.insert(fd, Open { host, directory, pipe: None });
        Some(fd)
    }

    pub fn pipe(&mut self) {
        let ours = number(self.ours.pipe(APP)).expect("made");
        let host = self.host.pipe().expect("made");
        self.log.push(format!("pipe() = {ours:?}"));
        let (reading, writing) = (ours.0.0, ours.1.0);
        self.open.insert(reading, Open { host: host.0, directory: false, pipe: Some((writing, false)) });
        self.open.insert(writing, Open { host: host.1, directory: false, pipe: Some((reading, true)) });
    }

    pub fn close(&mut self, fd: i32) {
        let host = self.host.close(self.host_fd(fd));
        let ours = number(self.ours.close(APP, Fd(fd)));
        self.same(format!("close({fd})"), &ours, &host);
        self.open.remove(&fd);
    }

    /// Whether a read could wait for ever, as nothing here runs beside it.
    pub fn read_waits(&self, fd: i32, filled: &BTreeMap<i32, usize>) -> bool {
        let pipe = self.open.get(&fd).and_then(|open| open.pipe);
        pipe.is_some_and(|(other, writer)| !writer && self.open.contains_key(&other) && !filled.contains_key(&fd))
    }

    /// The same of a write. Linux counts pages, which are on average at least half full.
    pub fn write_waits(&self, fd: i32, length: usize, filled: &BTreeMap<i32, usize>) -> bool {
        let pipe = self.open.get(&fd).and_then(|open| open.pipe);
        pipe.is_some_and(|(other, writer)| writer && filled.get(&other).unwrap_or(&0) + length > 28_000)
    }

    pub fn stat_ours(&self, path: &str) -> Answer<Seen> {
        number(self.ours.stat(APP, &Pair::ours_at(path))).map(|stat| Seen {
            directory: stat.kind == Kind::Directory,
            mode: stat.mode.into(),
            links: stat.links.into(),
            size: stat.size,
        })
    }

    pub fn stat(&mut self, path: &str) {
        let ours = self.stat_ours(path);
        let host = self.host.stat(path);
        self.same(format!("stat({path:?})"), &ours, &host);
    }

    /// What a directory lists from its start, sorted, read in pieces of `room` bytes.
    pub fn list(&mut self, fd: i32, room: usize) -> Answer<Vec<(String, u8)>> {
        let ours = number(self.ours.lseek(APP, Fd(fd), 0, 0)).map(|at| at as i64);
        let host = self.host.lseek(self.host_fd(fd), 0, 0);
        self.same(format!("lseek({fd}, 0, 0)"), &ours, &host);
        let ours = collect(room, |bytes| {
            number(self.ours.getdents64(APP, Fd(fd), &mut OutBuf::new(bytes))).map(|count| count as i64)
        });
        let host = collect(room, |bytes| self.host.getdents64(self.host_fd(fd), bytes));
        self.same(format!("getdents64({fd}, {room})"), &ours, &host);
        ours
    }

    /// Every file and directory below `path`, with its contents.
    pub fn compare_tree(&mut self, path: &str) {
        let fd = self.open(&format!("{path}/"), open::DIRECTORY, 0).expect("a directory");
        let entries = self.list(fd, 4096).expect("listed");
        self.close(fd);
        for (name, kind) in entries.into_iter().filter(|(name, _)| !name.starts_with('.')) {
            let below = format!("{path}/{name}");
            self.stat(&below);
            if kind == libc::DT_DIR {
                self.compare_tree(&below);
            } else {
                assert!(self.contents_ours(&below) == self.contents_host(&below), "contents of {below} differ");
            }
        }
    }

    pub fn contents_ours(&self, path: &str) -> Vec<u8> {
        let fd = self.ours.open(APP, &Pair::ours_at(path), open::RDONLY, 0).expect("listed");
        let mut bytes = vec![0; 1 << 20];
        let count = self.ours.read(APP, fd, &mut OutBuf::new(&mut bytes)).expect("read");
        self.ours.close(APP, fd).expect("open");
        bytes.truncate(count);
        bytes
    }

    pub fn contents_host(&self, path: &str) -> Vec<u8> {
        let fd = self.host.open(path, open::RDONLY, 0).expect("listed");
        let mut bytes = vec![0; 1 << 20];
        let count = self.host.read(fd, &mut bytes).expect("read");
        self.host.close(fd).expect("open");
        bytes.truncate(count as usize);
        bytes
    }
}

/// All entries of a directory as names and types, sorted; `next` fills a buffer of `room` bytes.
fn collect(room: usize, mut next: impl FnMut(&mut [u8]) -> Answer<i64>) -> Answer<Vec<(String, u8)>> {
    let mut names = vec![];
    let mut bytes = vec![0; room];
    loop {
        let count = next(&mut bytes)? as usize;
        if count == 0 {
            names.sort();
            return Ok(names);
        }
        let mut rest = &bytes[..count];
        while !rest.is_empty() {
            let length = usize::from(u16::from_le_bytes([rest[16], rest[17]]));
            let name = rest[19..length].split(|byte| *byte == 0).next().expect("at least one piece");
            names.push((String::from_utf8_lossy(name).into_owned(), rest[18]));
            rest = &rest[length..];
        }
    }
}
