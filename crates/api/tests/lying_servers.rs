//! Random replies, and servers that die, under every generated client: a value, the server's errno or `EPROTO`, with
//! every breach of protocol counted; never a panic.

mod kinds;
mod loopback;
#[path = "../../subsystems/tests/differential/random.rs"]
#[allow(dead_code)]
mod random;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use kd_api::client::{Exchange, Port, REPEATS, Slot};
use kd_api::ids::PipeId;
use kd_api::interfaces::{block::*, fs::*, kernel::*, pipe::*, proc::*, syscalls::*, vfs::*};
use kd_api::window::{BULK, SPILL, Window};
use kd_api::{Blocks, Caller, Completion, Errno, Fd, InBuf, Ino, Message, Operation, OutBuf, Result};
use kinds::{Kinds, KindsClient, Record, Shape};
use random::Random;

/// What the last exchange was about.
#[derive(Clone, Copy, Default)]
struct Last {
    operation: u16,
    idempotent: bool,
    sent: u32,
    reply: Message,
}

struct Liar {
    random: Mutex<Random>,
    dies: bool,
    window: Window<'static>,
    last: Mutex<Last>,
    violations: AtomicU32,
    repeated: AtomicU32,
    unknown: AtomicU32,
}

// SAFETY: used from one thread; a window is only ever copied from and to.
unsafe impl Sync for Liar {}

impl Liar {
    fn new(seed: u64, dies: bool) -> Arc<Liar> {
        Arc::new(Liar {
            random: Mutex::new(Random(seed)),
            dies,
            window: loopback::window(),
            last: Mutex::default(),
            violations: AtomicU32::new(0),
            repeated: AtomicU32::new(0),
            unknown: AtomicU32::new(0),
        })
    }

    /// A reply that is nearly right as often as it is nonsense.
    fn reply(&self, operation: u16, sent: u32) -> Message {
        let mut random = self.random.lock().expect("one thread");
        let mut word = |likely: u64| match random.below(4) {
            0 => random.next(),
            1 => random.next() % 4,
            _ => likely,
        };
        let [operation, bulk, status] = [u64::from(operation), u64::from(sent), 0].map(&mut word);
        let words = std::array::from_fn(|_| word(20));
        let mut bytes = vec![0; 64];
        bytes.iter_mut().for_each(|byte| *byte = word(0) as u8);
        assert!(self.window.write_spill(random.below(SPILL - 64), &bytes) && self.window.write_spill(0, &bytes));
        Message { sequence: 0, operation: operation as u16, status: status as i16, bulk: bulk as u32, words }
    }
}

impl Port for Liar {
    fn claim(&self) -> Result<Slot<'_>> {
        Ok(Slot { index: 0, window: self.window })
    }
    fn exchange(&self, _: &Slot<'_>, operation: &'static Operation, message: &mut Message) -> Exchange {
        let request = *message;
        assert!(request.bulk as usize <= BULK, "an honest client");
        let reply = self.reply(request.operation, request.bulk);
        let idempotent = operation.idempotent;
        *self.last.lock().expect("one thread") =
            Last { operation: request.operation, idempotent, sent: request.bulk, reply };
        *message = reply;
        if self.dies { Exchange::Died } else { Exchange::Replied }
    }
    fn release(&self, _: Slot<'_>) {}
    fn post(&self, _: &'static Operation, _: Message) {}
    fn violated(&self) {
        self.violations.fetch_add(1, SeqCst);
    }
    fn repeated(&self) {
        self.repeated.fetch_add(1, SeqCst);
    }
    fn unknown(&self) {
        self.unknown.fetch_add(1, SeqCst);
    }
}

const ME: Caller = Caller::app(1);
const OWNER: Owner = Owner { uid: 0, gid: 0, mode: 0o644 };

/// How a call failed, if it did.
type Call = Box<dyn Fn() -> Option<Errno>>;

fn deferred<T: Send + 'static>(call: impl Fn(Completion<T>)) -> Option<Errno> {
    let (answer, answers) = std::sync::mpsc::channel();
    call(Completion::new(move |result: Result<T>| answer.send(result.err()).expect("somebody waits")));
    answers.recv().expect("answered before the call returns")
}

