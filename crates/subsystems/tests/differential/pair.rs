//! Both kernels side by side: which of their descriptors mean the same, and whether their answers do.

use std::collections::BTreeMap;
use std::sync::Arc;

use kd_api::interfaces::fs::{Kind, Stat};
use kd_api::interfaces::syscalls::Syscalls;
use kd_api::interfaces::vfs::{Vfs, open};
use kd_api::{Blocks, Caller, Errno, Fd, InBuf, OutBuf};
use kd_subsystems::syscalls::SyscallTable;

use crate::common;
use crate::host::{AROUND, Answer, Host, Seen, Time};

/// Apps of a pair: the superuser's, and two of users that share a group.
pub const USERS: [(u32, u32); 3] = [(0, 0), (1001, 100), (1002, 100)];

/// The errno of a number that the host gave.
fn known(number: i32) -> Errno {
    Errno::from_number(number as i16).expect("the API knows it")
}

pub fn number<T>(result: Result<T, Errno>) -> Answer<T> {
    result.map_err(|errno| errno as i32)
}

/// Both kernels, and which of their descriptors mean the same.
pub struct Pair {
    pub ours: SyscallTable,
    pub vfs: Arc<dyn Vfs>,
    pub host: Host,
    /// The app that calls now, and its descriptors.
    pub app: usize,
    pub open: BTreeMap<i32, Open>,
    /// Descriptors and masks of the others.
    others: [(BTreeMap<i32, Open>, u32); USERS.len()],
    /// Bytes in each pipe.
    pub filled: Vec<usize>,
    pub log: Vec<String>,
}

#[derive(Clone, Copy)]
pub struct Open {
    pub host: i32,
    pub directory: bool,
    /// Of a pipe: which one, and whether this is a writing end.
    pub pipe: Option<(usize, bool)>,
}

impl Pair {
    pub fn new(name: &str) -> Option<Pair> {
        let host = Host::new(name)?;
        let (ours, vfs) = common::boot();
        for end in (0..AROUND.len()).step_by(2) {
            number(ours.mkdir(Pair::caller(0), &AROUND[..end + 2], 0o755)).expect("an empty root");
        }
        for (app, (uid, gid)) in USERS.into_iter().enumerate() {
            ours.set_user(Pair::caller(app), uid, gid).expect("the superuser may");
        }
        Some(Pair {
            ours,
            vfs,
            host,
            app: 0,
            open: BTreeMap::new(),
            others: Default::default(),
            filled: Vec::new(),
            log: Vec::new(),
        })
    }

    pub fn caller(app: usize) -> Caller {
        Caller::app(7 + app as u32)
    }

    /// Who calls now.
    pub fn me(&self) -> Caller {
        Pair::caller(self.app)
    }

    /// Whom the directory that is compared lets in.
    pub fn open_to_all(&mut self, mode: u32) {
        number(self.ours.chmod(self.me(), &Pair::ours_at("/"), mode)).expect("the superuser may");
        self.host.chmod("/", mode).expect("the superuser may");
    }

    /// The lowest free descriptor leads where another does.
    pub fn dup(&mut self, fd: i32) {
        let ours = number(self.ours.dup(self.me(), Fd(fd))).map(|fd| fd.0);
        let host = self.host.dup(self.host_fd(fd));
        self.same(format!("dup({fd})"), &ours.map(drop), &host.map(drop));
        if let (Ok(new), Ok(host), Some(open)) = (ours, host, self.open.get(&fd).copied()) {
            self.open.insert(new, Open { host, ..open });
        }
    }

    /// Another app goes on.
    pub fn switch(&mut self, app: usize) {
        let mask = self.host.umask(self.others[app].1);
        self.others[self.app] = (std::mem::take(&mut self.open), mask);
        if app == self.app {
            self.host.umask(mask);
        }
        self.open = std::mem::take(&mut self.others[app].0);
        self.app = app;
        self.host.become_user(USERS[app].0, USERS[app].1);
        self.log.push(format!("-- app {app}"));
    }

