//! Disks that are files of the host: what is synced is in the file, and stays there without any kernel.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kd_api::interfaces::block::{BlockDevice, SECTOR};
use kd_api::interfaces::fs::{FileSystem, ROOT};
use kd_api::interfaces::vfs::open;
use kd_api::{InBuf, Ino, OutBuf};
use kd_boot::app::family;
use kd_boot::control::Task;
use kd_boot::devices::{DeviceCounts, Order};
use kd_boot::script::{Call, Data, Outcome};
use kd_crash::disk::{Disk, Image};
use kd_report::schema::{self, Record};
use kd_subsystems::jfs::{Jfs, MountOptions};
use kernel_debate::app::probe::Probed;
use kernel_debate::boot::Boot;
use kernel_debate::experiments::Plan;
use kernel_debate::experiments::macros::on_host;
use kernel_debate::host_disk::HostDisk;

use crate::{Config, LINUX, MONOLITHIC, OURS, PROCESS, failed, outcomes};

const DRIVER: &str = "filedisk";
const KILL: i32 = 9;
/// Bytes of the disk: little, so that a test reads it whole. The file system is on its upper half.
const DISK: usize = 16 << 20;
const PAGE: usize = 4096;
/// What is written, and where.
const DATA: Data = Data { start: 7, length: 20 * PAGE };
const PATH: &str = "/../../../../mnt/f";

/// A folder of one test; removed with all that is in it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("kd-host-disk-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary folder is writable");
        Scratch(path.canonicalize().expect("it is there"))
    }

    fn names(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.0).expect("it is there").flatten().map(|entry| entry.path()).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn boot(config: Config, folder: &Path) -> Boot {
    let mut manifest = config.manifest(4);
    manifest.put_disk_in(folder);
    manifest.entries.iter_mut().filter(|entry| entry.name == DRIVER).for_each(|entry| entry.disk = DISK);
    Boot::new(&manifest).unwrap_or_else(|why| panic!("{config:?}: {why}"))
}

/// What came of the calls, none of which may be missing.
fn script(config: Config, boot: &Boot, app: u32, calls: &[Call]) -> Vec<Outcome> {
    let seen = outcomes(&mut config.script(boot, app, calls));
    assert_eq!(seen.len(), calls.len(), "{config:?}: {seen:?}");
    seen
}

fn open_file(flags: u32) -> Call {
    Call::Open { path: PATH.into(), flags, mode: 0o644 }
}

/// The host's file behind the device of the boot that a process belongs to.
fn host_file(pid: i32, folder: &Path) -> File {
    let parent = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
        stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok()).expect("a number")
    };
    let comm = |pid: i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let mut root = pid;
    while comm(root) != "kd-root\n" {
        root = parent(root);
    }
    let disk = family(root).into_iter().filter(|&pid| comm(pid) == "kd-disk\n");
    let fds = disk.flat_map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).expect("it is ours").flatten());
    let ours = |fd: &fs::DirEntry| fs::read_link(fd.path()).is_ok_and(|file| file.starts_with(folder));
    let fd = fds.into_iter().find(ours).expect("the device has a file there");
    File::open(fd.path()).expect("it is ours")
}

fn bytes(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; DISK];
    file.read_exact_at(&mut bytes, 0).expect("it has the disk's size");
    bytes
}

/// Whether every page of the data is a page of the disk.
fn holds(disk: &[u8]) -> bool {
    DATA.bytes().chunks(PAGE).all(|page| disk.chunks(PAGE).any(|on_disk| on_disk == page))
}

/// Reads the file from the disk's bytes, by a file system that no kernel runs.
fn read_back(disk: &[u8]) -> Vec<u8> {
    let upper = &disk[DISK / 2..];
    let device = Disk::new(&Image::stale(upper.len() / PAGE));
    for (i, block) in upper.chunks(PAGE).enumerate() {
        let written = device.write((i * PAGE / SECTOR) as u64, false, &mut InBuf::new(block));
        assert_eq!(written, Ok(PAGE));
    }
    let options = MountOptions { threads: false, ..MountOptions::default() };
    let fs = Jfs::mount(Arc::new(device), options).expect("it mounts");
    let ino = Ino(fs.lookup(ROOT, "f").expect("it was synced").ino);
    let mut data = vec![0; DATA.length + 1];
    let mut count = 0;
    while let more @ 1.. = fs.read(ino, count as u64, &mut OutBuf::new(&mut data[count..])).expect("readable") {
        count += more;
    }
    data.truncate(count);
    data
}