macro_rules! calls {
    ($port:ident: $($client:ident { $($method:ident($($argument:expr),*);)* })*) => {{
        let mut calls: Vec<(String, Call)> = Vec::new();
        $(
            let client = Arc::new($client::new($port.clone()));
            let mut named = 0;
            $(
                let own = client.clone();
                named += 1;
                calls.push((
                    format!("{}.{}", $client::INFO.name, stringify!($method)),
                    Box::new(move || own.$method($($argument),*).err()),
                ));
            )*
            let events = |operation: &&Operation| !operation.event && !operation.deferred;
            let answered = $client::INFO.operations.iter().filter(events).count();
            assert_eq!(named, answered, "a call for every operation of {}", $client::INFO.name);
        )*
        calls
    }};
}

fn data(bytes: &'static [u8]) -> &'static mut InBuf<'static> {
    Box::leak(Box::new(InBuf::new(bytes)))
}

fn room(bytes: usize) -> &'static mut OutBuf<'static> {
    Box::leak(Box::new(OutBuf::new(vec![0; bytes].leak())))
}

fn blocks(size: usize) -> Blocks {
    Blocks::new(size, [7, 0]).expect("a message carries them")
}

fn calls(port: &Arc<Liar>) -> Vec<(String, Call)> {
    let record = Record { shape: Shape::Point, size: 1, tag: [0; 16] };
    let mut calls = calls! { port:
        BlockDeviceClient {
            capacity(); read(0, room(512)); write(0, false, data(b"sector")); read_many(blocks(3), room(6));
            write_many(blocks(3), data(b"sector")); flush(); statistics();
        }
        FileSystemClient {
            lookup(ROOT, "a"); getattr(ROOT); setattr(ROOT, SetAttr::default()); create(ROOT, "a", Kind::File, OWNER);
            symlink(ROOT, "a", "b", OWNER); readlink(ROOT, room(100)); link(Ino(2), ROOT, "a"); unlink(ROOT, "a");
            rmdir(ROOT, "a"); rename(ROOT, "a", Ino(2), "b", 0); read(ROOT, 0, room(100)); write(ROOT, 0, data(b"abc"));
            append(ROOT, data(b"")); truncate(ROOT, 9); readdir(ROOT, 0, room(64)); allocate(ROOT, 0, 9, true);
            fsync(ROOT, false); sync(); statfs(); hold(ROOT); release(ROOT); reclaim(ROOT, 1);
        }
        KernelInfoClient { component(0); uptime(); command_line(room(100)); log(room(100)); }
        PipeClient {
            create(); read(PipeId(1), room(10)); write(PipeId(1), data(b"x")); interrupt(PipeId(1)); close(PipeId(1), true);
        }
        ProcClient { getpid(ME); }
        VfsClient {
            open(ME, "/a", 0, 0); close(ME, Fd(3)); read(ME, Fd(3), room(10)); write(ME, Fd(3), data(b"abc"));
            pread(ME, Fd(3), 0, room(5000)); pwrite(ME, Fd(3), 0, data(b"abc")); lseek(ME, Fd(3), 0, 0);
            pread_many(ME, Fd(3), blocks(30), room(60)); pwrite_many(ME, Fd(3), blocks(2), data(b"abcd"));
            ftruncate(ME, Fd(3), 9); truncate(ME, "/a", 9); fallocate(ME, Fd(3), 0, 0, 9); fsync(ME, Fd(3));
            fdatasync(ME, Fd(3)); sync(ME); dup(ME, Fd(3)); stat(ME, "/a"); lstat(ME, "/a"); fstat(ME, Fd(3));
            statfs(ME, "/"); chmod(ME, "/a", 0); chown(ME, "/a", 0, 0); utimens(ME, "/a", 0, 0); umask(ME, 0);
            set_user(ME, 0, 0); mkdir(ME, "/a", 0); rmdir(ME, "/a"); link(ME, "/a", "/b"); symlink(ME, "a", "/b");
            readlink(ME, "/b", room(100)); unlink(ME, "/a"); rename(ME, "/a", "/b", 0); getdents64(ME, Fd(3), room(64));
            pipe(ME);
        }
        SyscallsClient {
            null(); getpid(ME);
            open(ME, "/a", 0, 0); close(ME, Fd(3)); read(ME, Fd(3), room(10)); write(ME, Fd(3), data(b"abc"));
            pread(ME, Fd(3), 0, room(5000)); pwrite(ME, Fd(3), 0, data(b"abc")); lseek(ME, Fd(3), 0, 0);
            pread_many(ME, Fd(3), blocks(30), room(60)); pwrite_many(ME, Fd(3), blocks(2), data(b"abcd"));
            ftruncate(ME, Fd(3), 9); truncate(ME, "/a", 9); fallocate(ME, Fd(3), 0, 0, 9); fsync(ME, Fd(3));
            fdatasync(ME, Fd(3)); sync(ME); dup(ME, Fd(3)); stat(ME, "/a"); lstat(ME, "/a"); fstat(ME, Fd(3));
            statfs(ME, "/"); chmod(ME, "/a", 0); chown(ME, "/a", 0, 0); utimens(ME, "/a", 0, 0); umask(ME, 0);
            set_user(ME, 0, 0); mkdir(ME, "/a", 0); rmdir(ME, "/a"); link(ME, "/a", "/b"); symlink(ME, "a", "/b");
            readlink(ME, "/b", room(100)); unlink(ME, "/a"); rename(ME, "/a", "/b", 0); getdents64(ME, Fd(3), room(64));
            pipe(ME);
        }
        KindsClient {
            nothing(); who(ME); small(1, 2, true, 3); large(1, 2, 3, 4); byte(1); flag(true, 2); size(9); int(-3);
            ids(ME.app, Fd(1), Ino(2)); pairs((1, Fd(2)), (Ino(3), (true, 4)));
            structures(record, Shape::Point); text("a", 1, "b"); input(0, 1, data(b"abc")); output(0, 1, room(10));
            everything(ME, "a", record, 1, data(b"abc")); fail(0, room(4)); noted_so_far();
        }
    };
    let (pipe, kinds) = (PipeClient::new(port.clone()), Arc::new(KindsClient::new(port.clone())));
    let never = kinds.clone();
    calls.push(("Pipe.wait_readable".into(), Box::new(move || deferred(|done| pipe.wait_readable(PipeId(1), done)))));
    calls.push(("Kinds.later".into(), Box::new(move || deferred(|done| kinds.later(1, true, done)))));
    calls.push(("Kinds.never".into(), Box::new(move || deferred(|done| never.never(done)))));
    calls
}

