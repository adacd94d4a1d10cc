//! A key-value store in files: a log of records, an index in memory, and compaction.
//!
//! The design is Bitcask's (Sheehy and Smith, 2010): a put appends a record to the newest segment, a get reads one record
//! where the index says. Compaction is spread over the operations, so that each costs the same: besides its puts, an
//! operation appends a few of the keys anew, each in its turn. After 32 operations every key has been rewritten, which is
//! two segments' worth, so a segment that is four old holds nothing that is still needed, and goes.

use kd_api::interfaces::vfs::open;
use kd_api::{Errno, Fd, OutBuf};

use crate::calls::{expect_stat, make_directory, write};
use crate::compute::Compute;
use crate::pattern::{self, mix};
use crate::place::Place;
use crate::{Env, Group, Session, Workload, Wrong};

/// Keys of the store.
const KEYS: u64 = 256;
/// Puts of one operation, gets of one operation, and keys that it writes anew.
const PUTS: u64 = 8;
/// Bytes of a record: key, version and value.
const RECORD: usize = 256;
/// Bytes of key and version.
const HEAD: usize = 16;
/// Records of a segment.
const SEGMENT: u64 = 256;
/// Segments that are there at any time.
const SEGMENTS: u64 = 4;

/// Puts, gets and compaction at one place.
pub struct KvLog(pub Place);

impl Workload for KvLog {
    fn name(&self) -> &'static str {
        if self.0 == Place::Disk { "disk_kv_log" } else { "kv_log" }
    }

    fn about(&self) -> &'static str {
        "One operation of a key-value store over files is 8 puts, 8 gets, 8 records moved by compaction, and one \
         fdatasync for all of them: 33 calls on records of 256 bytes, with a new segment now and then."
    }

    fn group(&self) -> Group {
        Group::Macro
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

    fn start(&self, env: &Env) -> Result<Box<dyn Session>, Errno> {
        let root = self.0.path(env, self.name());
        make_directory(env, &root)?;
        let mut session = KvSession {
            env: env.clone(),
            compute: Compute::new(env),
            segments: (0..SEGMENTS).map(|slot| Segment { path: format!("{root}/s{slot}"), fd: None }).collect(),
            root,
            index: vec![Entry::default(); KEYS as usize],
            records: 0,
            operations: 0,
            record: [0; RECORD],
            whole: false,
        };
        session.fill()?;
        Ok(Box::new(session))
    }
}

/// Where a key's record is: its number in the log, and which of the key's values it has.
#[derive(Clone, Copy, Default)]
struct Entry {
    record: u64,
    version: u64,
}

struct Segment {
    path: String,
    fd: Option<Fd>,
}

struct KvSession {
    env: Env,
    compute: Compute,
    root: String,
    segments: Vec<Segment>,
    index: Vec<Entry>,
    /// Records appended since the log began.
    records: u64,
    operations: u64,
    record: [u8; RECORD],
    /// Whether the log is as the index says.
    whole: bool,
}

impl KvSession {
    fn slot(record: u64) -> usize {
        (record / SEGMENT % SEGMENTS) as usize
    }

    fn close(&mut self, slot: usize) {
        if let Some(fd) = self.segments[slot].fd.take() {
            // A descriptor that the kernel has forgotten is closed.
            let _ = self.env.sys.close(self.env.caller, fd);
        }
    }

    /// Replaces the oldest segment by an empty one.
    fn turn(&mut self, slot: usize) -> Result<(), Errno> {
        self.close(slot);
        let (env, segment) = (&self.env, &mut self.segments[slot]);
        match env.sys.unlink(env.caller, &segment.path) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
        let flags = open::CREAT | open::EXCL | open::APPEND | open::RDWR;
        segment.fd = Some(env.sys.open(env.caller, &segment.path, flags, 0o600)?);
        Ok(())
    }

    /// Fills the record of a key and one of its versions.
    fn compose(&mut self, key: u64, version: u64) {
        self.record[..8].copy_from_slice(&key.to_le_bytes());
        self.record[8..HEAD].copy_from_slice(&version.to_le_bytes());
        pattern::fill(&mut self.record[HEAD..], self.env.caller.app.0, key as usize, version);
    }