fn counts(boot: &Boot) -> DeviceCounts {
    boot.device(DRIVER, Order::Count).expect("it has a device")
}

#[test]
fn what_is_synced_is_in_the_hosts_file_and_stays_without_the_kernel() {
    for config in OURS {
        let scratch = Scratch::new("synced");
        let boot = boot(config, &scratch.0);
        let before = counts(&boot);
        let file = host_file(boot.component(DRIVER).expect("it runs").pid, &scratch.0);
        assert!(!holds(&bytes(&file)), "{config:?}");
        let calls = [open_file(open::CREAT | open::RDWR), Call::Pwrite(0, 0, DATA), Call::Fsync(0)];
        let seen = script(config, &boot, 1, &calls);
        assert_eq!(seen[1..], [Outcome::Number(DATA.length as u64), Outcome::Number(0)], "{config:?}");
        let after = counts(&boot);
        // Data and log are flushed, then the commit block is written by force.
        assert!(after.syncs >= before.syncs + 2, "{config:?}: {before:?}, {after:?}");
        assert!(after.written >= before.written + DATA.length as u64, "{config:?}");
        assert!(holds(&bytes(&file)), "{config:?}");
        assert!(scratch.names().is_empty(), "{config:?}: the file has no name");
        drop(boot);
        let disk = bytes(&file);
        assert!(holds(&disk), "{config:?}");
        assert!(read_back(&disk) == DATA.bytes(), "{config:?}");
    }
}

#[test]
fn the_next_kernel_finds_it_on_the_same_file() {
    let scratch = Scratch::new("next");
    let boot = boot(MONOLITHIC, &scratch.0);
    let calls = [open_file(open::CREAT | open::RDWR), Call::Pwrite(0, 0, DATA), Call::Fsync(0)];
    script(MONOLITHIC, &boot, 1, &calls);
    boot.panic_on_oops().expect("the root lives");
    // The driver's process is the kernel's, which the machine reboots.
    boot.signal(DRIVER, KILL).expect("it runs");
    until("a reboot", || boot.component(DRIVER).is_ok_and(|now| now.restarts == 1));
    let read =
        |boot: &Boot, app| script(MONOLITHIC, boot, app, &[open_file(open::RDONLY), Call::Pread(0, 0, 4 * PAGE)]);
    let found = read(&boot, 2).remove(1);
    assert!(matches!(found, Outcome::Bytes(length, _) if length == 4 * PAGE), "{found:?}");
    // The same bytes from a kernel that never ended.
    let other = Scratch::new("other");
    let whole = self::boot(MONOLITHIC, &other.0);
    script(MONOLITHIC, &whole, 1, &calls);
    assert_eq!(read(&whole, 2).remove(1), found);
}

#[test]
fn a_medium_that_fails_is_told_to_whoever_syncs_and_once() {
    let page = Data { length: PAGE, ..DATA };
    for config in [MONOLITHIC, PROCESS] {
        for driver in [DRIVER, "vdisk"] {
            let scratch = Scratch::new("error");
            let boot = if driver == DRIVER { boot(config, &scratch.0) } else { config.boot(4) };
            let count = |order| boot.device(driver, order).expect("it has a device");
            script(config, &boot, 1, &[open_file(open::CREAT | open::RDWR), Call::Pwrite(0, 0, page), Call::Sync]);
            // Everything else of the file is on the disk: the next request is its data.
            count(Order::FailAt(count(Order::Count).completed + 1));
            let again = Data { start: 99, ..page };
            let calls = [open_file(open::RDWR), Call::Pwrite(0, 0, again), Call::Fsync(0), Call::Fsync(0)];
            let seen = script(config, &boot, 2, &calls);
            assert_eq!(seen[2..], [failed("EIO"), Outcome::Number(0)], "{config:?}, {driver}");
            assert_eq!(count(Order::Count).media_errors, 1, "{config:?}, {driver}");
        }
    }
}

