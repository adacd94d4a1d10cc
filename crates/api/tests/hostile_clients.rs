//! Random bytes thrown at every generated server, with the real components behind them: an error or a valid answer,
//! never a panic, a hang, or an access outside the window, which lies between pages that nobody may touch.
//!
//! Another thread scribbles into the window meanwhile. What a call may rightly wait for is brought about by a third,
//! which lets every app exit and closes every pipe again and again.

mod kinds;
mod loopback;
#[path = "../../subsystems/tests/differential/random.rs"]
#[allow(dead_code)]
mod random;

use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use kd_api::grant::Pool;
use kd_api::ids::PipeId;
use kd_api::interfaces::{
    block::{BlockDevice, Statistics, read_each, write_each},
    kernel::{ComponentInfo, KernelInfo},
    pipe::Pipe,
    syscalls::Syscalls,
    vfs::Vfs,
};
use kd_api::server::Dispatch;
use kd_api::window::{BULK, SPILL, WINDOW, Window};
use kd_api::{AppId, Blocks, Caller, Errno, Handle, Imports, InBuf, Message, OutBuf, Result};
use kd_subsystems::syscalls::SyscallTable;
use kinds::{Honest, Kinds};
use loopback::deliver_with;
use random::Random;

const ME: Caller = Caller::app(1);
const ROUNDS: u64 = 12_000;
/// More than the rounds make.
const PIPES: u64 = ROUNDS / 4;
const PAGE: usize = 4096;

/// What a client may grant from.
const POOL: usize = 4 * PAGE;

/// So many bytes, whole pages, between two pages that fault; never unmapped.
fn fenced(bytes: usize) -> NonNull<u8> {
    // SAFETY: a fresh mapping of our own; its middle is made accessible.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let all = libc::mmap(null_mut(), bytes + 2 * PAGE, libc::PROT_NONE, flags, -1, 0).cast::<u8>();
        let middle = all.add(PAGE);
        assert_eq!(libc::mprotect(middle.cast(), bytes, libc::PROT_READ | libc::PROT_WRITE), 0);
        NonNull::new(middle).expect("mapped")
    }
}

fn fenced_window() -> Window<'static> {
    // SAFETY: as many bytes, for ever, to which nobody has a reference.
    unsafe { Window::new(fenced(WINDOW)) }
}

fn fenced_pool() -> Arc<Pool> {
    // SAFETY: as for the window.
    Arc::new(unsafe { Pool::new(fenced(POOL), POOL, Box::new(())) })
}

