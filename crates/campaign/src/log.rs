//! The log of a campaign: a text file that only grows.
//!
//! ```text
//! crc32 {"format":1,"build":"...","modules":{...},"plan":{...},"shard":{...}}
//! crc32 {"t":0,"c":"masked"}
//! crc32 {"t":1,"c":"spread","n":81200,"h":["canary"],"d":"..."}
//! ```
//!
//! Each line is written at once, when its trial is over, and begins with the CRC-32 of the rest in hexadecimal. Whoever is
//! killed leaves at most one line without its end, which the next one to open the log cuts off; so trials in flight
//! are all that is lost. A line that is whole and wrong is damage, and an error.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::pack::{is_packed, unpacked};
use crate::plan::{Plan, Shard};
use crate::trial::Record;

/// Version of the format.
const FORMAT: u32 = 1;

/// What a log's trials depend on: logs with different ones cannot be put together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Version of the log's format.
    pub(crate) format: u32,
    /// SHA-256 of the program, whose components are faulted too.
    pub build: String,
    /// Commit of the source, for readers.
    pub commit: String,
    /// The driver modules: name to SHA-256.
    pub modules: BTreeMap<String, String>,
    /// The trials.
    pub plan: Plan,
    /// Which of them this log is for.
    pub shard: Shard,
}

impl Identity {
    /// What trials depend on.
    pub fn new(build: String, commit: String, modules: BTreeMap<String, String>, plan: Plan, shard: Shard) -> Identity {
        Identity { format: FORMAT, build, commit, modules, plan, shard }
    }

    /// In what another one differs first, in words with both sides; the shard aside.
    pub fn difference(&self, other: &Identity) -> Option<String> {
        let words = |what: &str, ours: &str, theirs: &str| {
            let short = |text: &str| text.chars().take(16).collect::<String>();
            (ours != theirs).then(|| format!("{what} {} instead of {}", short(theirs), short(ours)))
        };
        let modules = || {
            let names: BTreeSet<&String> = self.modules.keys().chain(other.modules.keys()).collect();
            names.into_iter().find_map(|name| {
                let [ours, theirs] = [self, other].map(|side| side.modules.get(name).map_or("none", String::as_str));
                words(&format!("module {name}"), ours, theirs)
            })
        };
        let names = |what: &str, of: &dyn Fn(&Plan) -> String| {
            let (ours, theirs) = (of(&self.plan), of(&other.plan));
            (ours != theirs).then(|| format!("{what} {theirs} instead of {ours}"))
        };
        words("format", &self.format.to_string(), &other.format.to_string())
            .or_else(|| words("seed", &self.plan.seed.to_string(), &other.plan.seed.to_string()))
            .or_else(modules)
            .or_else(|| words("build", &self.build, &other.build))
            .or_else(|| names("kernels", &|plan| plan.kernels.join(",")))
            .or_else(|| names("components", &|plan| plan.components().join(",")))
            .or_else(|| (self.plan != other.plan).then(|| "other kinds of fault instead of these".into()))
    }
}

/// Why a log cannot be used.
#[derive(Debug, Error)]
pub enum LogError {
    /// The host refused.
    #[error("{path}: {source}; check the path, or name another file with `--log FILE`")]
    Host {
        /// The file.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{0}: not a log of a fault campaign; name another file with `--log FILE`")]
    Foreign(PathBuf),
    /// It was packed.
    #[error(
        "{0}: packed, and not written to any more; unpack it with `gunzip`, or name another file with `--log FILE`"
    )]
    Packed(PathBuf),
    /// A line is not what was written.
    #[error(
        "{path}: line {line} is damaged; what stands before it is good: \
         `head -n {} {path} > NEW` keeps that, and `--log NEW` goes on from there", line - 1
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The log belongs to another campaign.
    #[error("{path}: the log of another campaign ({difference}); name another file with `--log FILE`")]
    Other {
        /// The file.
        path: PathBuf,
        /// In what it differs.
        difference: String,
    },
    /// Somebody else writes it.
    #[error("{0}: another campaign writes this log; wait for it, or name another file with `--log FILE`")]
    InUse(PathBuf),
}

