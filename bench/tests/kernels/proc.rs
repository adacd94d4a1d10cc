//! What `/proc` says against what the root, the manifest and the module files say, in every placement.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kd_api::interfaces::vfs::open;
use kd_boot::control::Task;
use kd_boot::manifest::{Kernel, Manifest, Placement, Source};
use kd_boot::script::{Call, Data, Outcome};
use kd_nucleus::module::ModuleFile;
use kernel_debate::boot::Boot;

use crate::{Config, MONOLITHIC, PROCESS, config, outcomes};

const LIMIT: Duration = Duration::from_secs(20);
const THREAD: Config = config(Kernel::Microkernel, Placement::Thread, false);
const PLACEMENTS: [Config; 3] = [MONOLITHIC, THREAD, PROCESS];

/// The texts of files, read by an app of its own: what one leaves behind is released some time after its end.
pub fn texts(config: Config, boot: &Boot, app: u32, paths: &[String]) -> Vec<String> {
    let mut app = config.start(boot, app, Task::Text(paths.to_vec()));
    let text = |path: &String| {
        let text: Result<String, String> = app.line().expect("a line").expect("the app lives");
        text.unwrap_or_else(|errno| panic!("{config:?}: {path}: {errno}"))
    };
    paths.iter().map(text).collect()
}

fn text(config: Config, boot: &Boot, name: &str) -> String {
    texts(config, boot, 1, &[format!("/proc/{name}")]).concat()
}

/// The files of the components, each as its fields.
fn components(config: Config, boot: &Boot, app: u32, manifest: &Manifest) -> Vec<BTreeMap<String, String>> {
    let paths: Vec<String> = manifest.entries.iter().map(|entry| format!("/proc/components/{}", entry.name)).collect();
    let fields = |text: String| {
        let field = |line: &str| line.split_once(":\t").map(|(name, value)| (name.to_owned(), value.to_owned()));
        text.lines().filter_map(field).collect()
    };
    texts(config, boot, app, &paths).into_iter().map(fields).collect()
}

#[test]
fn a_component_is_where_the_root_has_put_it() {
    let registered = kd_subsystems::components();
    for config in PLACEMENTS {
        let (manifest, boot) = (config.manifest(1), config.boot(1));
        for (entry, fields) in manifest.entries.iter().zip(components(config, &boot, 1, &manifest)) {
            let status = boot.component(&entry.name).expect("it runs");
            let field = |name: &str| fields.get(name).map_or("none", String::as_str);
            assert_eq!((field("Name"), field("State")), (entry.name.as_str(), "running"), "{config:?}");
            assert_eq!(field("Placement"), config.placement.name(), "{config:?}: {}", entry.name);
            assert_eq!(field("Domain"), status.pid.to_string(), "{config:?}: {}", entry.name);
            assert_eq!(field("Restarts"), status.restarts.to_string(), "{config:?}: {}", entry.name);
            let interface = registered.iter().find(|component| component.name == entry.name);
            assert_eq!(field("Interface"), interface.map_or("BlockDevice", |found| found.interface.name));
            let hash = match entry.source {
                Source::Module(_) => ModuleFile::find(&entry.name).expect("it is built").sha256(),
                Source::Subsystem => "none".into(),
            };
            assert_eq!(field("Module"), hash, "{config:?}: {}", entry.name);
            // Messages are seen where they pass a channel between processes.
            let counted = field("Crossings").parse::<u64>().is_ok();
            assert_eq!(counted, config.placement == Placement::Process, "{config:?}: {fields:?}");
        }
    }
}

#[test]
fn memory_adds_up_domain_by_domain() {
    for config in PLACEMENTS {
        let (manifest, boot) = (config.manifest(1), config.boot(1));
        let meminfo = text(config, &boot, "meminfo");
        let mut lines = meminfo.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let total = lines.next().expect("a total");
        assert_eq!((total[0], total[2]), ("Resident:", "kB"), "{config:?}: {meminfo}");
        let (mut sum, mut seen) = (0, BTreeSet::new());
        for line in lines {
            let kilobytes: u64 = line[1].parse().expect("a number");
            assert!(kilobytes > 0, "{config:?}: {meminfo}");
            sum += kilobytes;
            for name in line[3].split(',') {
                let pid = boot.component(name).expect("it runs").pid;
                assert_eq!(line[0], format!("Domain{pid}:"), "{config:?}: {name}");
                assert!(seen.insert(name.to_owned()), "{config:?}: {name} counts twice");
            }
        }
        assert_eq!(total[1], sum.to_string(), "{config:?}: {meminfo}");
        let all: BTreeSet<String> = manifest.entries.iter().map(|entry| entry.name.clone()).collect();
        assert_eq!(seen, all, "{config:?}");
    }
}