    pub fn same<T: PartialEq + std::fmt::Debug>(&mut self, call: String, ours: &Answer<T>, host: &Answer<T>) {
        let call = if call.len() > 200 { format!("{}...", &call[..200]) } else { call };
        self.log.push(format!("{call} = {ours:?}"));
        if ours != host {
            let shown = if std::env::var_os("KD_SEED").is_some() { usize::MAX } else { 25 };
            let from = self.log.len().saturating_sub(shown);
            panic!("{call}: ours {ours:?}, the host's {host:?}; before it:\n{}", self.log[from..].join("\n"));
        }
    }

    pub fn host_fd(&self, fd: i32) -> i32 {
        self.open.get(&fd).map_or(-1, |open| open.host)
    }

    pub fn ours_at(path: &str) -> String {
        if path.is_empty() { String::new() } else { format!("{AROUND}{path}") }
    }

    pub fn open(&mut self, path: &str, flags: u32, mode: u32) -> Option<i32> {
        let ours = number(self.ours.open(self.me(), &Pair::ours_at(path), flags, mode)).map(|fd| fd.0);
        let host = match self.host.open(path, flags, mode) {
            // differs: open-sticky-link. Linux protects sticky directories against a link that is not followed anyway.
            Err(libc::EACCES)
                if flags & (open::CREAT | open::NOFOLLOW) > open::NOFOLLOW && ours == Err(libc::ELOOP) =>
            {
                Err(libc::ELOOP)
            }
            host => host,
        };
        self.same(format!("open({path:?}, {flags:#o}, {mode:#o})"), &ours.map(drop), &host.map(drop));
        let (fd, host) = (ours.ok()?, host.ok()?);
        let lowest = (3..).find(|fd| !self.open.contains_key(fd)).expect("one is free");
        assert_eq!(fd, lowest, "the lowest free descriptor");
        let directory = self.ours.fstat(self.me(), Fd(fd)).is_ok_and(|stat| stat.kind == Kind::Directory);
        self.open.insert(fd, Open { host, directory, pipe: None });
        Some(fd)
    }

    pub fn pipe(&mut self) {
        let ours = number(self.ours.pipe(self.me())).expect("made");
        let host = self.host.pipe().expect("made");
        self.log.push(format!("pipe() = {ours:?}"));
        let (reading, writing) = (ours.0.0, ours.1.0);
        let pipe = self.filled.len();
        self.filled.push(0);
        self.open.insert(reading, Open { host: host.0, directory: false, pipe: Some((pipe, false)) });
        self.open.insert(writing, Open { host: host.1, directory: false, pipe: Some((pipe, true)) });
    }

    pub fn close(&mut self, fd: i32) {
        let host = self.host.close(self.host_fd(fd));
        let ours = number(self.ours.close(self.me(), Fd(fd)));
        self.same(format!("close({fd})"), &ours, &host);
        self.open.remove(&fd);
    }

    /// The pipe that a descriptor is an end of, and whether the writing one.
    pub fn end(&self, fd: i32) -> Option<(usize, bool)> {
        self.open.get(&fd).and_then(|open| open.pipe)
    }

    /// Whether a read could wait for ever, as nothing here runs beside it (differs: pipe-waits).
    pub fn read_waits(&self, fd: i32) -> bool {
        let open = |end| self.open.values().any(|open| open.pipe == Some(end));
        matches!(self.end(fd), Some((pipe, false)) if self.filled[pipe] == 0 && open((pipe, true)))
    }

    /// The same of a write (differs: pipe-room). Linux counts pages, which are on average at least half full.
    pub fn write_waits(&self, fd: i32, length: usize) -> bool {
        matches!(self.end(fd), Some((pipe, true)) if self.filled[pipe] + length > 28_000)
    }

