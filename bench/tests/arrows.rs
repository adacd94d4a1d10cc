//! Arrows point one way: which crate of the workspace may use which, and which may hold `unsafe`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Every crate with what it may depend on, tests aside. What is not listed may not exist.
const ARROWS: &[(&str, &[&str])] = &[
    ("kd-api-macros", &[]),
    ("kd-api", &["kd-api-macros"]),
    ("kd-sync", &["kd-api"]),
    ("kd-module-rt", &["kd-api", "kd-sync"]),
    ("kd-machine", &["kd-api", "kd-sync"]),
    ("kd-subsystems", &["kd-api", "kd-sync"]),
    ("kd-ramdisk", &["kd-api", "kd-module-rt", "kd-sync"]),
    ("kd-nullblk", &["kd-api", "kd-module-rt", "kd-sync"]),
    ("kd-ringblk", &["kd-api", "kd-sync"]),
    ("kd-vdisk", &["kd-api", "kd-module-rt", "kd-ringblk"]),
    ("kd-filedisk", &["kd-api", "kd-module-rt", "kd-ringblk"]),
    ("kd-workloads", &["kd-api"]),
    ("kd-linux", &["kd-api"]),
    ("kd-crash", &["kd-api", "kd-subsystems"]),
    ("kd-report", &[]),
    ("kd-campaign", &["kd-report"]),
    ("kd-nucleus", &["kd-api", "kd-machine", "kd-sync"]),
    ("kd-boot", &["kd-api", "kd-machine", "kd-nucleus", "kd-sync", "kd-workloads"]),
    ("kd-monolithic", &["kd-api", "kd-boot", "kd-machine", "kd-nucleus", "kd-sync", "kd-workloads"]),
    ("kd-microkernel", &["kd-api", "kd-boot", "kd-machine", "kd-nucleus", "kd-sync", "kd-workloads"]),
    ("kd-faults", &["kd-api", "kd-boot", "kd-machine", "kd-nucleus"]),
];

/// The harness: it may know everything, and nothing may know it.
const HARNESS: &str = "kernel-debate";

/// Where the compiler itself is told to refuse `unsafe`.
const WITHOUT_UNSAFE: &[&str] = &[
    "crates/boot/src/lib.rs",
    "crates/campaign/src/lib.rs",
    "crates/modules/filedisk/src/lib.rs",
    "crates/crash/src/lib.rs",
    "crates/modules/nullblk/src/lib.rs",
    "crates/modules/ramdisk/src/lib.rs",
    "crates/modules/ringblk/src/lib.rs",
    "crates/modules/vdisk/src/lib.rs",
    "crates/report/src/lib.rs",
    "crates/subsystems/src/lib.rs",
    "crates/workloads/src/lib.rs",
];

/// Dependencies within the workspace of each of its crates, without those of tests.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let arguments = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("a list");
    let name = |of: &serde_json::Value| of["name"].as_str().expect("a name").to_string();
    let known: Vec<String> = packages.iter().map(name).collect();
    let used = |package: &serde_json::Value| {
        let all = package["dependencies"].as_array().expect("a list").iter();
        all.filter(|used| used["kind"] != "dev").map(name).filter(|used| known.contains(used)).collect()
    };
    packages.iter().map(|package| (name(package), used(package))).collect()
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

#[test]
fn arrows_point_one_way() {
    let mut dependencies = dependencies();
    assert!(dependencies.remove(HARNESS).is_some(), "{HARNESS} is there");
    for (name, used) in &dependencies {
        let allowed = ARROWS.iter().find(|(of, _)| of == name);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{name} is new: say in ARROWS what it may depend on"));
        let forbidden: Vec<_> = used.iter().filter(|used| !allowed.contains(&used.as_str())).collect();
        assert!(forbidden.is_empty(), "{name} may not depend on {forbidden:?}");
    }
    for (name, allowed) in ARROWS {
        assert!(dependencies.contains_key(*name), "ARROWS names {name}, which is gone");
        for used in *allowed {
            let place = |of: &str| ARROWS.iter().position(|(name, _)| *name == of);
            assert!(place(used) < place(name), "{used} comes before {name}, or there could be a circle");
        }
    }
}

#[test]
fn unsafe_is_forbidden_where_it_has_no_business() {
    for file in WITHOUT_UNSAFE {
        let text = std::fs::read_to_string(root().join(file)).unwrap_or_else(|why| panic!("{file}: {why}"));
        assert!(text.lines().any(|line| line == "#![forbid(unsafe_code)]"), "{file} does not forbid unsafe code");
    }
}
