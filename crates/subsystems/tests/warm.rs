//! A warm read, write, pread, pwrite, stat and pipe transfer allocate nothing: a counting allocator looks.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use kd_api::interfaces::syscalls::Syscalls;
use kd_api::interfaces::vfs::{open, seek};
use kd_api::{Caller, InBuf, OutBuf};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged; counting touches a thread-local integer that has
// neither initialiser nor destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promise is the one `System` asks for.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above; `at` came from `System.alloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(run: impl FnOnce()) -> u64 {
    let before = COUNT.get();
    run();
    COUNT.get() - before
}

#[test]
fn warm_calls_allocate_nothing() {
    let (sys, _) = common::boot();
    let app = Caller::app(1);
    assert!(allocations(|| drop(std::hint::black_box(Box::new(1)))) > 0, "the counter counts");
    assert_eq!(sys.mkdir(app, "/d", 0o755), Ok(()));
    let fd = sys.open(app, "/d/f", open::CREAT | open::RDWR, 0o644).expect("opened");
    let (reading, writing) = sys.pipe(app).expect("made");
    let mut bytes = vec![7; 200_000];
    let mut round = || {
        assert_eq!(sys.null(), Ok(()));
        assert_eq!(sys.getpid(app), Ok(2));
        assert_eq!(sys.pwrite(app, fd, 0, &mut InBuf::new(&bytes)), Ok(200_000));
        assert_eq!(sys.pread(app, fd, 0, &mut OutBuf::new(&mut bytes)), Ok(200_000));
        assert_eq!(sys.lseek(app, fd, 0, seek::SET), Ok(0));
        assert_eq!(sys.write(app, fd, &mut InBuf::new(&bytes[..4096])), Ok(4096));
        assert_eq!(sys.read(app, fd, &mut OutBuf::new(&mut bytes)), Ok(200_000 - 4096));
        assert_eq!(sys.stat(app, "/d/../d/f").map(|stat| stat.size), Ok(200_000));
        assert_eq!(sys.fsync(app, fd), Ok(()));
        assert_eq!(sys.write(app, writing, &mut InBuf::new(&bytes[..65_536])), Ok(65_536));
        assert_eq!(sys.read(app, reading, &mut OutBuf::new(&mut bytes)), Ok(65_536));
    };
    round();
    assert_eq!(allocations(round), 0);
}
