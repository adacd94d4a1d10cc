//! Operations on files, after lmbench's `lat_fs` (McVoy and Staelin, USENIX 1996): create, delete, and three more that
//! programs rely on: a directory made and removed, a rename, an append that is made stable.
//!
//! lmbench makes 1000 empty files and then removes them; here a batch is so many at most, and what a batch needs or
//! leaves is made and removed between batches, outside the timed part.

use kd_api::interfaces::fs::Kind;
use kd_api::interfaces::vfs::open;
use kd_api::{Errno, Fd};

use crate::calls::{expect_gone, expect_stat, make_directory, read_to_end, with_file, write};
use crate::place::Place;
use crate::record_log::RecordLog;
use crate::{Audit, Env, Group, Session, Verdict, Workload, Wrong};

/// Files that a batch makes or removes at most: as many as lmbench's.
const FILES: u64 = 1000;
/// Bytes of an append.
const APPEND: usize = 4096;
/// Appends of a batch at most: the file then has 1 MiB.
const APPENDS: u64 = 256;
/// What the renamed file holds.
const CONTENT: &[u8] = b"content";

#[derive(Clone, Copy, PartialEq)]
enum What {
    Create,
    Delete,
    Mkdir,
    Rename,
    Append,
}

/// A workload of this family.
pub struct FileOperation {
    name: &'static str,
    place: Place,
    what: What,
}

impl FileOperation {
    /// All of them at one place: `create`, `disk_create` and so on.
    pub fn all(place: Place) -> [FileOperation; 5] {
        let names = match place {
            Place::Root => ["create", "delete", "mkdir_rmdir", "rename", "append_fsync"],
            Place::Disk => ["disk_create", "disk_delete", "disk_mkdir_rmdir", "disk_rename", "disk_append_fsync"],
        };
        let kinds = [What::Create, What::Delete, What::Mkdir, What::Rename, What::Append];
        std::array::from_fn(|index| FileOperation { name: names[index], place, what: kinds[index] })
    }
}

impl Workload for FileOperation {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        match self.what {
            What::Create => {
                "One operation makes an empty file in a directory of up to 1000 and closes it: two calls, with a new \
                 inode and a new name."
            }
            What::Delete => {
                "One operation removes an empty file from a directory of up to 1000: one unlink, which frees name and \
                 inode."
            }
            What::Mkdir => "One operation makes a directory and removes it again: mkdir and rmdir, two calls.",
            What::Rename => "One operation renames a file within its directory, to and fro: one call.",
            What::Append => {
                "One operation appends 4 KiB to a file and waits until they are stable: write and fsync, two calls."
            }
        }
    }

    fn group(&self) -> Group {
        self.place.group()
    }

    fn needs(&self) -> Option<&'static str> {
        self.place.needs()
    }

    fn subject(&self) -> &'static str {
        self.place.subject()
    }

    fn hops(&self) -> u32 {
        self.place.hops()
    }

    fn verifies(&self) -> bool {
        self.what == What::Append
    }

    fn start(&self, env: &Env) -> Result<Box<dyn Session>, Errno> {
        let directory = self.place.path(env, self.name);
        make_directory(env, &directory)?;
        let base = Directory { env: env.clone(), path: directory };
        Ok(match self.what {
            What::Create => Box::new(Create(Files::new(base))),
            What::Delete => Box::new(Delete(Files::new(base))),
            What::Mkdir => Box::new(Mkdir { path: base.entry("d"), base }),
            What::Rename => {
                let paths = ["a", "b"].map(|name| base.entry(name));
                with_file(env, &paths[0], open::CREAT | open::TRUNC | open::WRONLY, |fd| write(env, fd, CONTENT))?;
                Box::new(Rename { paths, now: 0, base })
            }
            What::Append => {
                let path = base.entry("log");
                let flags = open::CREAT | open::APPEND | open::WRONLY;
                let fd = env.sys.open(env.caller, &path, flags, 0o600)?;
                let records = RecordLog::new(env, &base.path);
                Box::new(Append { fd, path, data: vec![b'a'; APPEND], records, base })
            }
        })
    }
}

/// The directory that a session works in; removed when dropped, after what is in it.
struct Directory {
    env: Env,
    path: String,
}

impl Directory {
    fn entry(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What a kernel in trouble does not remove is left; so are the others' calls below.
        let _ = self.env.sys.rmdir(self.env.caller, &self.path);
    }
}

/// Empty files, the first `made` of whose names are taken.
struct Files {
    names: Vec<String>,
    made: usize,
    base: Directory,
}

impl Files {
    fn new(base: Directory) -> Files {
        Files { names: (0..FILES).map(|number| base.entry(&format!("f{number:03}"))).collect(), made: 0, base }
    }

    fn make(&mut self) -> Result<(), Errno> {
        let (env, name) = (&self.base.env, self.names.get(self.made).ok_or(Errno::EINVAL)?);
        let fd = env.sys.open(env.caller, name, open::CREAT | open::EXCL | open::WRONLY, 0o600)?;
        self.made += 1;
        env.sys.close(env.caller, fd)
    }

    fn remove(&mut self) -> Result<(), Errno> {
        let (env, last) = (&self.base.env, self.made.checked_sub(1).ok_or(Errno::EINVAL)?);
        env.sys.unlink(env.caller, &self.names[last])?;
        self.made = last;
        Ok(())
    }

    fn remove_all(&mut self) -> Result<(), Errno> {
        while self.made > 0 {
            self.remove()?;
        }
        Ok(())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for name in &self.names[..self.made] {
            let _ = self.base.env.sys.unlink(self.base.env.caller, name);
        }
    }
}

struct Create(Files);

