//! The host's own kernel as the third one measured: [`Syscalls`](kd_api::interfaces::syscalls::Syscalls) by raw
//! system calls.
//!
//! A process that has [entered](enter_private_tmpfs) has an empty tmpfs of its own as its root directory, so a path of
//! the API is a path of the process and each operation is exactly one system call of the host: nothing is looked up,
//! prefixed or translated in between, only a path is copied to add the terminating zero that Rust's strings lack.
//! The tmpfs is mounted in a namespace of the process and vanishes with the last process in it.
//!
//! What differs from the other two kernels, on purpose (apps' calls: `bench/DIFFERENCES.md`): `/dev/ram0` is an ordinary file
//! of [`RAM0`] bytes on the same tmpfs, not a block device, as is `/dev/vda`, and there is no `/dev/nullb0`; `/mnt` is a
//! directory of that tmpfs too, unless a [folder](HostFolder) of another file system is [shown there](enter_with_folder);
//! `null` is `getppid`, the cheapest call that still enters
//! the host's kernel; the caller is the process itself whatever [`Caller`](kd_api::Caller) says, and for its user and group
//! the thread; descriptors are those of the whole process, so whoever passes numbers that the API did not hand out can
//! close the harness's own; and `sync` opens the root directory and closes it again, since `syncfs` wants a descriptor.
//!
//! A user namespace that was made without privileges knows one user, so `set_user` is `EPERM` there for all others, and
//! `chown` `EINVAL`.

mod enter;
mod folder;
mod host;
mod syscalls;

pub use enter::{EnterError, RAM0, enter_private_tmpfs, enter_with_folder};
pub use folder::HostFolder;
pub use syscalls::Linux;

/// An empty system call of the host (`getppid`): one real mode switch, what the entry `trap` costs.
#[inline]
pub fn empty_system_call() {
    let answered = host::plain(host::GETPPID, []);
    debug_assert!(answered.is_ok(), "getppid can't fail");
}
