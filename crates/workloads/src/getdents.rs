//! Reading a directory of 100 files.
//!
//! One operation is two calls: an `lseek` back to the start, then one `getdents64` with room for all.

use kd_api::interfaces::vfs::{open, seek};
use kd_api::{Errno, Fd, OutBuf};

use crate::calls::make_directory;
use crate::place::Place;
use crate::{Env, Group, Session, Workload, Wrong};

/// Files in the directory.
const FILES: usize = 100;
/// Room for all of its entries: each takes 24 bytes.
const ROOM: usize = 4096;
/// Bytes of a `linux_dirent64` before its name.
const NAME_AT: usize = 19;

/// `getdents64` of 100 entries.
pub struct Getdents;

impl Workload for Getdents {
    fn name(&self) -> &'static str {
        "getdents_100"
    }

    fn about(&self) -> &'static str {
        "One operation reads a directory of 100 files: lseek back to its start and one getdents64, two calls. It shows \
         a call that does real work in the file system and returns structured data."
    }

    fn group(&self) -> Group {
        Group::File
    }

    fn subject(&self) -> &'static str {
        "ramfs"
    }

    fn hops(&self) -> u32 {
        2
    }

    fn verifies(&self) -> bool {
        false
    }

    fn start(&self, env: &Env) -> Result<Box<dyn Session>, Errno> {
        let path = Place::Root.path(env, self.name());
        make_directory(env, &path)?;
        let fd = env.sys.open(env.caller, &path, open::RDONLY | open::DIRECTORY, 0)?;
        let session = GetdentsSession { env: env.clone(), path, fd, buffer: vec![0; ROOM] };
        for index in 0..FILES {
            let file = env.sys.open(env.caller, &session.file(index), open::CREAT | open::WRONLY, 0o600)?;
            env.sys.close(env.caller, file)?;
        }
        Ok(Box::new(session))
    }
}

struct GetdentsSession {
    env: Env,
    path: String,
    fd: Fd,
    buffer: Vec<u8>,
}

impl GetdentsSession {
    fn file(&self, index: usize) -> String {
        format!("{}/{}", self.path, name(index))
    }

    fn read(&mut self) -> Result<usize, Errno> {
        self.env.sys.lseek(self.env.caller, self.fd, 0, seek::SET)?;
        self.env.sys.getdents64(self.env.caller, self.fd, &mut OutBuf::new(&mut self.buffer))
    }
}

impl Session for GetdentsSession {
    fn run(&mut self, operations: u64) -> Result<(), Errno> {
        for _ in 0..operations {
            if self.read()? == 0 {
                return Err(Errno::EIO);
            }
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), Wrong> {
        let count = self.read()?;
        let mut found = self
            .buffer
            .get(..count)
            .and_then(names)
            .ok_or_else(|| Wrong::Answer(format!("{count} bytes that are no sequence of linux_dirent64")))?;
        found.sort_unstable();
        let mut expected: Vec<String> = [".", ".."].map(String::from).into_iter().chain((0..FILES).map(name)).collect();
        expected.sort_unstable();
        if found.iter().copied().eq(expected.iter().map(String::as_bytes)) {
            return Ok(());
        }
        let text: Vec<_> = found.iter().map(|name| String::from_utf8_lossy(name)).collect();
        Err(Wrong::Answer(format!("{} entries for {}: {text:?}", found.len(), expected.len())))
    }
}

impl Drop for GetdentsSession {
    fn drop(&mut self) {
        // What a kernel in trouble does not remove is left.
        for index in 0..FILES {
            let _ = self.env.sys.unlink(self.env.caller, &self.file(index));
        }
        let _ = self.env.sys.close(self.env.caller, self.fd);
        let _ = self.env.sys.rmdir(self.env.caller, &self.path);
    }
}

fn name(index: usize) -> String {
    format!("f{index:02}")
}

/// The names in a sequence of `linux_dirent64`, if it is one.
pub fn names(mut entries: &[u8]) -> Option<Vec<&[u8]>> {
    let mut names = Vec::new();
    while !entries.is_empty() {
        let length = u16::from_le_bytes(entries.get(16..18)?.try_into().ok()?);
        let (entry, rest) = entries.split_at_checked(length.into())?;
        let name = entry.get(NAME_AT..)?;
        names.push(&name[..name.iter().position(|byte| *byte == 0)?]);
        entries = rest;
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn entries_are_taken_apart_and_nonsense_is_refused() {
        let mut entries = [0; 48];
        for (at, name) in [(0, b"a"), (24, b"b")] {
            entries[at + 16] = 24;
            entries[at + 19] = name[0];
        }
        assert_eq!(names(&entries), Some(vec![&b"a"[..], b"b"]));
        assert_eq!(names(&[]), Some(vec![]));
        for length in [0, 19, 25, 255] {
            entries[40] = length;
            assert_eq!(names(&entries), None, "an entry of {length} bytes where 24 are left");
        }
        entries[40] = 24;
        entries[43..].fill(b'b');
        assert_eq!(names(&entries), None, "a name without an end");
    }
}