impl Session for Create {
    fn batch(&self) -> Option<u64> {
        Some(FILES)
    }

    fn prepare(&mut self, _: u64) -> Result<(), Errno> {
        self.0.remove_all()
    }

    fn run(&mut self, operations: u64) -> Result<(), Errno> {
        (0..operations).try_for_each(|_| self.0.make())
    }

    fn check(&mut self) -> Result<(), Wrong> {
        self.prepare(1)?;
        expect_gone(&self.0.base.env, &self.0.names[0])?;
        self.run(1)?;
        expect_stat(&self.0.base.env, &self.0.names[0], |stat| {
            (stat.kind, stat.mode, stat.links, stat.size) == (Kind::File, 0o600, 1, 0)
        })
    }
}

struct Delete(Files);

impl Session for Delete {
    fn batch(&self) -> Option<u64> {
        Some(FILES)
    }

    fn prepare(&mut self, operations: u64) -> Result<(), Errno> {
        while (self.0.made as u64) < operations.min(FILES) {
            self.0.make()?;
        }
        Ok(())
    }

    fn run(&mut self, operations: u64) -> Result<(), Errno> {
        (0..operations).try_for_each(|_| self.0.remove())
    }

    fn check(&mut self) -> Result<(), Wrong> {
        self.prepare(1)?;
        let last = self.0.made - 1;
        expect_stat(&self.0.base.env, &self.0.names[last], |stat| (stat.links, stat.size) == (1, 0))?;
        self.run(1)?;
        expect_gone(&self.0.base.env, &self.0.names[last])
    }
}

struct Mkdir {
    path: String,
    base: Directory,
}

impl Mkdir {
    fn sys(&self, call: impl FnOnce(&Env, &str) -> Result<(), Errno>) -> Result<(), Errno> {
        call(&self.base.env, &self.path)
    }
}

impl Session for Mkdir {
    fn run(&mut self, operations: u64) -> Result<(), Errno> {
        for _ in 0..operations {
            self.sys(|env, path| env.sys.mkdir(env.caller, path, 0o700))?;
            self.sys(|env, path| env.sys.rmdir(env.caller, path))?;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), Wrong> {
        self.sys(|env, path| env.sys.mkdir(env.caller, path, 0o700))?;
        expect_stat(&self.base.env, &self.path, |stat| {
            (stat.kind, stat.mode, stat.links) == (Kind::Directory, 0o700, 2)
        })?;
        self.sys(|env, path| env.sys.rmdir(env.caller, path))?;
        expect_gone(&self.base.env, &self.path)
    }
}

impl Drop for Mkdir {
    fn drop(&mut self) {
        let _ = self.sys(|env, path| env.sys.rmdir(env.caller, path));
    }
}

struct Rename {
    paths: [String; 2],
    now: usize,
    base: Directory,
}

impl Session for Rename {
    fn run(&mut self, operations: u64) -> Result<(), Errno> {
        let env = &self.base.env;
        for _ in 0..operations {
            env.sys.rename(env.caller, &self.paths[self.now], &self.paths[1 - self.now], 0)?;
            self.now = 1 - self.now;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), Wrong> {
        self.run(1)?;
        let (env, mut bytes) = (&self.base.env, [0; CONTENT.len() + 1]);
        expect_gone(env, &self.paths[1 - self.now])?;
        with_file(env, &self.paths[self.now], open::RDONLY, |fd| read_to_end(env, fd, &mut bytes, CONTENT.len()))?;
        if bytes.starts_with(CONTENT) {
            return Ok(());
        }
        Err(Wrong::Answer(format!("the renamed file reads {bytes:?}")))
    }
}

impl Drop for Rename {
    fn drop(&mut self) {
        for path in &self.paths {
            let _ = self.base.env.sys.unlink(self.base.env.caller, path);
        }
    }
}

struct Append {
    fd: Fd,
    path: String,
    data: Vec<u8>,
    /// What rounds of load append to.
    records: RecordLog,
    base: Directory,
}

impl Session for Append {
    fn batch(&self) -> Option<u64> {
        Some(APPENDS)
    }

    /// Cuts the file to nothing.
    fn prepare(&mut self, _: u64) -> Result<(), Errno> {
        with_file(&self.base.env, &self.path, open::TRUNC | open::WRONLY, |_| Ok(()))
    }

    fn run(&mut self, operations: u64) -> Result<(), Errno> {
        let env = &self.base.env;
        for _ in 0..operations {
            write(env, self.fd, &self.data)?;
            env.sys.fsync(env.caller, self.fd)?;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), Wrong> {
        self.prepare(2)?;
        self.run(1)?;
        self.data.fill(b'b');
        let appended = self.run(1);
        self.data.fill(b'a');
        appended?;
        let (env, mut bytes) = (&self.base.env, vec![0; 2 * APPEND + 1]);
        with_file(env, &self.path, open::RDONLY, |fd| read_to_end(env, fd, &mut bytes, 2 * APPEND))?;
        let (first, second) = bytes[..2 * APPEND].split_at(APPEND);
        if first.iter().all(|byte| *byte == b'a') && second.iter().all(|byte| *byte == b'b') {
            return Ok(());
        }
        Err(Wrong::Answer("the appended blocks are not those that were written".into()))
    }

    fn verify(&mut self, _: u64) -> Verdict {
        self.records.round()
    }

    fn audit(&mut self) -> Audit {
        self.records.audit()
    }
}

impl Drop for Append {
    fn drop(&mut self) {
        let env = &self.base.env;
        let _ = env.sys.close(env.caller, self.fd);
        let _ = env.sys.unlink(env.caller, &self.path);
        self.records.end();
    }
}