#[test]
fn modules_mounts_and_command_line_are_the_manifests() {
    for config in PLACEMENTS {
        let (manifest, boot) = (config.manifest(1), config.boot(1));
        let names = ["modules", "mounts", "cmdline", "uptime"].map(|name| format!("/proc/{name}"));
        let texts = texts(config, &boot, 1, &names);
        let modules = manifest.entries.iter().filter(|entry| matches!(entry.source, Source::Module(_)));
        let line = |name: &str| format!("{name} Live {}\n", ModuleFile::find(name).expect("it is built").sha256());
        assert_eq!(texts[0], modules.map(|entry| line(&entry.name)).collect::<String>(), "{config:?}");
        let mounts: BTreeSet<&str> = texts[1].lines().collect();
        let expected = [
            "ramfs / ramfs rw 0 0",
            "devtmpfs /dev devtmpfs rw 0 0",
            "procfs /proc procfs rw 0 0",
            "jfs /mnt jfs rw 0 0",
        ];
        assert_eq!((mounts, texts[1].lines().count()), (expected.into(), expected.len()), "{config:?}");
        let Config { kernel, placement, .. } = config;
        let expected = format!("kernel={} placement={} wait=", kernel.name(), placement.name());
        assert!(texts[2].starts_with(&expected) && texts[2].ends_with('\n'), "{config:?}: {}", texts[2]);
        assert!(texts[3].trim_end().parse::<f64>().is_ok_and(|seconds| seconds > 0.0), "{config:?}: {}", texts[3]);
    }
}

#[test]
fn the_kernel_log_is_the_roots() {
    for config in PLACEMENTS {
        let boot = config.boot(1);
        if config.placement == Placement::Process {
            boot.signal("kv", 9).expect("it runs");
            let begin = Instant::now();
            while !boot.component("kv").is_ok_and(|now| now.restarts == 1) {
                assert!(begin.elapsed() < LIMIT, "it is never restarted");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let log = || boot.log().expect("the root lives").into_iter().map(|(_, line)| line).collect::<Vec<_>>();
        let before = log();
        let kmsg = text(config, &boot, "kmsg");
        let line = |line: &str| line.split_once("] ").expect("a time and a text").1.to_owned();
        let lines: Vec<String> = kmsg.lines().map(line).collect();
        assert_eq!(before.is_empty(), config.placement != Placement::Process, "only what happened is told");
        assert!(lines.starts_with(&before), "{config:?}: {before:?}, then {lines:?}");
        assert!(log().starts_with(&lines), "{config:?}: {lines:?}");
    }
}

/// Counted twice, by the clients of a counting kernel and by its supervisor at the channels.
#[test]
fn crossings_are_those_that_clients_count() {
    const TRIES: u32 = 40;
    /// Components that nobody calls while `/proc` is read.
    const QUIET: [&str; 4] = ["ramdisk", "jfs", "blk", "vdisk"];
    let manifest = Manifest { trace: true, ..PROCESS.manifest(TRIES + 1) };
    let boot = Boot::new(&manifest).expect("it boots");
    let file = |path: &str| Call::Open { path: path.into(), flags: open::CREAT | open::RDWR, mode: 0o644 };
    let mut calls = vec![file("/../../../../dev/ram0"), file("/../../../../mnt/crossings")];
    for at in 0..10 {
        calls.push(Call::Pread(0, at * 4096, 4096));
        calls.push(Call::Pwrite(1, at * 4096, Data { start: 1, length: 4096 }));
    }
    calls.extend([Call::Fsync(1), Call::Close(0), Call::Close(1)]);
    let seen = outcomes(&mut PROCESS.script(&boot, 1, &calls));
    assert!(seen.len() == calls.len() && !seen.iter().any(|o| matches!(o, Outcome::Failed(_))), "{seen:?}");
    let counted = || -> BTreeMap<String, u64> {
        let counts = boot.counts().expect("the root lives");
        let of = |name: &str| {
            // Edges, by caller and component: `vfs>jfs/FileSystem.read`.
            let own = counts.iter().filter(|count| count.0.split(['>', '/']).nth(1) == Some(name));
            own.map(|count| count.1).sum()
        };
        QUIET.iter().map(|name| ((*name).to_owned(), of(name))).collect()
    };
    let told = |app| -> BTreeMap<String, u64> {
        let files = components(PROCESS, &boot, app, &manifest).into_iter();
        let quiet = files.filter(|fields| QUIET.contains(&fields["Name"].as_str()));
        quiet.map(|fields| (fields["Name"].clone(), fields["Crossings"].parse().expect("a number"))).collect()
    };
    // The supervisor writes them down when it next looks.
    for app in 2..=TRIES + 1 {
        let (expected, told) = (counted(), told(app));
        if told == expected {
            assert!(expected.values().all(|count| *count > 0), "{expected:?}");
            assert!(expected["ramdisk"] >= 10 && expected["jfs"] >= 10, "{expected:?}");
            return;
        }
        assert!(app <= TRIES, "/proc says {told:?}, clients counted {expected:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
