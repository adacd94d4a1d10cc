//! Driver modules as cargo built them: what is refused before any code runs, and what a loaded one does.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use kd_api::interfaces::block::SECTOR;
use kd_api::module::{DriverEnv, HostTable, Medium, VERMAGIC};
use kd_api::{Errno, InBuf, OutBuf};
use kd_machine::disk::DiskMedium;
use kd_machine::memory::Memory;
use kd_nucleus::module::{LoadedModule, ModuleError, ModuleFile, symbols};

/// Bytes that modules hold.
static HELD: AtomicUsize = AtomicUsize::new(0);

extern "C" fn allocate(size: usize, align: usize) -> *mut u8 {
    HELD.fetch_add(size, Relaxed);
    kd_nucleus::arena::module_allocate(size, align)
}

extern "C" fn deallocate(at: *mut u8, size: usize, align: usize) {
    HELD.fetch_sub(size, Relaxed);
    // SAFETY: a module gives back what `allocate` above gave it, with the same size and alignment.
    unsafe { kd_nucleus::arena::module_deallocate(at, size, align) };
}

extern "C" fn panicked(_: *const u8, _: usize) -> ! {
    std::process::abort()
}

extern "C" fn log(_: *const u8, _: usize) {}
fn wait(_: &AtomicU32, _: u32, _: bool) {}
fn wake(_: &AtomicU32, _: u32) {}

static HOST: HostTable = HostTable { allocate, deallocate, panicked, log, wait, wake };

/// A file in a folder of its own, removed with it.
struct Altered(PathBuf);

