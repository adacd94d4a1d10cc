//! The zygote: this very program, executed again and caught before `main`, while it has one thread.
//!
//! The harness has many threads and must not fork. It asks the zygote, which forks a *root* process for each boot; the
//! root forks the kernel's processes. A program that boots kernels says `zygote_entry!(function)` once: the function
//! runs in each root.
//!
//! A root can have a process execute this program once more ([`execute`]), which then begins as a fresh one does: by the host's
//! loader, with nothing of the root's but the descriptors that it is left.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use crate::module::ModuleFile;
use crate::process;
use crate::socket::Socket;

const VARIABLE: &str = "KERNEL_DEBATE_ZYGOTE";
/// Asks for a process's personality and changes nothing.
const ASK: libc::c_ulong = 0xFFFF_FFFF;
/// For a process that is to do one thing: its socket, and what.
const PURPOSE: &str = "KERNEL_DEBATE_PURPOSE";

/// What a root runs, told what [`Zygote::boot`] was; it ends with the root.
pub type Entry = fn(purpose: &str, control: Socket);

/// Makes this program able to boot kernels: `$entry` (a [`Entry`]) runs in the root process of each boot.
#[macro_export]
macro_rules! zygote_entry {
    ($entry:path) => {
        const _: () = {
            extern "C" fn before_main() {
                $crate::zygote::enter_if_asked($entry);
            }
            // SAFETY: the C runtime calls each function pointer of this section once, before `main`, after its own
            // initialisation; ours has the right type and returns at once unless this is a zygote.
            #[used]
            #[unsafe(link_section = ".init_array")]
            static BEFORE_MAIN: extern "C" fn() = before_main;
        };
    };
}

/// Becomes the zygote, and never returns, if this process was started as one.
#[doc(hidden)]
pub fn enter_if_asked(entry: Entry) {
    if let Ok(asked) = std::env::var(PURPOSE) {
        return enter_for(&asked, entry);
    }
    let Ok(value) = std::env::var(VARIABLE) else { return };
    let Ok(fd) = value.parse::<i32>() else { return };
    // SAFETY: whoever set the variable left this descriptor open for us; we have one thread.
    let socket = unsafe {
        std::env::remove_var(VARIABLE);
        libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        // Children are reaped by the host; a root's end is noticed through its control socket.
        libc::signal(libc::SIGCHLD, libc::SIG_IGN);
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        Socket::from_fd(OwnedFd::from_raw_fd(fd))
    };
    process::set_name("kd-zygote");
    serve(socket, entry);
    process::exit_now(0)
}

/// Runs for one purpose, and never returns, if it makes sense.
fn enter_for(asked: &str, entry: Entry) {
    let Some((fd, purpose)) = asked.split_once(' ') else { return };
    let Ok(fd) = fd.parse() else { return };
    // SAFETY: we have one thread.
    unsafe { std::env::remove_var(PURPOSE) };
    let socket = Socket::from_fd(process::inherit(fd));
    let run = std::panic::AssertUnwindSafe(|| entry(purpose, socket));
    process::exit_now(if std::panic::catch_unwind(run).is_ok() { 0 } else { 101 });
}

/// Executes this program once more in the place of this process: there the entry is told the purpose, and handed the socket;
/// it has these descriptors, by the same numbers, and no others. Returns why it could not.
pub fn execute(purpose: &str, socket: &Socket, left: impl IntoIterator<Item = RawFd>) -> io::Error {
    let fd = socket.fd().as_raw_fd();
    left.into_iter().chain([fd]).for_each(process::bequeath);
    Command::new("/proc/self/exe").env(PURPOSE, format!("{fd} {purpose}")).exec()
}

fn serve(socket: Socket, entry: Entry) {
    let me = std::process::id();
    while let Ok((purpose, mut fds)) = socket.receive::<String>() {
        let Some(control) = fds.pop() else {
            // A module that cannot be read is a boot's to complain of.
            let _ = ModuleFile::keep(&purpose);
            // SAFETY: plain call. Reading left megabytes of free heap, whose pages every fork would copy and every end give up.
            unsafe { libc::malloc_trim(0) };
            continue;
        };
        // SAFETY: the zygote has one thread.
        if unsafe { libc::fork() } == 0 {
            // SAFETY: plain call; a root reaps its children itself.
            unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
            process::die_with_parent(me);
            drop(socket);
            process::set_name(process::ROOT);
            let run = std::panic::AssertUnwindSafe(|| entry(&purpose, Socket::from_fd(control)));
            process::exit_now(if std::panic::catch_unwind(run).is_ok() { 0 } else { 101 });
        }
    }
}

/// The harness's end of the zygote; it ends with the last of its users.
pub struct Zygote {
    socket: Mutex<Socket>,
    child: Mutex<std::process::Child>,
}

impl Zygote {
    /// The zygote of this process, started at first use.
    ///
    /// # Errors
    /// The host's; a program without [`zygote_entry!`] only fails at the first boot.
    pub fn get() -> io::Result<&'static Zygote> {
        static ZYGOTE: OnceLock<io::Result<Zygote>> = OnceLock::new();
        Zygote::from(ZYGOTE.get_or_init(|| Zygote::start(Command::new("/proc/self/exe"))))
    }

    /// A second one, in whose boots everything lies at the same addresses in every run, as far as that is the host's: for
    /// who makes the same fault twice and wants to see the same.
    ///
    /// # Errors
    /// As [`Zygote::get`].
    pub fn steady() -> io::Result<&'static Zygote> {
        static ZYGOTE: OnceLock<io::Result<Zygote>> = OnceLock::new();
        let start = || {
            let mut program = Command::new("/proc/self/exe");
            // Of the C library's heap there is one, and not one more for each thread.
            program.env("MALLOC_ARENA_MAX", "1");
            // SAFETY: two plain system calls between fork and exec, on nothing but numbers. A host that refuses leaves
            // addresses to chance.
            unsafe {
                program.pre_exec(|| {
                    let now = libc::personality(ASK);
                    libc::personality(now as libc::c_ulong | libc::ADDR_NO_RANDOMIZE as libc::c_ulong);
                    Ok(())
                });
            }
            Zygote::start(program)
        };
        Zygote::from(ZYGOTE.get_or_init(start))
    }

    fn from(started: &'static io::Result<Zygote>) -> io::Result<&'static Zygote> {
        started.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))
    }

    fn start(mut program: Command) -> io::Result<Zygote> {
        let (ours, theirs) = Socket::pair()?;
        let fd = theirs.fd().as_raw_fd();
        // SAFETY: clears close-on-exec of a descriptor of ours, so that the zygote inherits it.
        unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
        let child = program.env(VARIABLE, fd.to_string()).spawn()?;
        Ok(Zygote { socket: Mutex::new(ours), child: Mutex::new(child) })
    }

    /// Starts a root for some purpose; returns the control socket to it. The root and all it started die when the
    /// socket closes.
    pub fn boot(&self, purpose: &str) -> io::Result<Socket> {
        let (ours, theirs) = Socket::pair()?;
        let socket = self.socket.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        socket.send(&purpose, &[theirs.fd()])?;
        Ok(ours)
    }

    /// Has the zygote read a module's file, so that boots need not.
    ///
    /// # Errors
    /// The host's, if the zygote is gone.
    pub fn keep(&self, module: &str) -> io::Result<()> {
        let socket = self.socket.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        socket.send(&module, &[])
    }

    /// The zygote's process number.
    pub fn pid(&self) -> u32 {
        self.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner).id()
    }
}
