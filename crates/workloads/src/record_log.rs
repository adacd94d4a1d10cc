//! A log of numbered records, each appended and made stable: the load that tells what was lost, and what happened twice.
//!
//! An append cannot be repeated without a trace, so whoever repeats one behind an app's back is found out. A record is
//! *acknowledged* when its write and its own sync have succeeded: from then on nothing may lose it. One whose write ended
//! with an error may be there or not, but not twice. A log that is full is read back whole, and the next one begun.

use kd_api::interfaces::vfs::open;
use kd_api::{Errno, Fd, OutBuf};

use crate::calls::{make_directory, with_file, write};
use crate::{Audit, Env, Verdict, Wrong};

/// Bytes of a record: its number, over and over.
const RECORD: usize = 64;
/// Records of one log.
const RECORDS: usize = 256;
/// How often the last log is asked for: a server may be dying just then.
const TRIES: usize = 10;

/// The log at hand, and what became of earlier ones.
pub struct RecordLog {
    env: Env,
    directory: String,
    /// Which log it is.
    number: u64,
    fd: Option<Fd>,
    /// Of each record of this log, whether it is acknowledged.
    acknowledged: Vec<bool>,
    past: Audit,
}

fn record(number: u64) -> [u8; RECORD] {
    // From one on: what was never written reads as zero.
    std::array::from_fn(|at| (number + 1).to_le_bytes()[at % 8])
}

impl RecordLog {
    /// Logs in a directory that there is.
    pub fn new(env: &Env, directory: &str) -> RecordLog {
        let (env, directory) = (env.clone(), directory.into());
        RecordLog { env, directory, number: 0, fd: None, acknowledged: Vec::new(), past: Audit::default() }
    }

    fn path(&self) -> String {
        format!("{}/records-{}", self.directory, self.number)
    }

    /// Appends one record, makes it stable, and looks whether it is the last one there; a full log is looked through before.
    pub fn round(&mut self) -> Verdict {
        self.append().into()
    }

    fn append(&mut self) -> Result<(), Wrong> {
        if self.acknowledged.len() == RECORDS {
            self.turn_over()?;
        }
        let fd = match self.fd {
            Some(fd) => fd,
            None => self.open()?,
        };
        let number = self.acknowledged.len();
        self.acknowledged.push(false);
        let data = record(number as u64);
        let made = write(&self.env, fd, &data).and_then(|()| self.env.sys.fsync(self.env.caller, fd));
        if matches!(made, Err(Errno::EBADF | Errno::ENOENT)) {
            // Its server has forgotten it, or its file system the log, of which nothing was stable yet.
            self.fd = None;
        }
        made?;
        self.acknowledged[number] = true;
        let size = self.env.sys.fstat(self.env.caller, fd)?.size;
        let (last, mut read) = (size.saturating_sub(RECORD as u64) as i64, [0; RECORD]);
        self.env.sys.pread(self.env.caller, fd, last, &mut OutBuf::new(&mut read))?;
        if read == data { Ok(()) } else { Err(Wrong::Answer(format!("the last record is not number {number}"))) }
    }

    fn open(&mut self) -> Result<Fd, Errno> {
        let open = || {
            let flags = open::CREAT | open::APPEND | open::RDWR;
            self.env.sys.open(self.env.caller, &self.path(), flags, 0o600)
        };
        let fd = match open() {
            // The directory was not stable either.
            Err(Errno::ENOENT) => make_directory(&self.env, &self.directory).and_then(|()| open())?,
            other => other?,
        };
        Ok(*self.fd.insert(fd))
    }

    /// Looks through the log at hand and begins another one.
    fn turn_over(&mut self) -> Result<(), Wrong> {
        let found = match self.read() {
            // Whoever lost the name has lost all of it, and a name that was stable with a record must be there.
            Err(Errno::ENOENT) => self.look(&[]),
            read => self.look(&read?),
        };
        if let Some(fd) = self.fd.take() {
            // Names are used once, so what a kernel in trouble does not close or remove is in nobody's way.
            let _ = self.env.sys.close(self.env.caller, fd);
        }
        let _ = self.env.sys.unlink(self.env.caller, &self.path());
        let whole = (found.lost, found.wrong, found.twice) == (0, 0, 0);
        self.past = self.past.and(found);
        (self.number, self.acknowledged) = (self.number + 1, Vec::new());
        if whole { Ok(()) } else { Err(Wrong::Answer(format!("a log is not what was acknowledged: {found:?}"))) }
    }

    /// All that the log holds.
    fn read(&self) -> Result<Vec<u8>, Errno> {
        // Room for each record twice.
        let mut bytes = vec![0; 2 * RECORDS * RECORD];
        let read = |fd| {
            let mut length = 0;
            loop {
                let room = &mut OutBuf::new(&mut bytes[length..]);
                match self.env.sys.pread(self.env.caller, fd, length as i64, room)? {
                    0 => return Ok(length),
                    more => length += more,
                }
            }
        };
        let length = with_file(&self.env, &self.path(), open::RDONLY, read)?;
        bytes.truncate(length);
        Ok(bytes)
    }

    /// What these bytes say of the log at hand.
    fn look(&self, bytes: &[u8]) -> Audit {
        let (mut times, mut wrong) = (vec![0usize; self.acknowledged.len()], 0);
        for bytes in bytes.chunks(RECORD) {
            match (0..times.len()).find(|&number| *bytes == record(number as u64)) {
                Some(number) => times[number] += 1,
                None => wrong += bytes.len() as u64,
            }
        }
        let bytes = |count: usize| (count * RECORD) as u64;
        let acknowledged = bytes(self.acknowledged.iter().filter(|it| **it).count());
        let lost = bytes(times.iter().zip(&self.acknowledged).filter(|(times, it)| **it && **times == 0).count());
        let twice = times.iter().map(|times| times.saturating_sub(1) as u64).sum();
        Audit { acknowledged, lost, wrong, twice }
    }

    /// All logs, with the one at hand.
    pub fn audit(&self) -> Audit {
        // What cannot be read is lost.
        let bytes = (0..TRIES).find_map(|_| self.read().ok()).unwrap_or_default();
        self.past.and(self.look(&bytes))
    }

    /// Removes what is left.
    pub fn end(&mut self) {
        if let Some(fd) = self.fd.take() {
            let _ = self.env.sys.close(self.env.caller, fd);
        }
        let _ = self.env.sys.unlink(self.env.caller, &self.path());
    }
}
