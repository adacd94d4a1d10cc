//! One file among many: `stat` of one in random order, where there are 10, 100 and so on, in one directory or in a tree.
//!
//! What grows is what a kernel has to find its way in: the names of a directory, the caches of names and inodes, and on a
//! disk the blocks that both are read from. The tree has [`PER_DIRECTORY`] files in each of its directories, so that there
//! only the caches see how many there are.
//!
//! A session makes the files that it needs; where they are there already, from a disk that was made ready, it uses them
//! and leaves them when it ends.

use kd_api::Errno;
use kd_api::interfaces::fs::Kind;
use kd_api::interfaces::vfs::open;

use crate::calls::{expect_gone, expect_stat, make_directory, with_file};
use crate::place::Place;
use crate::turn::after;
use crate::{Env, Group, Session, Workload, Wrong};

/// Files of a directory of the tree.
const PER_DIRECTORY: u64 = 100;
/// Decimal digits of a name's number.
const DIGITS: usize = 7;
/// Files at most that a session looks at once before it is timed, for caches to hold what they can; more than that they
/// hold no turn of.
const WARM: u64 = 1_000;
/// Files unless a point says otherwise.
const FIRST: u64 = 10;

/// A workload of this family.
pub struct ManyFiles {
    place: Place,
    tree: bool,
    files: u64,
}

impl ManyFiles {
    /// All of them: a directory and a tree, on the root and on the disk.
    pub fn all() -> impl Iterator<Item = ManyFiles> {
        let of = |place| [false, true].map(|tree| ManyFiles { place, tree, files: FIRST });
        [Place::Root, Place::Disk].into_iter().flat_map(of)
    }
}

impl Workload for ManyFiles {
    fn name(&self) -> &'static str {
        match (self.place, self.tree) {
            (Place::Root, false) => "dir_stat",
            (Place::Root, true) => "tree_stat",
            (Place::Disk, false) => "disk_dir_stat",
            (Place::Disk, true) => "disk_tree_stat",
        }
    }

    fn about(&self) -> &'static str {
        if self.tree {
            "One operation is stat of a file in a tree of so many (10, or as many as `/files_N` says), 100 in each directory, \
             in random order: names and inodes that no cache holds have to be found."
        } else {
            "One operation is stat of a file in a directory of so many (10, or as many as `/files_N` says), in random order: \
             shows whether a longer directory takes longer to search."
        }
    }

    fn group(&self) -> Group {
        Group::Scaling
    }

    fn subject(&self) -> &'static str {
        "vfs"
    }

    fn hops(&self) -> u32 {
        self.place.hops()
    }

    fn needs(&self) -> Option<&'static str> {
        self.place.needs()
    }

    fn verifies(&self) -> bool {
        false
    }

    /// `files_N`, where N is a power of ten with at most [`DIGITS`] digits.
    fn at(&self, point: &str) -> Option<Box<dyn Workload>> {
        let files = point.strip_prefix("files_")?.parse::<u64>().ok()?;
        let known = (1..DIGITS as u32).any(|power| files == 10u64.pow(power));
        known.then(|| -> Box<dyn Workload> { Box::new(ManyFiles { files, ..*self }) })
    }

    fn start(&self, env: &Env) -> Result<Box<dyn Session>, Errno> {
        let top = self.place.path(env, &format!("{}_{}", self.name(), self.files));
        let path = String::with_capacity(top.len() + 2 * (2 + DIGITS));
        let tree = self.tree;
        let mut session = FilesSession { env: env.clone(), top, path, tree, files: self.files, made: 0, next: 0 };
        session.make()?;
        session.run(session.files.min(WARM))?;
        Ok(Box::new(session))
    }
}

struct FilesSession {
    env: Env,
    /// The directory that holds all of it.
    top: String,
    /// Where a path is put together.
    path: String,
    tree: bool,
    files: u64,
    /// How many of them this session has to remove.
    made: u64,
    /// The file that comes next.
    next: u64,
}

/// Appends `/`, a letter and a number of [`DIGITS`] digits; allocates nothing where there is room.
fn push(path: &mut String, letter: char, number: u64) {
    path.extend(['/', letter]);
    let digit = |at: usize| char::from(b'0' + (number / 10u64.pow(at as u32) % 10) as u8);
    path.extend((0..DIGITS).rev().map(digit));
}

impl FilesSession {
    /// Puts together the path of the directory that holds a file.
    fn directory(&mut self, file: u64) -> &str {
        self.path.clear();
        self.path.push_str(&self.top);
        if self.tree {
            push(&mut self.path, 'd', file / PER_DIRECTORY);
        }
        &self.path
    }

    /// Puts together the path of a file.
    fn file(&mut self, file: u64) -> &str {
        self.directory(file);
        push(&mut self.path, 'f', file);
        &self.path
    }

    /// Whether a file is the first of its directory in the tree.
    fn is_first(&self, file: u64) -> bool {
        self.tree && file.is_multiple_of(PER_DIRECTORY)
    }

    /// Makes the files, unless the last of them is there; the last is made stable, and with it, on a file system with a
    /// journal, all that were made before.
    fn make(&mut self) -> Result<(), Errno> {
        let env = self.env.clone();
        let last = self.files - 1;
        match env.sys.stat(env.caller, self.file(last)) {
            Err(Errno::ENOENT) => {}
            found => return found.map(drop),
        }
        make_directory(&env, &self.top)?;
        for file in 0..self.files {
            if self.is_first(file) {
                make_directory(&env, self.directory(file))?;
            }
            self.made = file + 1;
            with_file(&env, self.file(file), open::CREAT | open::WRONLY, |fd| match file {
                file if file == last => env.sys.fsync(env.caller, fd),
                _ => Ok(()),
            })?;
        }
        Ok(())
    }

    /// Removes what this session made.
    fn remove(&mut self) {
        let env = self.env.clone();
        // What a kernel in trouble does not remove is left.
        for file in (0..self.made).rev() {
            let _ = env.sys.unlink(env.caller, self.file(file));
            if self.is_first(file) {
                let _ = env.sys.rmdir(env.caller, self.directory(file));
            }
        }
        if self.made > 0 {
            let _ = env.sys.rmdir(env.caller, &self.top);
        }
    }
}

impl Session for FilesSession {
    fn run(&mut self, operations: u64) -> Result<(), Errno> {
        let (sys, caller) = (self.env.sys.clone(), self.env.caller);
        for _ in 0..operations {
            let next = self.next;
            sys.stat(caller, self.file(next))?;
            self.next = after(next, self.files);
        }
        Ok(())
    }

    /// The next file is there, and the one behind the last is not.
    fn check(&mut self) -> Result<(), Wrong> {
        let (env, next) = (self.env.clone(), self.next);
        expect_stat(&env, self.file(next), |stat| (stat.kind, stat.mode, stat.size) == (Kind::File, 0o600, 0))?;
        let beyond = self.files;
        expect_gone(&env, self.file(beyond))
    }
}

impl Drop for FilesSession {
    fn drop(&mut self) {
        self.remove();
    }
}