impl Altered {
    fn new(name: &str, bytes: &[u8]) -> Altered {
        let path = std::env::temp_dir().join(format!("kd-test-{}-{name}.so", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Altered(path)
    }
}

impl Drop for Altered {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const NONE: &[(&str, u64)] = &[];

fn found(name: &str) -> ModuleFile {
    ModuleFile::find(name).unwrap()
}

/// The module's bytes with one text put in place of another of the same length.
fn replaced(name: &str, old: &str, new: &str) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut bytes = found(name).bytes().to_vec();
    let at = bytes.windows(old.len()).position(|window| window == old.as_bytes()).expect("the old text is there");
    bytes[at..at + new.len()].copy_from_slice(new.as_bytes());
    bytes
}

fn load_ramdisk(disk: &Memory) -> LoadedModule {
    let medium: &'static dyn Medium = Box::leak(Box::new(DiskMedium::map(disk).unwrap()));
    found("ramdisk").load("ramdisk", &HOST, &DriverEnv { medium: Some(medium), device: None, parameters: &[] }).unwrap()
}

fn read(module: &LoadedModule, sector: u64) -> Result<[u8; SECTOR], Errno> {
    let mut room = [0xEE; SECTOR];
    module.driver.read(sector, &mut OutBuf::new(&mut room)).map(|_| room)
}

#[test]
fn a_module_says_what_it_is() {
    let file = found("nullblk");
    let info = file.info();
    let said = [&info.name, &info.license, &info.description, &info.version, &info.vermagic];
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(said, ["nullblk", "MIT OR Apache-2.0", "A block device that stores nothing", version, VERMAGIC]);
    let [gb] = &info.parameters[..] else { panic!("{:?}", info.parameters) };
    assert_eq!((gb.name.as_str(), gb.default, gb.least, gb.most), ("gb", 250, 1, 1 << 20));
    assert_eq!(file.sha256().len(), 64);
    assert_ne!(file.sha256(), found("ramdisk").sha256());
    file.check("nullblk", &[("gb", 7)]).unwrap();
}

#[test]
fn what_is_no_module_is_refused_with_a_remedy() {
    let program = std::env::current_exe().unwrap();
    let cut = Altered::new("cut", &found("ramdisk").bytes()[..20_000]);
    let empty = Altered::new("empty", b"");
    for path in [Path::new("/etc/passwd"), &program, &cut.0, &empty.0] {
        let error = ModuleFile::open(path).unwrap_err();
        assert!(matches!(error, ModuleError::NotAModule { .. }), "{error}");
        assert!(error.to_string().contains(&format!("{}", path.display())), "{error}");
    }
    let error = ModuleFile::open(Path::new("/nowhere/x.so")).unwrap_err();
    assert!(matches!(error, ModuleError::Read { .. }), "{error}");
    assert!(matches!(ModuleFile::find("nothing"), Err(ModuleError::NotFound { .. })));
    assert!(matches!(ModuleFile::find("../ramdisk"), Err(ModuleError::BadName(_))));
}

#[test]
fn a_module_for_another_kernel_is_refused_before_it_runs() {
    let other = VERMAGIC.replace("rustc 1", "rustc 0");
    let file = Altered::new("stamp", &replaced("ramdisk", VERMAGIC, &other));
    let file = ModuleFile::open(&file.0).unwrap();
    let error = file.load("ramdisk", &HOST, &DriverEnv { medium: None, device: None, parameters: &[] }).err().unwrap();
    let ModuleError::WrongStamp { module, kernel, .. } = &error else { panic!("{error}") };
    assert_eq!((module.as_str(), kernel.as_str()), (other.as_str(), VERMAGIC));
}

#[test]
fn wrong_names_licences_and_parameters_are_refused() {
    let file = found("nullblk");
    assert!(matches!(file.check("ramdisk", NONE), Err(ModuleError::WrongName { .. })));
    let error = file.check("nullblk", &[("mb", 1)]).unwrap_err();
    assert!(matches!(&error, ModuleError::UnknownParameter { known, .. } if known == "gb"), "{error}");
    for value in [0, (1 << 20) + 1, u64::MAX] {
        let error = file.check("nullblk", &[("gb", value)]).unwrap_err();
        assert!(matches!(error, ModuleError::BadValue { least: 1, most: 1_048_576, .. }), "{error}");
    }
    let unlicensed = Altered::new("licence", &replaced("nullblk", "\0license=", "\0licence="));
    let error = ModuleFile::open(&unlicensed.0).unwrap().check("nullblk", NONE).unwrap_err();
    assert!(matches!(error, ModuleError::NoLicence { .. }), "{error}");
}

#[test]
fn a_driver_reads_and_writes_and_its_memory_is_the_hosts() {
    let disk = Memory::new("test", 16 * SECTOR).unwrap();
    let before = HELD.load(Relaxed);
    let module = load_ramdisk(&disk);
    assert!(HELD.load(Relaxed) > before);
    assert_eq!(module.driver.capacity(), Ok(16));
    assert_eq!(module.driver.write(3, false, &mut InBuf::new(&[7; SECTOR])), Ok(SECTOR));
    assert_eq!(read(&module, 3), Ok([7; SECTOR]));
    assert_eq!(read(&module, 2), Ok([0; SECTOR]));
    assert_eq!(read(&module, 16), Err(Errno::EIO));
}

#[test]
fn parameters_reach_the_driver() {
    let env = DriverEnv { medium: None, device: None, parameters: &[("gb", 2)] };
    let module = found("nullblk").load("nullblk", &HOST, &env).unwrap();
    assert_eq!(module.driver.capacity(), Ok(2 << 21));
}

#[test]
fn a_driver_that_does_not_start_is_an_error() {
    let error = found("ramdisk")
        .load("ramdisk", &HOST, &DriverEnv { medium: None, device: None, parameters: &[] })
        .err()
        .unwrap();
    assert!(matches!(error, ModuleError::Refused { errno: Errno::ENODEV, .. }), "{error}");
}

/// A second entry into one copy is refused by it, so two loads that succeed are two copies, with statics of their own.
#[test]
fn two_loads_are_two_instances() {
    let disks = [Memory::new("test", SECTOR).unwrap(), Memory::new("test", SECTOR).unwrap()];
    let modules = disks.each_ref().map(load_ramdisk);
    assert!(modules[0].range.end <= modules[1].base || modules[1].range.end <= modules[0].base);
    for (module, byte) in modules.iter().zip([1, 2]) {
        assert_eq!(module.driver.write(0, false, &mut InBuf::new(&[byte; SECTOR])), Ok(SECTOR));
    }
    assert_eq!(modules.each_ref().map(|module| read(module, 0).unwrap()[0]), [1, 2]);
}

/// What `/proc/self/maps` says of the page at an address: its permissions.
fn permissions(at: usize) -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let parse = |text| usize::from_str_radix(text, 16).unwrap();
        range.is_some_and(|(start, end)| (parse(start)..parse(end)).contains(&at))
    });
    line.and_then(|line| line.split(' ').nth(1)).unwrap_or("none").into()
}

#[test]
fn patch_room_lies_near_and_symbols_lead_into_the_text() {
    let disk = Memory::new("test", SECTOR).unwrap();
    let module = load_ramdisk(&disk);
    assert_eq!([module.patch_code, module.patch_data, module.base].map(permissions), ["r-xp", "rw-p", "r--p"]);
    assert!(module.patch_code.abs_diff(module.base) < 1 << 30);
    let file = found("ramdisk");
    let locate = file.symbol("Ramdisk::locate").unwrap();
    assert_eq!(locate.name, "kd_ramdisk::Ramdisk::locate");
    let at = module.base + locate.address;
    assert!(module.range.contains(&at));
    assert_eq!(permissions(at), "r-xp");
    let code = symbols::code(file.bytes(), &locate).unwrap();
    // SAFETY: the text of a module that stays loaded, which nobody writes.
    let loaded = unsafe { std::slice::from_raw_parts(at as *const u8, code.len()) };
    assert_eq!(code, loaded);
    assert_eq!(file.symbol("no such function"), None);
}