#[test]
fn the_hosts_own_kernel_works_in_a_folder_that_goes_with_the_boot() {
    let scratch = Scratch::new("linux");
    let boot = boot(LINUX, &scratch.0);
    let calls = [open_file(open::CREAT | open::RDWR), Call::Pwrite(0, 0, DATA), Call::Fsync(0)];
    let seen = outcomes(&mut LINUX.script(&boot, 1, &calls));
    if seen.is_empty() {
        return println!("skipped: {:?}", boot.log());
    }
    assert_eq!(seen[1..], [Outcome::Number(DATA.length as u64), Outcome::Number(0)]);
    let [folder] = &scratch.names()[..] else { panic!("one folder, for one boot: {:?}", scratch.names()) };
    assert_eq!(fs::read(folder.join("f")).expect("it was written there"), DATA.bytes());
    drop(boot);
    until("the folder is gone", || scratch.names().is_empty());
}

#[test]
fn a_folder_that_is_none_is_told_with_a_remedy() {
    for config in [MONOLITHIC, PROCESS, LINUX] {
        let mut manifest = config.manifest(1);
        manifest.put_disk_in(Path::new("/no/such/folder"));
        let why = Boot::new(&manifest).err().expect("there is no such folder").to_string();
        assert!(why.contains("no disk can be made in /no/such/folder: No such file"), "{config:?}: {why}");
        assert!(why.contains("name a folder that exists and can be written"), "{config:?}: {why}");
    }
}

#[test]
fn workloads_of_the_disk_run_on_it_on_every_kernel() {
    let scratch = Scratch::new("workloads");
    for config in [MONOLITHIC, PROCESS, LINUX] {
        let boot = boot(config, &scratch.0);
        let names = ["disk_append_fsync", "disk_kv_log", "disk_source_tree"];
        let mut app = config.start(&boot, 1, Task::Probe(names.map(String::from).to_vec()));
        let ended: Vec<Probed> = std::iter::from_fn(|| app.line().expect("it is written as such")).collect();
        if config.kernel == LINUX.kernel && ended.is_empty() {
            println!("skipped: {:?}", boot.log());
            continue;
        }
        assert!(ended.len() == 3 && ended.iter().all(|probed| probed.wrong.is_none()), "{config:?}: {ended:?}");
    }
}

/// The medians of a quick run's figures on a disk in this folder, when no time is left.
fn figures(folder: &Path) -> Vec<Record> {
    let host_disk = Ok(HostDisk { folder: folder.into(), file_system: "some".into() });
    let plan = Plan { quick: true, long: false, seed: 1, cores: kernel_debate::meta::cores(), host_disk };
    let mut records = on_host::records(&plan, Duration::ZERO, &mut |_, _| ());
    // What stands behind protection keys is a matter of the machine's and not of its disk.
    let plain = |record: &Record| !record.placement.starts_with("pkey");
    records.retain(|record| record.metric == "latency" && record.statistic == "median" && plain(record));
    records
}

#[test]
fn the_experiment_has_a_figure_of_every_kernel_and_leaves_nothing() {
    let scratch = Scratch::new("experiment");
    let figures = figures(&scratch.0);
    assert_eq!(figures.len(), 4, "monolithic, linux, thread, process: {figures:?}");
    for figure in figures {
        assert_eq!(figure.workload, "filedisk_append_fsync");
        match figure.kernel {
            schema::Kernel::Linux if figure.value.is_none() => println!("skipped: {:?}", figure.reason),
            _ => assert_eq!((figure.value.is_some(), figure.n), (true, Some(3)), "boots at least: {figure:?}"),
        }
    }
    until("the folders are gone", || scratch.names().is_empty());
}

#[test]
fn a_folder_that_is_none_makes_its_figures_unavailable() {
    let figures = figures(Path::new("/no/such/folder"));
    assert_eq!(figures.len(), 4);
    for figure in figures {
        let why = figure.reason.expect("there is no figure");
        assert!(figure.value.is_none() && why.contains("no disk can be made in /no/such/folder"), "{why}");
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