/// A log that is open for more.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Opens a log, or begins one, and gives the records that it has. Nobody else can open it for writing meanwhile.
    ///
    /// # Errors
    /// See [`LogError`].
    pub fn open(path: &Path, identity: &Identity) -> Result<(Log, Vec<Record>), LogError> {
        let host = |source| LogError::Host { path: path.into(), source };
        path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(host)?;
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(host)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LogError::InUse(path.into())),
            Err(TryLockError::Error(source)) => return Err(host(source)),
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(host)?;
        if is_packed(&text) {
            return Err(LogError::Packed(path.into()));
        }
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let mut log = Log { path: path.into(), file };
        let records = if whole == 0 {
            // A file of somebody else's is not to be cut.
            let begun = line(identity);
            if !begun.as_bytes().starts_with(&text) {
                return Err(LogError::Foreign(path.into()));
            }
            log.cut(0)?;
            log.write(&begun)?;
            Vec::new()
        } else {
            let (theirs, records) = parse(path, &text[..whole])?;
            let shard = || format!("shard {} instead of {}", theirs.shard, identity.shard);
            let difference = identity.difference(&theirs).or_else(|| (theirs.shard != identity.shard).then(shard));
            if let Some(difference) = difference {
                return Err(LogError::Other { path: path.into(), difference });
            }
            log.cut(whole as u64)?;
            records
        };
        Ok((log, records))
    }

    /// Reads a log, packed or not, without changing it.
    ///
    /// # Errors
    /// See [`LogError`].
    pub fn read(path: &Path) -> Result<(Identity, Vec<Record>), LogError> {
        let host = |source| LogError::Host { path: path.into(), source };
        let text = unpacked(std::fs::read(path).map_err(host)?).map_err(host)?;
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        parse(path, &text[..whole])
    }

    /// Adds a record.
    ///
    /// # Errors
    /// The host refused.
    pub fn append(&mut self, record: &Record) -> Result<(), LogError> {
        self.write(&line(record))
    }

    fn cut(&mut self, at: u64) -> Result<(), LogError> {
        let cut = self.file.set_len(at).and_then(|()| self.file.seek(SeekFrom::Start(at)).map(drop));
        cut.map_err(|source| LogError::Host { path: self.path.clone(), source })
    }

    fn write(&mut self, line: &str) -> Result<(), LogError> {
        // In one call: whoever is killed has written all of it or, at worst, its beginning.
        self.file.write_all(line.as_bytes()).map_err(|source| LogError::Host { path: self.path.clone(), source })
    }
}

/// A line of the log.
pub(crate) fn line(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).expect("string keys and finite numbers always serialise");
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))
}

/// What whole lines hold.
fn parse(path: &Path, text: &[u8]) -> Result<(Identity, Vec<Record>), LogError> {
    let mut lines = text.split(|&byte| byte == b'\n').map(checked);
    let identity = lines.next().flatten().and_then(|json| serde_json::from_slice::<Identity>(json).ok());
    let Some(identity) = identity.filter(|identity| identity.format == FORMAT) else {
        return Err(LogError::Foreign(path.into()));
    };
    let (mut records, mut seen) = (Vec::new(), BTreeSet::new());
    let count = text.iter().filter(|&&byte| byte == b'\n').count();
    for (number, json) in (2..=count).zip(lines) {
        let record = json.and_then(|json| serde_json::from_slice::<Record>(json).ok());
        let fits = |record: &Record| identity.plan.is_of(record.trial, identity.shard) && seen.insert(record.trial);
        match record.filter(fits) {
            Some(record) => records.push(record),
            None => return Err(LogError::Damaged { path: path.into(), line: number }),
        }
    }
    Ok((identity, records))
}

/// A line's JSON, if its checksum is right.
fn checked(line: &[u8]) -> Option<&[u8]> {
    let (sum, json) = line.split_at_checked(9)?;
    let sum = std::str::from_utf8(sum).ok()?.strip_suffix(' ')?;
    (u32::from_str_radix(sum, 16).ok()? == crc32fast::hash(json)).then_some(json)
}
