//! Mistakes made on purpose, to see that the checker finds them: one that finds nothing proves nothing.
//!
//! Each is a mistake that a file system or a disk can have, and nothing else about the run differs from a sound one.

use kd_api::Errno;
use kd_api::interfaces::fs::{FileSystem, Kind};
use kd_subsystems::jfs::MountOptions;

use crate::campaign::Subject;
use crate::model::Node;
use crate::recorder::Request;
use crate::workload::{Op, Runner};

/// A mistake of which mount options know nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The disk says that it has flushed, and has not; so too with FUA.
    SwallowFlushes,
    /// A commit block is written together with what it seals and flushed with it, as with ext4's `journal_async_commit`.
    /// With checksums that is safe for names (contents, which it orders no more, are not looked at); without it isn't.
    AsyncCommit,
    /// `rename` is `unlink` and `link`, with a commit of the journal's thread in between.
    SplitRename,
}

/// A mistake that the checker must find: its name, what it is, and what is tried with it.
pub type Mistake = (&'static str, &'static str, fn() -> Subject);

/// All of them.
pub const PLANTS: [Mistake; 4] = [
    ("journal_skips_flush", "the journal neither flushes nor forces what it writes", || {
        subject(None, |options| options.barriers = false)
    }),
    ("commit_without_checksum", "a commit reaches the disk with what it seals, and no checksum tells", || {
        subject(Some(Plant::AsyncCommit), |options| options.journal_checksum = false)
    }),
    ("rename_in_wrong_order", "rename removes the old target first, and the journal commits before the rest", || {
        subject(Some(Plant::SplitRename), |_| ())
    }),
    ("disk_swallows_flush", "the disk says that it has flushed, and has not", || {
        subject(Some(Plant::SwallowFlushes), |_| ())
    }),
];

fn subject(plant: Option<Plant>, change: fn(&mut MountOptions)) -> Subject {
    let mut subject = Subject { plant, ..Subject::default() };
    change(&mut subject.options);
    subject
}

impl Plant {
    /// What it makes of the log of a sound run.
    pub(crate) fn distort(self, log: &mut [Request]) {
        match self {
            Plant::SwallowFlushes => swallow_flushes(log),
            Plant::AsyncCommit => commit_async(log),
            Plant::SplitRename => {}
        }
    }
}

/// Empty writes in place of flushes keep the numbering.
fn swallow_flushes(log: &mut [Request]) {
    log.iter_mut().for_each(|request| match request {
        Request::Flush => *request = Request::Write { sector: 0, data: Vec::new(), fua: false },
        Request::Write { fua, .. } => *fua = false,
    });
}

/// Puts each commit block before the flush that precedes it.
fn commit_async(log: &mut [Request]) {
    for at in 1..log.len() {
        if let Request::Write { data, fua, .. } = &mut log[at]
            && data.starts_with(b"KDJL\x04\0\0\0")
        {
            *fua = false;
            log.swap(at - 1, at);
        }
    }
}

impl Runner {
    /// A rename as nobody should do it.
    pub(crate) fn split_rename(&mut self, op: &Op) -> Result<(), Errno> {
        if let Op::Rename { directory, name, to_directory, to_name, flags: 0 } = op {
            self.take_away(*to_directory, to_name, (*directory, name))?;
        }
        self.step(op)
    }

    /// Removes what a rename would replace, ahead of it.
    fn take_away(&mut self, directory: Node, name: &str, source: (Node, &str)) -> Result<(), Errno> {
        let target = self.model.names_in(directory).get(name).copied();
        let Some(target) = target.filter(|target| Some(target) != self.model.names_in(source.0).get(source.1)) else {
            return Ok(());
        };
        let fs: &dyn FileSystem = self.fs();
        match self.model.kind(target) {
            Kind::Directory => fs.rmdir(self.ino(directory), name)?,
            _ => fs.unlink(self.ino(directory), name)?,
        }
        fs.sync()
    }
}
