//! The victim's side: loads the RAM disk, then does what it reads from its input, one line at a time.

use std::io::BufRead;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering::Relaxed};

use kd_api::interfaces::block::SECTOR;
use kd_api::module::{Driver, DriverEnv, HostTable, Medium};
use kd_api::{InBuf, OutBuf};
use kd_machine::disk::DiskMedium;
use kd_machine::memory::Memory;
use kd_nucleus::module::ModuleFile;

/// Set: be the victim.
pub const VARIABLE: &str = "KD_TEST_VICTIM";
/// Exit code after a panic of the module.
pub const PANICKED: i32 = 77;
/// What the object of somebody else is made of.
pub const OBJECT: u8 = 0x3C;
/// Sectors of its disk; each is filled with its number.
const SECTORS: usize = 16;
/// Bytes of the module's heap.
const HEAP: usize = 1 << 16;

/// The module's heap, in memory that outlives the victim; it only grows.
static AT: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static USED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn allocate(size: usize, align: usize) -> *mut u8 {
    let start = USED.load(Relaxed).next_multiple_of(align);
    USED.store(start + size, Relaxed);
    assert!(start + size <= HEAP);
    AT.load(Relaxed).wrapping_add(start)
}

extern "C" fn deallocate(_: *mut u8, _: usize, _: usize) {}

extern "C" fn panicked(text: *const u8, len: usize) -> ! {
    // SAFETY: the module's border says: `len` bytes of UTF-8 that live for this call.
    let text = unsafe { std::slice::from_raw_parts(text, len) };
    println!("kd: {}", String::from_utf8_lossy(text).replace('\n', " "));
    std::process::exit(PANICKED)
}

extern "C" fn log(_: *const u8, _: usize) {}

fn wait(_: &AtomicU32, _: u32, _: bool) {
    std::thread::yield_now();
}

fn wake(_: &AtomicU32, _: u32) {}

static HOST: HostTable = HostTable { allocate, deallocate, panicked, log, wait, wake };

/// A function of the program itself that faults are injected into too.
#[inline(never)]
fn answer_of(number: u64) -> u64 {
    let mut sum = number;
    for i in 0..std::hint::black_box(5) {
        sum = std::hint::black_box(sum + i * number / 4);
    }
    sum + 23
}

fn read(driver: Driver, sector: u64) -> u8 {
    let mut room = [0; SECTOR];
    driver.read(sector, &mut OutBuf::new(&mut room)).expect("the sector is there");
    assert!(room.iter().all(|&byte| byte == room[0]));
    room[0]
}

#[test]
fn victim() {
    if std::env::var_os(VARIABLE).is_none() {
        return;
    }
    // SAFETY: the default action; the standard library's own handler would turn an overflow into an abort.
    unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
    let heap = Memory::new("heap", HEAP).unwrap();
    AT.store(heap.map().unwrap().leak().as_ptr(), Relaxed);
    let disk = Memory::new("disk", SECTORS * SECTOR).unwrap();
    let medium = DiskMedium::map(&disk).unwrap();
    for sector in 0..SECTORS {
        medium.write((sector * SECTOR) as u64, &mut InBuf::new(&[sector as u8; SECTOR])).unwrap();
    }
    let env = DriverEnv { medium: Some(Box::leak(Box::new(medium))), device: None, parameters: &[] };
    let module = ModuleFile::find("ramdisk").unwrap().load("ramdisk", &HOST, &env).unwrap();
    let object: &'static [u8] = vec![OBJECT; 64].leak();
    let (room, object) = ([module.patch_code, module.patch_data], object.as_ptr() as usize + 16);
    let fd = std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&heap));
    println!("kd: {} {} {} {object} {fd}", module.base, room[0], room[1]);
    serve(module.driver)
}

fn serve(driver: Driver) -> ! {
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        match line.split_once(' ') {
            Some(("read", sector)) => println!("kd: {}", read(driver, sector.parse().unwrap())),
            Some(("compute", number)) => println!("kd: {}", answer_of(number.parse().unwrap())),
            Some(("load", threads)) => (0..threads.parse().unwrap()).for_each(|i| {
                std::thread::spawn(move || {
                    loop {
                        assert_eq!(read(driver, i), i as u8);
                    }
                });
            }),
            _ => break,
        }
    }
    std::process::exit(0)
}