    /// Writes blocks and reads them again; the host has a call for each. Those that overlap are refused, by ours alone.
    pub fn blocks(&mut self, fd: i32, blocks: Blocks) {
        let data: Vec<u8> = (0..blocks.bytes()).map(|i| (i % 249) as u8).collect();
        let (mut mine, mut theirs) = (vec![0xEE; data.len()], vec![0xEE; data.len()]);
        let (host, size) = (self.host_fd(fd), blocks.size());
        let ours = number(self.ours.pwrite_many(self.me(), Fd(fd), blocks, &mut InBuf::new(&data)));
        let told = |answer: Answer<i64>| answer.map(|count| count as usize).map_err(known);
        let mut parts = data.chunks(size);
        let one = |at| told(self.host.pwrite(host, at as i64, parts.next().expect("one for each block")));
        let written = if blocks.overlap() { Err(Errno::EINVAL) } else { blocks.in_turn(one) };
        self.same(format!("pwrite_many({fd}, {blocks:?})"), &ours, &number(written));
        let ours = number(self.ours.pread_many(self.me(), Fd(fd), blocks, &mut OutBuf::new(&mut mine)));
        let mut parts = theirs.chunks_mut(size);
        let one = |at| told(self.host.pread(host, at as i64, parts.next().expect("one for each block")));
        let read = number(blocks.in_turn(one));
        self.same(format!("pread_many({fd}, {blocks:?})"), &ours, &read);
        assert!(mine == theirs, "bytes read differ");
    }

    pub fn stat(&mut self, path: &str) {
        let ours = seen(self.ours.stat(self.me(), &Pair::ours_at(path)));
        let host = self.host.stat(path, 0);
        self.same(format!("stat({path:?})"), &ours, &host);
    }

    pub fn lstat(&mut self, path: &str) {
        let ours = seen(self.ours.lstat(self.me(), &Pair::ours_at(path)));
        let host = self.host.stat(path, libc::AT_SYMLINK_NOFOLLOW);
        self.same(format!("lstat({path:?})"), &ours, &host);
    }

    pub fn readlink(&mut self, path: &str, room: usize) {
        let (mut mine, mut theirs) = (vec![0xEE; room], vec![0xEE; room]);
        let ours = number(self.ours.readlink(self.me(), &Pair::ours_at(path), &mut OutBuf::new(&mut mine)));
        let host = self.host.readlink(path, &mut theirs);
        self.same(format!("readlink({path:?}, {room})"), &ours.map(|count| count as i64), &host);
        assert!(mine == theirs, "targets differ");
    }

    /// What a directory lists from its start, sorted (differs: listing-order), read in pieces of `room` bytes.
    pub fn list(&mut self, fd: i32, room: usize) -> Answer<Vec<(String, u8)>> {
        let ours = number(self.ours.lseek(self.me(), Fd(fd), 0, 0)).map(|at| at as i64);
        let host = self.host.lseek(self.host_fd(fd), 0, 0);
        self.same(format!("lseek({fd}, 0, 0)"), &ours, &host);
        let ours = collect(room, |bytes| {
            number(self.ours.getdents64(self.me(), Fd(fd), &mut OutBuf::new(bytes))).map(|count| count as i64)
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
            self.lstat(&below);
            match kind {
                libc::DT_DIR => self.compare_tree(&below),
                libc::DT_LNK => self.readlink(&below, 5000),
                _ => assert!(self.contents_ours(&below) == self.contents_host(&below), "contents of {below} differ"),
            }
        }
    }

    pub fn contents_ours(&self, path: &str) -> Vec<u8> {
        let fd = self.ours.open(self.me(), &Pair::ours_at(path), open::RDONLY, 0).expect("listed");
        let mut bytes = vec![0; 1 << 20];
        let count = self.ours.read(self.me(), fd, &mut OutBuf::new(&mut bytes)).expect("read");
        self.ours.close(self.me(), fd).expect("open");
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

/// What `stat` of ours tells, as the host would say it.
pub fn seen(stat: Result<Stat, Errno>) -> Answer<Seen> {
    number(stat).map(|stat| Seen {
        kind: match stat.kind {
            Kind::File => libc::S_IFREG,
            Kind::Directory => libc::S_IFDIR,
            Kind::Symlink => libc::S_IFLNK,
            Kind::Block => libc::S_IFBLK,
            Kind::Fifo => libc::S_IFIFO,
        },
        mode: stat.mode.into(),
        links: stat.links.into(),
        user: (stat.uid, stat.gid),
        size: stat.size,
        blocks: stat.blocks,
        times: [stat.atime, stat.mtime].map(Time::of),
    })
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
