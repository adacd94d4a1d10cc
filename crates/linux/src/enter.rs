//! Entering a private tmpfs: namespaces of its own, an empty file system, and that as the root directory.
//!
//! A user namespace lets this work without privileges where the host allows it; where it does not, a process with
//! CAP_SYS_ADMIN does without one. Nothing outside is changed and nothing is left: mounts belong to the namespace and
//! go with its last process. After entering, the host's files (`/proc`, `/tmp`, the program itself) can't be reached by
//! path: whatever is needed of them must be open already. If it fails, the process may be half inside: it should end.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use kd_api::Errno;

use crate::Linux;
use crate::host::{self, UMASK, UNSHARE};

/// Bytes of the file at `/dev/ram0`.
pub const RAM0: usize = 16 << 20;

/// Why a process could not enter a private tmpfs, and what would help.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The process has several threads.
    #[error(
        "a process with several threads can't enter a private tmpfs: do it in a forked one, before any thread is made"
    )]
    Threads,
    /// The host allows neither user namespaces nor, to this user, mount namespaces.
    #[error(
        "the host refuses a private mount namespace ({with_user} with a user namespace, {without_user} without one): \
         allow unprivileged user namespaces (sysctl user.max_user_namespaces, in a container its seccomp profile), or \
         run with CAP_SYS_ADMIN"
    )]
    Namespace {
        /// What it said to a user and a mount namespace.
        with_user: Errno,
        /// What it said to a mount namespace alone.
        without_user: Errno,
    },
    /// A step inside the namespaces failed.
    #[error(
        "inside a private namespace the host refuses to {step}: {source}; if user namespaces are without privileges \
         here (sysctl kernel.apparmor_restrict_unprivileged_userns=1), run with CAP_SYS_ADMIN"
    )]
    Step {
        /// What was tried.
        step: &'static str,
        /// What the host said.
        source: io::Error,
    },
}

fn step<T>(step: &'static str, result: io::Result<T>) -> Result<T, EnterError> {
    result.map_err(|source| EnterError::Step { step, source })
}

/// Moves the calling process, which must have one thread, into an empty tmpfs of its own, with a file of [`RAM0`] zero
/// bytes at `/dev/ram0` and `/dev/vda`, a directory `/mnt`, a umask of 0, and SIGPIPE ignored. Threads and children made
/// afterwards share it.
///
/// # Errors
/// What is missing, by [`EnterError`].
pub fn enter_private_tmpfs() -> Result<Linux, EnterError> {
    enter(None)
}

/// The same, with a folder outside shown at `/mnt`: what is done there is done on the file system that the folder is on.
///
/// # Errors
/// As [`enter_private_tmpfs`]'s.
pub fn enter_with_folder(folder: &Path) -> Result<Linux, EnterError> {
    enter(Some(folder))
}

fn enter(folder: Option<&Path>) -> Result<Linux, EnterError> {
    unshare()?;
    // Nothing mounted from here on may show in the namespace we came from.
    step("make its mounts private", host::mount(c"none", c"/", None, libc::MS_REC | libc::MS_PRIVATE, None))?;
    // Any directory would do as a mount point; this one is known to exist.
    let flags = libc::MS_NOSUID | libc::MS_NODEV;
    step("mount a tmpfs", host::mount(c"tmpfs", c"/proc", Some(c"tmpfs"), flags, Some(c"size=128m,mode=0755")))?;
    step("make /mnt", fs::create_dir("/proc/mnt"))?;
    if let Some(folder) = folder {
        let bound = CString::new(folder.as_os_str().as_bytes()).map_err(io::Error::from);
        let bound = bound.and_then(|folder| host::mount(&folder, c"/proc/mnt", None, libc::MS_BIND, None));
        step("show a folder at /mnt", bound)?;
    }
    step("change the root directory", std::os::unix::fs::chroot("/proc"))?;
    step("change the present directory", std::env::set_current_dir("/"))?;
    let umask = host::plain(UMASK, [0]);
    debug_assert!(umask.is_ok(), "umask can't fail");
    host::ignore_sigpipe();
    // Written, not only sized: a hole would be filled by the first access, and that would be measured.
    step("make /dev", fs::create_dir("/dev"))?;
    step("fill /dev/ram0", File::create("/dev/ram0").and_then(|mut file| file.write_all(&vec![0; RAM0])))?;
    step("fill /dev/vda", File::create("/dev/vda").and_then(|mut file| file.write_all(&vec![0; RAM0])))?;
    Ok(Linux(()))
}

/// New namespaces for the process: of users and mounts, or of mounts alone where it is allowed that.
fn unshare() -> Result<(), EnterError> {
    let threads = step("count its threads in /proc", fs::read_dir("/proc/self/task"))?.count();
    if threads != 1 {
        return Err(EnterError::Threads);
    }
    let ids = |file| -> io::Result<u32> {
        let status = fs::read_to_string("/proc/self/status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(file)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|id| id.parse().ok()).ok_or(io::ErrorKind::InvalidData.into())
    };
    let (user, group) = step("read its ids in /proc", ids("Uid:").and_then(|user| Ok((user, ids("Gid:")?))))?;
    let new = |flags: i32| host::plain(UNSHARE, [flags.into()]);
    let Err(with_user) = new(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) else {
        // A file system takes no files from users it has no number for.
        step("map its group", fs::write("/proc/self/setgroups", "deny"))?;
        step("map its group", fs::write("/proc/self/gid_map", format!("0 {group} 1")))?;
        step("map its user", fs::write("/proc/self/uid_map", format!("0 {user} 1")))?;
        return Ok(());
    };
    new(libc::CLONE_NEWNS).map(drop).map_err(|without_user| EnterError::Namespace { with_user, without_user })
}