    /// Appends the record at hand, which is `key`'s.
    fn append(&mut self, key: u64, version: u64) -> Result<(), Errno> {
        let slot = Self::slot(self.records);
        if self.records.is_multiple_of(SEGMENT) {
            // What the segment before has must be stable before a later one is.
            self.sync(Self::slot(self.records.saturating_sub(1)))?;
            self.turn(slot)?;
        }
        write(&self.env, self.segments[slot].fd.ok_or(Errno::EBADF)?, &self.record)?;
        self.index[key as usize] = Entry { record: self.records, version };
        self.records += 1;
        Ok(())
    }

    /// Reads a key's record, which must be the one that the index names.
    fn get(&mut self, key: u64) -> Result<(), Errno> {
        let Entry { record, version } = self.index[key as usize];
        let fd = self.segments[Self::slot(record)].fd.ok_or(Errno::EBADF)?;
        let at = (record % SEGMENT * RECORD as u64) as i64;
        let count = self.env.sys.pread(self.env.caller, fd, at, &mut OutBuf::new(&mut self.record))?;
        let named = self.record[..8] == key.to_le_bytes() && self.record[8..HEAD] == version.to_le_bytes();
        if count == RECORD && named { Ok(()) } else { Err(Errno::EIO) }
    }

    fn sync(&mut self, slot: usize) -> Result<(), Errno> {
        self.segments[slot].fd.map_or(Ok(()), |fd| self.env.sys.fdatasync(self.env.caller, fd))
    }

    /// Begins a log that has every key.
    fn fill(&mut self) -> Result<(), Errno> {
        self.clear();
        self.records = 0;
        for key in 0..KEYS {
            let version = self.index[key as usize].version;
            self.compose(key, version);
            self.append(key, version)?;
        }
        self.whole = true;
        Ok(())
    }

    fn clear(&mut self) {
        for slot in 0..self.segments.len() {
            self.close(slot);
            // What a kernel in trouble does not remove is left.
            let _ = self.env.sys.unlink(self.env.caller, &self.segments[slot].path);
        }
    }

    fn step(&mut self) -> Result<(), Errno> {
        if !self.whole {
            self.fill()?;
        }
        self.whole = false;
        let begin = self.operations * PUTS;
        for number in begin..begin + PUTS {
            let key = mix(number) % KEYS;
            let version = self.index[key as usize].version + 1;
            // The value is what the record at hand has, under a new head: making one up is no part of a store.
            self.record[..8].copy_from_slice(&key.to_le_bytes());
            self.record[8..HEAD].copy_from_slice(&version.to_le_bytes());
            self.append(key, version)?;
        }
        for number in begin..begin + PUTS {
            self.get(mix(!number) % KEYS)?;
        }
        self.compute.on(&self.record);
        for number in begin..begin + PUTS {
            let key = number % KEYS;
            self.get(key)?;
            self.append(key, self.index[key as usize].version)?;
        }
        self.sync(Self::slot(self.records - 1))?;
        self.operations += 1;
        self.whole = true;
        Ok(())
    }
}

impl Session for KvSession {
    fn run(&mut self, operations: u64) -> Result<(), Errno> {
        (0..operations).try_for_each(|_| self.step())
    }

    /// One operation; then a value of known bytes is put under each key and read back, and no segment is longer than its
    /// records.
    fn check(&mut self) -> Result<(), Wrong> {
        self.step()?;
        self.whole = false;
        for key in 0..KEYS {
            let version = self.index[key as usize].version + 1;
            self.compose(key, version);
            self.append(key, version)?;
        }
        self.sync(Self::slot(self.records - 1))?;
        self.whole = true;
        for key in 0..KEYS {
            self.compose(key, self.index[key as usize].version);
            let expected = std::mem::replace(&mut self.record, [0; RECORD]);
            self.get(key)?;
            if self.record != expected {
                return Err(Wrong::Answer(format!("key {key} has another value than the one put")));
            }
        }
        let last = self.records - 1;
        let size = (last % SEGMENT + 1) * RECORD as u64;
        expect_stat(&self.env, &self.segments[Self::slot(last)].path, |stat| stat.size == size)
    }
}

impl Drop for KvSession {
    fn drop(&mut self) {
        self.clear();
        let _ = self.env.sys.rmdir(self.env.caller, &self.root);
    }
}
