//! What is under which key in a whole kernel, as another process sees it; what is refused beside domains; and which memory
//! subsystems have that no key is around. What each key lets through is tested closer to the gates.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use kd_boot::manifest::Kernel;
use kd_nucleus::module::{ModuleFile, symbols};
use kernel_debate::boot::Boot;

use super::{COARSE, PKEY, no_keys};

/// A mapping of a process, its name, and its key.
struct Mapped {
    start: usize,
    access: String,
    name: String,
    key: u32,
}

/// As the host tells it.
fn mapped(pid: i32) -> Vec<Mapped> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps")).expect("it lives");
    let mut all: Vec<Mapped> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some((start, _)) = words[0].split_once('-') {
            let name = words.get(5).copied().unwrap_or_default().to_owned();
            let start = usize::from_str_radix(start, 16).expect("an address");
            all.push(Mapped { start, access: words[1].into(), name, key: 0 });
        } else if words[0] == "ProtectionKey:" {
            all.last_mut().expect("of a mapping").key = words[1].parse().expect("a number");
        }
    }
    all
}

/// Statics, disks, registers and frames of drivers, and arenas, are under the keys of their domains; what all read is under
/// none.
#[test]
fn what_a_domain_writes_is_under_its_key() {
    if no_keys() {
        return;
    }
    for on in PKEY {
        let boot = on.boot(1);
        let status = boot.status().expect("the root lives");
        let maps = mapped(status[0].pid);
        let key_of_arena = |name: &str| {
            let own = status.iter().find(|one| one.name == name).expect("it runs");
            maps.iter().find(|one| one.start == own.arena.0).expect("it has an arena").key
        };
        let keys: BTreeMap<&str, u32> = status.iter().map(|one| (one.name.as_str(), key_of_arena(&one.name))).collect();
        let manifest = on.manifest(1);
        for (a, b) in manifest.entries.iter().flat_map(|a| manifest.entries.iter().map(move |b| (a, b))) {
            let together = manifest.domain_of(a) == manifest.domain_of(b);
            assert_eq!(keys[a.name.as_str()] == keys[b.name.as_str()], together, "{on:?}: {} and {}", a.name, b.name);
        }
        assert!(!keys.values().any(|key| *key == 0), "{on:?}: {keys:?}");
        let of = |name: &str| -> Vec<u32> {
            maps.iter()
                .filter(|one| one.access.starts_with("rw") && one.name.contains(name))
                .map(|one| one.key)
                .collect()
        };
        assert_eq!(of("kd-disk-ramdisk"), [keys["ramdisk"]], "{on:?}");
        for part in ["kd-registers", "kd-frames"] {
            let seen = of(part);
            assert!(!seen.is_empty() && seen.iter().all(|key| *key == keys["vdisk"]), "{on:?}: {part}: {seen:?}");
        }
        let mut drivers: Vec<u32> = ["ramdisk", "nullblk", "vdisk"].map(|driver| keys[driver]).into();
        let mut statics = of("kd-module");
        drivers.sort_unstable();
        statics.sort_unstable();
        statics.dedup();
        drivers.dedup();
        assert_eq!(statics, drivers, "{on:?}: each module's statics are under its driver's key, and no other");
        let program = fs::read_link("/proc/self/exe").expect("it has a file");
        for common in [&*program.to_string_lossy(), "libc.so", "[heap]", "kd-console"] {
            let seen: Vec<u32> = maps.iter().filter(|one| one.name.contains(common)).map(|one| one.key).collect();
            assert!(!seen.is_empty() && seen.iter().all(|key| *key == 0), "{on:?}: {common}: {seen:?}");
        }
    }
}

/// mov eax, 0x00EF010F; xor ecx, ecx; wrpkru; ret: bytes of the instruction within another, and the instruction itself. Not
/// written out, or this program itself would be refused.
fn planted() -> [u8; 11] {
    let last = !std::hint::black_box(0x10);
    [0xB8, 0x0F, 0x01, last, 0x00, 0x31, 0xC9, 0x0F, 0x01, last, 0xC3]
}

