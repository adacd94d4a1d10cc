//! A source tree: unpacked, searched, deleted.
//!
//! The tree has 2,000 files in 250 directories, sized as C sources are (a median of 4 KiB, some of 30). One operation goes
//! on by one directory in three places at once: it unpacks the next one, reads one through that came two before it, as
//! `grep -r` does, and deletes the one that came four before. So a fixed part of the tree is there at any time, each
//! operation costs the same, and each kernel works through all of the tree in the same order, again and again.

use kd_api::interfaces::vfs::open;
use kd_api::{Errno, OutBuf};

use crate::calls::{make_directory, read_to_end, with_file, write};
use crate::compute::Compute;
use crate::pattern::mix;
use crate::place::Place;
use crate::{Env, Group, Session, Workload, Wrong};

/// Directories of the tree.
const DIRECTORIES: u64 = 250;
/// Bytes of the files of each directory.
const SIZES: [usize; 8] = [350, 900, 1_900, 3_400, 4_800, 8_200, 14_000, 30_000];
/// Directories that are there at any time.
const THERE: u64 = 4;
/// A program's buffer: the largest file and the end of it in one read.
const BUFFER: usize = 32 << 10;
/// Bytes of invented source that files are cut from.
const SOURCE: usize = 64 << 10;
/// The word that is searched for.
const NEEDLE: &[u8] = b"spin_lock";
/// What invented source is made of.
const WORDS: [&str; 12] =
    ["static", "int", "return", "inode", "spin_lock", "struct", "if (", ") {", "}", "->next", "= 0;", "unlikely"];

/// Unpack, grep and delete at one place.
pub struct SourceTree(pub Place);

impl Workload for SourceTree {
    fn name(&self) -> &'static str {
        if self.0 == Place::Disk { "disk_source_tree" } else { "source_tree" }
    }

    fn about(&self) -> &'static str {
        "One operation unpacks a directory of 8 source files (63 KiB), reads another one through as grep does, and \
         deletes a third: 66 calls. The tree has 2,000 files in all."
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
        let directory = |number| {
            let path = format!("{root}/d{number:03}");
            let files = (0..SIZES.len()).map(|file| format!("{path}/f{file}.c")).collect();
            Directory { path, files }
        };
        let mut session = TreeSession {
            env: env.clone(),
            compute: Compute::new(env),
            source: source(),
            buffer: vec![0; BUFFER],
            directories: (0..DIRECTORIES).map(directory).collect(),
            root,
            next: THERE,
            whole: false,
        };
        session.fill()?;
        Ok(Box::new(session))
    }
}

/// Lines of C, invented.
fn source() -> Vec<u8> {
    let mut text = Vec::with_capacity(SOURCE + 64);
    for number in 0.. {
        if text.len() >= SOURCE {
            break;
        }
        let draw = mix(number);
        text.extend_from_slice(WORDS[(draw % WORDS.len() as u64) as usize].as_bytes());
        text.push(if draw >> 32 & 7 == 0 { b'\n' } else { b' ' });
    }
    text.truncate(SOURCE);
    text
}

struct Directory {
    path: String,
    files: Vec<String>,
}

struct TreeSession {
    env: Env,
    compute: Compute,
    source: Vec<u8>,
    buffer: Vec<u8>,
    directories: Vec<Directory>,
    root: String,
    /// The directory to unpack next, counted on through all rounds of the tree.
    next: u64,
    /// Whether the directories before it are as they should be.
    whole: bool,
}

impl TreeSession {
    fn directory(&self, number: u64) -> &Directory {
        &self.directories[(number % DIRECTORIES) as usize]
    }

    /// What a file holds: a part of the invented source.
    fn content(&self, directory: u64, file: usize) -> &[u8] {
        let room = (SOURCE - SIZES[file]) as u64;
        let at = (mix(directory % DIRECTORIES * SIZES.len() as u64 + file as u64) % room) as usize;
        &self.source[at..at + SIZES[file]]
    }

    fn unpack(&self, number: u64) -> Result<(), Errno> {
        let (env, directory) = (&self.env, self.directory(number));
        make_directory(env, &directory.path)?;
        for (file, path) in directory.files.iter().enumerate() {
            let flags = open::CREAT | open::TRUNC | open::WRONLY;
            with_file(env, path, flags, |fd| write(env, fd, self.content(number, file)))?;
        }
        Ok(())
    }

