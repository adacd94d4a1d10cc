//! A confined process does what a kernel does, and nothing that reaches further than itself. Without libtest, because only
//! a process with one thread may fork.

use std::io;

use kd_machine::memory::Memory;
use kd_nucleus::confine::confine;
use kd_nucleus::process::{self, Exit};

const SIGSYS: i32 = libc::SIGSYS;

/// How a process ends that confines itself and then does this.
fn end(body: impl FnOnce() -> io::Result<()>) -> Exit {
    let run = || match confine().and_then(|()| body()) {
        Ok(()) => 0,
        Err(_) => 1,
    };
    process::fork(run).expect("a process").wait()
}

/// A system call by its number, the arguments as far as they matter.
fn call(number: i64, arguments: [usize; 3]) -> io::Result<()> {
    let [first, second, third] = arguments;
    // SAFETY: in a process made for this, which the call ends or which ends right after it.
    match unsafe { libc::syscall(number, first, second, third) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn main() {
    let parent = std::process::id() as usize;
    let path = c"/nowhere/at/all".as_ptr() as usize;
    let forbidden: [(&str, i64, [usize; 3]); 19] = [
        ("a signal to another process", libc::SYS_kill, [parent, 0, 0]),
        ("a signal to every process", libc::SYS_kill, [usize::MAX, 0, 0]),
        ("a signal to another's thread", libc::SYS_tgkill, [parent, parent, 0]),
        ("a signal to a thread by its number alone", libc::SYS_tkill, [parent, 0, 0]),
        ("a file to be written", libc::SYS_openat, [libc::AT_FDCWD as usize, path, libc::O_WRONLY as usize]),
        ("a file made", libc::SYS_openat, [libc::AT_FDCWD as usize, path, libc::O_CREAT as usize]),
        ("a file cut", libc::SYS_openat, [libc::AT_FDCWD as usize, path, libc::O_TRUNC as usize]),
        ("a name removed", libc::SYS_unlinkat, [libc::AT_FDCWD as usize, path, 0]),
        ("a name moved", libc::SYS_renameat2, [libc::AT_FDCWD as usize, path, 0]),
        ("a directory", libc::SYS_mkdirat, [libc::AT_FDCWD as usize, path, 0]),
        ("rights changed", libc::SYS_fchmodat, [libc::AT_FDCWD as usize, path, 0]),
        ("a socket", libc::SYS_socket, [libc::AF_INET as usize, libc::SOCK_STREAM as usize, 0]),
        ("a program", libc::SYS_execve, [path, 0, 0]),
        ("a process", libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0]),
        ("another process traced", libc::SYS_ptrace, [libc::PTRACE_SEIZE as usize, parent, 0]),
        ("another's memory written", libc::SYS_process_vm_writev, [parent, 0, 0]),
        ("a file system", libc::SYS_mount, [path, path, 0]),
        ("the machine stopped", libc::SYS_reboot, [0, 0, 0]),
        ("its parent's end ignored", libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as usize, 0, 0]),
    ];
    for (what, number, arguments) in forbidden {
        assert_eq!(end(|| call(number, arguments)), Exit::Signal(SIGSYS), "{what}");
    }
    let work = || {
        let thread = std::thread::Builder::new().name("worker".into()).spawn(|| vec![1u8; 1 << 20].len())?;
        assert_eq!(thread.join().ok(), Some(1 << 20));
        let mapping = Memory::new("kd-test", 4096)?.map()?;
        assert_eq!(mapping.size(), 4096);
        std::fs::read("/proc/self/stat").map(drop)
    };
    assert_eq!(end(work), Exit::Code(0), "a kernel's own work");
    let aborts = || std::process::abort();
    assert_eq!(end(aborts), Exit::Signal(libc::SIGABRT), "it may end itself");
    let elsewhere = || -> io::Result<()> {
        // One that was started before is confined as well.
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || told.recv().map(|()| call(libc::SYS_getuid, [0; 3])));
        confine()?;
        let _ = tell.send(());
        let _ = thread.join();
        Ok(())
    };
    let before = process::fork(|| elsewhere().map_or(1, |()| 0)).expect("a process").wait();
    assert_eq!(before, Exit::Signal(SIGSYS), "all threads are confined");
    println!("{} forbidden calls became faults, a kernel's own were made", forbidden.len());
}
