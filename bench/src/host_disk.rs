//! The host's disk: a folder whose file system keeps more than memory, for disks that are files of the host.

use std::fs;
use std::path::{Path, PathBuf};

/// File systems that are memory: to sync one costs nothing, and says nothing.
const MEMORY: [&str; 2] = ["tmpfs", "ramfs"];

/// Where disks can be files of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDisk {
    /// The folder.
    pub folder: PathBuf,
    /// Its file system as the host mounted it: `ext4 (rw,relatime)`.
    pub file_system: String,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoHostDisk {
    /// There is nothing but memory.
    #[error("n/a: {} is on {kind}, which is memory; `--out DIR` names another folder", .folder.display())]
    Memory {
        /// The output folder.
        folder: PathBuf,
        /// Its file system.
        kind: String,
    },
    /// The host does not tell.
    #[error("n/a: /proc/self/mountinfo does not tell what file system {} is on", .0.display())]
    Unknown(PathBuf),
}

/// The output folder, or where that is memory the one that this program lies in.
///
/// # Errors
/// [`NoHostDisk`], for want of a file system on a disk.
pub fn find(out: &Path) -> Result<HostDisk, NoHostDisk> {
    let program = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.to_path_buf()));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let refused = match on(&mounts, out) {
        Ok(disk) => return Ok(disk),
        Err(refused) => refused,
    };
    program.and_then(|folder| on(&mounts, &folder).ok()).ok_or(refused)
}

/// This folder, if it is on a disk.
fn on(mounts: &str, folder: &Path) -> Result<HostDisk, NoHostDisk> {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.into());
    match file_system(mounts, &folder) {
        None => Err(NoHostDisk::Unknown(folder)),
        Some((kind, _)) if MEMORY.contains(&kind) => Err(NoHostDisk::Memory { folder, kind: kind.into() }),
        Some((kind, options)) => Ok(HostDisk { folder, file_system: format!("{kind} ({options})") }),
    }
}

/// Kind and options of the file system that a path is on, from `/proc/self/mountinfo` (proc_pid_mountinfo(5)): that of the
/// longest mount point above it, and of several at one place the last.
fn file_system<'a>(mounts: &'a str, path: &Path) -> Option<(&'a str, &'a str)> {
    let mount = |line: &'a str| {
        let (mount, file_system) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?.replace("\\040", " ");
        let mut words = file_system.split(' ');
        let (kind, options) = (words.next()?, words.nth(1)?);
        path.starts_with(&point).then(|| (Path::new(&point).components().count(), kind, options))
    };
    mounts.lines().filter_map(mount).max_by_key(|(length, ..)| *length).map(|(_, kind, options)| (kind, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw,discard
30 22 0:26 / /tmp rw,nosuid shared:9 master:3 - tmpfs tmpfs rw,size=1024k
31 22 0:27 / /my\\040data rw - xfs /dev/b rw,noquota
32 22 0:28 / /tmp/over rw - tmpfs tmpfs rw
33 32 0:29 / /tmp/over rw - btrfs /dev/c rw,subvolid=5
";

    #[test]
    fn a_folder_is_on_what_is_mounted_last_and_closest_above_it() {
        let of = |path: &str| file_system(MOUNTS, Path::new(path));
        assert_eq!(of("/tmpfoo"), Some(("ext4", "rw,discard")));
        assert_eq!(of("/tmp/a"), Some(("tmpfs", "rw,size=1024k")));
        assert_eq!(of("/my data/a/b"), Some(("xfs", "rw,noquota")));
        assert_eq!(of("/tmp/over/a"), Some(("btrfs", "rw,subvolid=5")));
        assert_eq!(file_system("", Path::new("/")), None);
    }

    #[test]
    fn memory_is_no_disk() {
        let folder = PathBuf::from("/tmp/no-such-folder");
        let memory = NoHostDisk::Memory { folder: folder.clone(), kind: "tmpfs".into() };
        assert_eq!(on(MOUNTS, &folder), Err(memory));
        assert_eq!(on(MOUNTS, Path::new("/")).map(|disk| disk.file_system), Ok("ext4 (rw,discard)".into()));
        assert_eq!(on("", Path::new("/")), Err(NoHostDisk::Unknown("/".into())));
    }
}