/// The tests of this program again, with one driver module in which so many of these bytes are planted. What it says.
fn with_planted(bytes: usize) -> String {
    let folder = std::env::temp_dir().join(format!("kernel-debate-planted-{bytes}-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a temporary folder");
    let (program, copy) = (std::env::current_exe().expect("it has a file"), folder.join("program"));
    fs::hard_link(&program, &copy).or_else(|_| fs::copy(&program, &copy).map(drop)).expect("a copy of the program");
    for name in ["ramdisk", "nullblk", "vdisk", "filedisk"] {
        let module = ModuleFile::find(name).expect("it was built");
        let mut file = module.bytes().to_vec();
        if name == "nullblk" {
            let place = symbols::find(&file, "flush").expect("it has that function");
            let at = symbols::code(&file, &place).expect("with code").as_ptr() as usize - file.as_ptr() as usize;
            file[at..at + bytes].copy_from_slice(&planted()[..bytes]);
        }
        fs::write(folder.join(module.path().file_name().expect("a name")), file).expect("a copy of a module");
    }
    let arguments = ["--ignored", "--exact", "--nocapture", "pkey::reach::boots_with_what_lies_beside_it"];
    let said = Command::new(&copy).args(arguments).output().expect("it starts");
    let gone = fs::remove_dir_all(Path::new(&folder));
    gone.expect("it was there");
    [said.stdout, said.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat()
}

/// Run by the next test alone.
#[test]
#[ignore = "it is about a driver module that another test plants something in"]
fn boots_with_what_lies_beside_it() {
    match Boot::new(&PKEY[0].manifest(1)) {
        Ok(boot) => println!("booted: {:?}", boot.log().expect("the root lives")),
        Err(error) => println!("refused: {error}"),
    }
}

#[test]
fn a_module_that_changes_rights_is_refused_and_one_that_looks_like_it_is_told() {
    if no_keys() {
        return;
    }
    let whole = with_planted(planted().len());
    assert!(whole.contains("refused: `nullblk` cannot run behind a protection key"), "{whole}");
    assert!(whole.contains("kd-module") && whole.contains("executes WRPKRU"), "{whole}");
    // The first instruction alone, which only holds the bytes.
    let within = with_planted(5);
    assert!(within.contains("booted: "), "{within}");
    assert!(within.contains("has the bytes of WRPKRU at") && within.contains("within other instructions"), "{within}");
}

/// The entry of the manifest that has no key is named, and how many there are.
#[test]
fn more_domains_than_keys_are_refused_and_the_entry_is_named() {
    if no_keys() {
        return;
    }
    let mut manifest = PKEY[0].manifest(1);
    let last = manifest.entries.len();
    // More entries of the same driver: as names they differ, and none of them is ever looked for.
    for number in 0..kd_nucleus::pkey::DOMAINS {
        manifest.add_driver(&format!("driver{number}"), 0, None);
    }
    let keys = kd_nucleus::pkey::keys::count().expect("there are some") - 1;
    let first = manifest.entries[keys.max(last.min(keys))].name.clone();
    let why = Boot::new(&manifest).err().expect("it has too few keys").to_string();
    assert!(why.contains(&format!("`{first}`")) && why.contains(&format!("keys for {keys}")), "{why}");
}

/// Two disks at neighbouring places, of which the first is too large for its own.
#[test]
fn a_disk_that_reaches_into_anothers_place_is_refused_and_named() {
    for kernel in [Kernel::Monolithic, Kernel::Microkernel] {
        let on = if kernel == Kernel::Monolithic { crate::MONOLITHIC } else { COARSE };
        if kernel == Kernel::Microkernel && no_keys() {
            continue;
        }
        let mut manifest = on.manifest(1);
        let at = manifest.entries.iter().position(|entry| entry.name == "ramdisk").expect("it is standard");
        // The next entry is a driver as well, here with a disk.
        manifest.entries[at].disk = kd_nucleus::arena::PLACE + 4096;
        assert_eq!(manifest.entries[at + 1].name, "nullblk");
        manifest.entries[at + 1].disk = 4096;
        let why = Boot::new(&manifest).err().expect("there is no room").to_string();
        assert!(why.contains("the disk of `nullblk` (4096 bytes) has no room at place"), "{why}");
    }
}

/// Everywhere, with keys or without: what several domains' code would write is in no domain's own memory.
#[test]
fn subsystems_have_no_variables_of_their_own() {
    let program = fs::read("/proc/self/exe").expect("the host tells");
    let variables = symbols::variables(&program);
    let of = |part: &str| variables.iter().filter(|name| name.contains(part)).cloned().collect::<Vec<_>>();
    assert!(!of("kd_nucleus::").is_empty(), "none was found at all: {variables:?}");
    for part in ["kd_subsystems::", "kd_api::", "hashbrown::", "foldhash::", "postcard::"] {
        assert_eq!(of(part), [""; 0], "{part}");
    }
}

/// A module's variables are its domain's, thread-local ones would be the program's: no domain writes those.
#[test]
fn modules_have_no_thread_local_variables_of_their_own() {
    for name in ["ramdisk", "nullblk", "vdisk", "filedisk"] {
        let module = ModuleFile::find(name).expect("it was built");
        let local = symbols::thread_locals(module.bytes());
        // The standard library's own are there, and domains do not come to them: a panic ends them before.
        assert!(!local.is_empty(), "none was found at all");
        let own = local.iter().filter(|name| !name.starts_with("std::")).collect::<Vec<_>>();
        assert!(own.is_empty(), "{name}: {own:?}");
    }
}