/// Moves a window to another thread that scribbles into it.
struct Scribble(Window<'static>);

impl Scribble {
    fn some(&self, random: &mut Random) {
        let bytes: [u8; 16] = std::array::from_fn(|_| random.next() as u8);
        let at = if random.below(2) == 0 { random.below(64) } else { random.below(SPILL - 16) };
        assert!(self.0.write_spill(at, &bytes));
        let mut bulk = self.0.output(BULK);
        bulk.with_part(random.below(BULK), |part| part.write(&bytes));
    }
}

/// A disk in memory: what stands for a driver, whose own checks are its crate's to test.
struct Disk(Mutex<Vec<u8>>);

/// Its bytes: enough for a file system.
const DISK: usize = 16 << 20;

impl Disk {
    /// The bytes from a sector on, at most so many.
    fn range(sector: u64, bytes: usize) -> Option<std::ops::Range<usize>> {
        let from = usize::try_from(sector).ok()?.checked_mul(512).filter(|from| *from < DISK)?;
        Some(from..from + bytes.min(DISK - from))
    }
}

impl BlockDevice for Disk {
    fn capacity(&self) -> Result<u64> {
        Ok(DISK as u64 / 512)
    }
    fn read(&self, sector: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        let range = Disk::range(sector, out.remaining()).ok_or(Errno::EIO)?;
        Ok(out.write(&self.0.lock().expect("no panic")[range]))
    }
    fn write(&self, sector: u64, _: bool, data: &mut InBuf<'_>) -> Result<usize> {
        let range = Disk::range(sector, data.remaining()).ok_or(Errno::ENOSPC)?;
        Ok(data.read(&mut self.0.lock().expect("no panic")[range]))
    }
    fn read_many(&self, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        read_each(self, &blocks, out)
    }

    fn write_many(&self, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        write_each(self, &blocks, data)
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }
    fn statistics(&self) -> Result<Statistics> {
        Ok(Statistics::default())
    }
}

/// What stands for a core.
struct Core;

impl KernelInfo for Core {
    fn component(&self, _: u32) -> Result<ComponentInfo> {
        Err(Errno::ENOENT)
    }
    fn uptime(&self) -> Result<u64> {
        Ok(1)
    }
    fn command_line(&self, out: &mut OutBuf<'_>) -> Result<usize> {
        Ok(out.write(b"quiet"))
    }
    fn log(&self, out: &mut OutBuf<'_>) -> Result<usize> {
        Ok(out.write(b"a line"))
    }
}

/// Every interface there is, and who to ask for what a call waits for.
struct Kernel {
    servers: Vec<(String, Arc<dyn Dispatch>)>,
    vfs: Arc<dyn Vfs>,
    pipes: Arc<dyn Pipe>,
}

fn boot() -> Kernel {
    let disk: Arc<dyn BlockDevice> = Arc::new(Disk(Mutex::new(vec![0; DISK])));
    let mut started = Imports::default();
    for driver in ["ramdisk", "vdisk"] {
        started.insert(driver, Handle::new(disk.clone()));
    }
    let core: Arc<dyn KernelInfo> = Arc::new(Core);
    started.insert("kernel", Handle::new(core.clone()));
    let mut servers = vec![("core".to_string(), Handle::new(core).serve())];
    servers.extend([("disk".to_string(), Handle::new(disk).serve())]);
    for component in kd_subsystems::components() {
        let handle = (component.start)(&started).unwrap_or_else(|why| panic!("{}: {why}", component.name));
        servers.push((component.name.clone(), handle.serve()));
        started.insert(&component.name, handle);
    }
    let vfs = started.get::<dyn Vfs>("vfs").expect("registered");
    let pipes = started.get::<dyn Pipe>("pipe").expect("registered");
    let table = SyscallTable::new(vfs.clone(), started.get("proc").expect("registered"));
    servers.push(("syscalls".into(), Handle::new(Arc::new(table) as Arc<dyn Syscalls>).serve()));
    servers.push(("kinds".into(), Handle::new(Arc::new(Honest::default()) as Arc<dyn Kinds>).serve()));
    Kernel { servers, vfs, pipes }
}

fn request(random: &mut Random, operations: usize, window: Window<'_>) -> Message {
    let operation = if random.below(20) == 0 { random.next() as u16 } else { random.below(operations + 1) as u16 };
    let bulk = match random.below(5) {
        0 => random.next() as u32,
        1 => u32::MAX,
        2 => 0,
        _ => random.length() as u32,
    };
    // Often two paths, with their true lengths somewhere among the words.
    let texts = [random.path(), random.path()].map(|mut path| {
        path.truncate(SPILL / 2);
        path
    });
    let lengths = [texts[0].len() as u64, texts[1].len() as u64];
    if random.below(3) > 0 {
        assert!(window.write_spill(0, texts.concat().as_bytes()));
    }
    let mut text = 0;
    let words = std::array::from_fn(|_| match random.below(6) {
        0 => random.next(),
        1 => 0,
        2 => random.offset() as u64,
        3 => random.below(12) as u64,
        4 => u64::from(random.flags()),
        _ => {
            text += 1;
            lengths[text % 2]
        }
    });
    // A pool's number as often as not, and an offset in it: at its end, anywhere, or none at all.
    let offset = match random.below(4) {
        0 => random.next(),
        1 => (POOL as u64).wrapping_sub(u64::from(bulk)),
        _ => random.below(POOL) as u64,
    };
    window.output(8).write(&offset.to_ne_bytes());
    let status = match random.below(10) {
        0 => random.next() as i16,
        number => (number % 2) as i16,
    };
    let sequence = random.next() as u32;
    Message { sequence, operation, status, bulk, words }
}

#[test]
fn servers_answer_anything_and_survive_it() {
    let progress = Arc::new(Mutex::new((0, String::new())));
    watch(progress.clone());
    for seed in 1..=2 {
        let kernel = boot();
        let window = fenced_window();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let (done, scribble, kernel) = (&done, Scribble(window), &kernel);
            scope.spawn(move || {
                let mut random = Random(seed ^ 0xfeed);
                while !done.load(SeqCst) {
                    scribble.some(&mut random);
                }
            });
            scope.spawn(move || {
                while !done.load(SeqCst) {
                    thread::sleep(Duration::from_millis(2));
                    kernel.vfs.app_exited(ME.app);
                    kernel.vfs.app_exited(AppId(0));
                    (0..PIPES).flat_map(|pipe| [(pipe, true), (pipe, false)]).for_each(|(pipe, writer)| {
                        let _ = kernel.pipes.close(PipeId(pipe), writer);
                    });
                }
            });
            // A panic must end the other two as well.
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                for (name, server) in &kernel.servers {
                    throw(name, &**server, seed, window, &progress);
                }
            }));
            done.store(true, SeqCst);
            outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    }
}

