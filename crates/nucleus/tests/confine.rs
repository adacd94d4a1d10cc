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

/// What only this processor can: calls by the numbers of its 32-bit programs, and another place for a thread's own variables.
#[cfg(target_arch = "x86_64")]
fn on_x86_64() {
    let by_other_numbers = || {
        // SAFETY: in a process made for this. It is `read` by these numbers, of nothing, and would be `close` by ours.
        unsafe { std::arch::asm!("int 0x80", inlateout("eax") 3 => _, in("ecx") 0, in("edx") 0) };
        Ok(())
    };
    // Where the host runs no such programs, there is no such instruction.
    let ends = [SIGSYS, libc::SIGSEGV].map(Exit::Signal);
    assert!(ends.contains(&end(by_other_numbers)), "a call by other numbers");
    const SET_FS: usize = 0x1002;
    let moved = || call(libc::SYS_arch_prctl, [SET_FS, 0, 0]);
    assert_eq!(end(moved), Exit::Signal(SIGSYS), "a thread's own variables moved");
}

fn main() {
    let parent = std::process::id() as usize;
    let path = c"/nowhere/at/all".as_ptr() as usize;
    let forbidden: [(&str, i64, [usize; 3]); 25] = [
        ("a signal to another process", libc::SYS_kill, [parent, 0, 0]),
        ("a signal to every process", libc::SYS_kill, [usize::MAX, 0, 0]),
        ("a signal to another's thread", libc::SYS_tgkill, [parent, parent, 0]),
        ("a signal to a thread by its number alone", libc::SYS_tkill, [parent, 0, 0]),
        ("a file to be written", libc::SYS_openat, [libc::AT_FDCWD as usize, path, libc::O_WRONLY as usize]),
        ("a file to be read and written", libc::SYS_openat, [libc::AT_FDCWD as usize, path, libc::O_RDWR as usize]),
        ("a file to be added to", libc::SYS_openat, [libc::AT_FDCWD as usize, path, libc::O_APPEND as usize]),
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
        ("another's memory read", libc::SYS_process_vm_readv, [parent, 0, 0]),
        ("another's memory written", libc::SYS_process_vm_writev, [parent, 0, 0]),
        ("a file system", libc::SYS_mount, [path, path, 0]),
        ("the machine stopped", libc::SYS_reboot, [0, 0, 0]),
        ("another slowed down", libc::SYS_setpriority, [libc::PRIO_PROCESS as usize, parent, 19]),
        ("a signal for what happens to a descriptor", libc::SYS_fcntl, [0, libc::F_SETOWN as usize, parent]),
        ("a descriptor's flags changed", libc::SYS_fcntl, [0, libc::F_SETFD as usize, 0]),
        ("its parent's end ignored", libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as usize, 0, 0]),
    ];
    for (what, number, arguments) in forbidden {
        assert_eq!(end(|| call(number, arguments)), Exit::Signal(SIGSYS), "{what}");
    }
    #[cfg(target_arch = "x86_64")]
    on_x86_64();
    let new_way = || match call(libc::SYS_clone3, [0; 3]) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
        _ => Err(io::ErrorKind::Other.into()),
    };
    assert_eq!(end(new_way), Exit::Code(0), "who starts a thread is told of the old way");
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