    /// Reads every file of a directory to its end, and hands each to `look`.
    fn read(&mut self, number: u64, mut look: impl FnMut(&mut Compute, usize, &[u8])) -> Result<(), Errno> {
        let directory = &self.directories[(number % DIRECTORIES) as usize];
        for (file, path) in directory.files.iter().enumerate() {
            let (env, buffer) = (&self.env, &mut self.buffer);
            with_file(env, path, open::RDONLY, |fd| read_to_end(env, fd, buffer, SIZES[file]))?;
            look(&mut self.compute, file, &self.buffer[..SIZES[file]]);
        }
        Ok(())
    }

    fn delete(&self, number: u64) -> Result<(), Errno> {
        let (env, directory) = (&self.env, self.directory(number));
        directory.files.iter().try_for_each(|path| env.sys.unlink(env.caller, path))?;
        env.sys.rmdir(env.caller, &directory.path)
    }

    /// Removes whatever is left of the directories around the present one.
    fn clear(&self) {
        for number in self.next - THERE..=self.next {
            let directory = self.directory(number);
            for path in &directory.files {
                let _ = self.env.sys.unlink(self.env.caller, path);
            }
            let _ = self.env.sys.rmdir(self.env.caller, &directory.path);
        }
    }

    /// Unpacks the directories that come before the present one.
    fn fill(&mut self) -> Result<(), Errno> {
        self.clear();
        (self.next - THERE..self.next).try_for_each(|number| self.unpack(number))?;
        self.whole = true;
        Ok(())
    }

    fn step(&mut self) -> Result<(), Errno> {
        if !self.whole {
            self.fill()?;
        }
        self.whole = false;
        self.unpack(self.next)?;
        let last = SIZES.len() - 1;
        self.read(self.next - THERE / 2, |compute, file, bytes| {
            if file == last {
                compute.on(bytes);
            }
        })?;
        self.delete(self.next - THERE)?;
        self.next += 1;
        self.whole = true;
        Ok(())
    }
}

fn matches(text: &[u8]) -> usize {
    text.windows(NEEDLE.len()).filter(|window| *window == NEEDLE).count()
}

impl Session for TreeSession {
    fn run(&mut self, operations: u64) -> Result<(), Errno> {
        (0..operations).try_for_each(|_| self.step())
    }

    /// One operation; then everything that is there is read and compared, the word is found as often as it was written,
    /// and the directory that was deleted is gone.
    fn check(&mut self) -> Result<(), Wrong> {
        self.step()?;
        for number in self.next - THERE..self.next {
            let mut found: [Vec<u8>; SIZES.len()] = Default::default();
            self.read(number, |_, file, bytes| found[file] = bytes.to_vec())?;
            for (file, bytes) in found.iter().enumerate() {
                let expected = self.content(number, file);
                if bytes != expected {
                    let (seen, there) = (matches(bytes), matches(expected));
                    let path = &self.directory(number).files[file];
                    return Err(Wrong::Answer(format!("{path} has other text, with {seen} matches for {there}")));
                }
            }
        }
        let gone = self.directory(self.next - THERE - 1);
        crate::calls::expect_gone(&self.env, &gone.path)?;
        self.expect_listed()
    }
}

impl TreeSession {
    /// The root directory lists what is there: `.`, `..`, and the directories that should be.
    fn expect_listed(&mut self) -> Result<(), Wrong> {
        let (env, buffer) = (&self.env, &mut self.buffer);
        let bytes = with_file(env, &self.root, open::RDONLY | open::DIRECTORY, |fd| {
            env.sys.getdents64(env.caller, fd, &mut OutBuf::new(buffer))
        })?;
        let names = self.buffer.get(..bytes).and_then(crate::getdents::names);
        let mut names = names.ok_or_else(|| Wrong::Answer("no sequence of linux_dirent64".into()))?;
        names.sort_unstable();
        let there = |number| format!("d{:03}", number % DIRECTORIES);
        let mut expected: Vec<String> = (self.next - THERE..self.next).map(there).collect();
        expected.extend([".", ".."].map(String::from));
        expected.sort_unstable();
        if names.iter().copied().eq(expected.iter().map(String::as_bytes)) {
            return Ok(());
        }
        Err(Wrong::Answer(format!("{} entries for {expected:?}", names.len())))
    }
}

impl Drop for TreeSession {
    fn drop(&mut self) {
        self.clear();
        // What a kernel in trouble does not remove is left.
        let _ = self.env.sys.rmdir(self.env.caller, &self.root);
    }
}