#[test]
fn a_lie_is_found_out_and_counted() {
    let port = Liar::new(1, false);
    let calls = calls(&port);
    let (mut good, mut refused, mut lies) = (0, 0, 0);
    for round in 0..2000 {
        for (name, call) in &calls {
            let before = port.violations.load(SeqCst);
            let error = call();
            let violations = port.violations.load(SeqCst) - before;
            let Last { operation, sent, reply, .. } = *port.last.lock().expect("one thread");
            let at = || format!("{name} in round {round}: {sent} bytes offered, {reply:?} taken as {error:?}");
            let errno = Errno::from_number(reply.status);
            if reply.operation != operation || reply.bulk > sent {
                assert_eq!((error, violations), (Some(Errno::EPROTO), 1), "{}", at());
            } else if reply.status != 0 {
                assert_eq!(error, Some(errno.unwrap_or(Errno::EPROTO)), "{}", at());
                assert_eq!(violations, u32::from(errno.is_none()), "{}", at());
                refused += 1;
            } else {
                // A value, or words that are none.
                assert!(matches!((error, violations), (None, 0) | (Some(Errno::EPROTO), 1)), "{}", at());
                good += u32::from(error.is_none());
            }
            lies += violations;
        }
    }
    assert!(good > 1000 && refused > 1000 && lies > 1000, "{good} good, {refused} refused, {lies} lies");
}

#[test]
fn calls_on_dying_servers_are_repeated_or_of_unknown_outcome() {
    let port = Liar::new(2, true);
    for (name, call) in calls(&port) {
        let before = (port.repeated.load(SeqCst), port.unknown.load(SeqCst));
        let error = call();
        let seen = (port.repeated.load(SeqCst) - before.0, port.unknown.load(SeqCst) - before.1);
        let idempotent = port.last.lock().expect("one thread").idempotent;
        let expected = if idempotent { (Errno::EIO, (REPEATS, 0)) } else { (Errno::EUNKNOWN, (0, 1)) };
        assert_eq!((error, seen), (Some(expected.0), expected.1), "{name}");
    }
    assert_eq!(port.violations.load(SeqCst), 0);
}