fn throw(name: &str, server: &dyn Dispatch, seed: u64, window: Window<'_>, progress: &Mutex<(u64, String)>) {
    let mut random = Random(seed);
    let operations = server.info().operations;
    let pools = [fenced_pool()];
    let (mut good, mut bad) = (0, 0);
    for round in 0..ROUNDS {
        let request = request(&mut random, operations.len(), window);
        {
            let mut now = progress.lock().expect("no panic holding it");
            *now = (now.0 + 1, format!("{name}: {request:?}"));
        }
        let reply = deliver_with(server, ME, request, window, &pools);
        let Some(operation) = server.info().operation(request.operation) else {
            let refused = reply.and_then(|reply| Errno::from_number(reply.status));
            let bad_grant = request.status != 0 && refused == Some(Errno::EBADMSG);
            assert!(refused == Some(Errno::ENOSYS) || bad_grant, "{name}, round {round}: {refused:?}");
            bad += 1;
            continue;
        };
        let Some(reply) = reply else {
            assert!(operation.event, "{name}.{} is not answered in round {round}", operation.name);
            continue;
        };
        let known = reply.status == 0 || Errno::from_number(reply.status).is_some();
        assert!(known, "{name}.{}: {reply:?} to {request:?}", operation.name);
        if operation.event {
            assert_eq!(reply.status, Errno::EBADMSG as i16, "an event is refused or taken");
        }
        assert_eq!(reply.operation, request.operation);
        assert!(reply.bulk as usize <= BULK.min(request.bulk as usize), "{name}.{}: {reply:?}", operation.name);
        *if reply.status == 0 { &mut good } else { &mut bad } += 1;
    }
    assert!(good > 0 && bad > 0, "{name}: {good} good, {bad} bad: the test tests something");
}

/// Ends the process, loudly, when no call came back for a long time.
fn watch(progress: Arc<Mutex<(u64, String)>>) {
    thread::spawn(move || {
        let mut seen = u64::MAX;
        loop {
            let now = progress.lock().expect("no panic holding it").clone();
            if now.0 == seen {
                eprintln!("hangs: {}", now.1);
                break;
            }
            seen = now.0;
            thread::sleep(Duration::from_secs(20));
        }
        std::process::abort();
    });
}
