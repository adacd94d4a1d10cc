//! A folder on a file system of the host, for an app that is to work there and not in memory.
//!
//! A file can do without a name, a folder can't. So it is removed when its owner drops it, and its owner holds a lock on it
//! (`flock`), which the host releases with the last process that has it: what an owner that was killed left behind is
//! recognised by having no lock, and goes when the next one is made beside it.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::host::{self, FLOCK};

/// What the names of all such folders begin with.
const PREFIX: &str = ".kd-mnt-";

/// An empty folder of its own; removed with all that is in it when dropped.
#[derive(Debug)]
pub struct HostFolder {
    path: PathBuf,
    /// Held for its lock.
    _lock: File,
}

impl HostFolder {
    /// Makes one in `parent`, after removing those there that nobody owns any more.
    ///
    /// # Errors
    /// What the host says of a parent that is not there, cannot be written or knows no locks.
    pub fn new(parent: &Path) -> io::Result<HostFolder> {
        let parent = parent.canonicalize()?;
        remove_orphans(&parent)?;
        loop {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
            let path = parent.join(format!("{PREFIX}{}-{now}", std::process::id()));
            fs::create_dir(&path)?;
            // Until it is locked it looks like an orphan, and another one may be faster: then once more.
            let Ok(lock) = File::open(&path) else { continue };
            match lock_alone(&lock) {
                Ok(true) if is_still(&lock, &path) => return Ok(HostFolder { path, _lock: lock }),
                Ok(_) => {}
                Err(error) => {
                    fs::remove_dir(&path)?;
                    return Err(error);
                }
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for HostFolder {
    fn drop(&mut self) {
        // What cannot be removed now goes with the next one.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the folders in `parent` that were left behind.
fn remove_orphans(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)?.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        if let Ok(folder) = File::open(entry.path())
            && lock_alone(&folder).unwrap_or(false)
        {
            // Somebody else's, which this user may not remove, is in nobody's way.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

/// Takes the lock, unless somebody has it.
fn lock_alone(folder: &File) -> io::Result<bool> {
    match host::plain(FLOCK, [folder.as_raw_fd().into(), (libc::LOCK_EX | libc::LOCK_NB).into()]) {
        Ok(_) => Ok(true),
        Err(kd_api::Errno::EAGAIN) => Ok(false),
        Err(errno) => Err(io::Error::from_raw_os_error(errno as i32)),
    }
}

/// Whether the name still leads to this folder.
fn is_still(folder: &File, path: &Path) -> bool {
    let number = |data: io::Result<fs::Metadata>| data.map(|data| (data.dev(), data.ino())).ok();
    number(fs::metadata(path)).is_some_and(|now| number(folder.metadata()) == Some(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_its_owner_and_an_orphan_with_the_next_one() {
        let parent = std::env::temp_dir().join(format!("kd-folder-{}", std::process::id()));
        fs::create_dir_all(&parent).expect("a temporary folder can be made");
        let names = || fs::read_dir(&parent).expect("it is there").count();
        let orphan = parent.join(format!("{PREFIX}1-1"));
        fs::create_dir_all(orphan.join("d")).expect("ours");
        fs::write(orphan.join("d/f"), "left").expect("ours");
        fs::write(parent.join("mine"), "kept").expect("ours");
        let first = HostFolder::new(&parent).expect("it can be written");
        assert!(!orphan.exists() && names() == 2, "the orphan went");
        fs::write(first.path().join("f"), "data").expect("it is a folder");
        let second = HostFolder::new(&parent).expect("it can be written");
        assert!(first.path().join("f").exists(), "one that has an owner stays");
        drop(first);
        assert_eq!(names(), 2);
        drop(second);
        assert_eq!(fs::read_to_string(parent.join("mine")).expect("kept"), "kept");
        assert_eq!(names(), 1);
        fs::remove_dir_all(&parent).expect("ours");
        assert_eq!(HostFolder::new(&parent).expect_err("gone").kind(), io::ErrorKind::NotFound);
    }
}
