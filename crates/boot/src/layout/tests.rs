//! Layouts are read as they are meant, and what is wrong with one is named.

use std::collections::BTreeMap;

use kd_api::component::StartError;
use kd_api::interfaces::fs::FileSystem;
use kd_api::interfaces::proc::Proc;
use kd_api::{Component, Errno};

use super::{Layout, SCHEMA, SHIPPED};
use crate::manifest::{Kernel, Placement};
use crate::order::groups;
use crate::policy::{Policy, Restart, Way};

/// Components that nobody starts: only names, kinds and imports count here.
fn registered() -> Vec<Component> {
    let plain = |name: &str, imports: &'static [&'static str]| {
        Component::new::<dyn Proc, ()>(name, imports, |_| Err(StartError::Refused(Errno::ENOSYS)))
    };
    let file_system = |name: &str, imports: &'static [&'static str]| {
        Component::new::<dyn FileSystem, ()>(name, imports, |_| Err(StartError::Refused(Errno::ENOSYS)))
    };
    vec![
        plain("vfs", &["ramfs", "pipe"]),
        file_system("ramfs", &[]),
        file_system("jfs", &["blk"]),
        plain("blk", &["vdisk"]),
        plain("pipe", &[]),
        plain("proc", &[]),
    ]
}

/// The domains with several components, and what stands before them.
fn shared(layout: &Layout) -> BTreeMap<String, Vec<String>> {
    let manifest = layout.manifest(&registered()).expect("it fits");
    let groups = groups(&manifest, |entry| manifest.domain_of(entry)).expect("it is in order");
    let several = groups.into_iter().filter(|group| group.members.len() > 1);
    let mut named: BTreeMap<String, Vec<String>> = several
        .map(|group| {
            let names = group.members.iter().map(|&member| manifest.entries[member].name.clone());
            (group.name, names.collect())
        })
        .collect();
    named.values_mut().for_each(|names| names.sort());
    named
}

fn error(text: &str) -> String {
    let layout = Layout::parse("my.json", text);
    match layout.and_then(|layout| layout.manifest(&registered())) {
        Ok(manifest) => panic!("{text} is taken: {manifest:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn shipped_layouts_follow_the_schema_and_are_all_that_lie_there() {
    let schema = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("and a schema");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/placements");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
        .collect();
    names.retain(|name| name != "placement.schema.json");
    names.sort();
    let mut shipped = SHIPPED.map(|(name, _)| format!("{name}.json"));
    shipped.sort();
    assert_eq!(names, shipped);
    for (name, text) in SHIPPED {
        let json = serde_json::from_str(text).expect("it is JSON");
        let errors: Vec<String> = validator.iter_errors(&json).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0], "{name}");
        Layout::find(name).expect("it is read").manifest(&registered()).expect("it fits");
    }
    for (wrong, what) in [
        (r#"{ "boundary": "process" }"#, "nothing says what it is about"),
        (r#"{ "about": "", "boundary": "proces" }"#, "no such word"),
        (r#"{ "about": "", "boundary": "process", "domain": [] }"#, "no such entry"),
        (r#"{ "about": "", "boundary": "process", "domains": [{ "name": "x" }] }"#, "an empty domain"),
    ] {
        assert!(!validator.is_valid(&serde_json::from_str(wrong).expect("JSON")), "{what}");
        assert!(Layout::parse("my.json", wrong).is_err(), "{what}");
    }
    let words: Vec<&str> =
        schema["properties"]["boundary"]["enum"].as_array().expect("words").iter().filter_map(|w| w.as_str()).collect();
    assert_eq!(words, Placement::ALL.map(Placement::name), "the schema knows every boundary");
}

#[test]
fn shipped_layouts_put_together_what_they_say() {
    let of = |name: &str| shared(&Layout::find(name).expect("it is shipped"));
    let map = |pairs: &[(&str, &[&str])]| -> BTreeMap<String, Vec<String>> {
        pairs.iter().map(|(name, all)| (name.to_string(), all.iter().map(ToString::to_string).collect())).collect()
    };
    let everything = ["blk", "jfs", "nullblk", "pipe", "proc", "ramdisk", "ramfs", "vdisk", "vfs"];
    assert_eq!(of("monolithic"), map(&[("core", &everything)]));
    assert_eq!(of("drivers-isolated"), map(&[("core", &["blk", "jfs", "pipe", "proc", "ramfs", "vfs"])]));
    assert_eq!(of("servers"), map(&[("jfs", &["blk", "jfs"]), ("vfs", &["pipe", "vfs"])]));
    assert_eq!(of("coarse"), map(&[("files", &["blk", "jfs", "pipe", "ramfs", "vfs"])]));
    assert_eq!(of("all-isolated"), map(&[]));
}

#[test]
fn a_shipped_layout_takes_another_boundary() {
    let thread = Layout::find("coarse/thread").expect("it is shipped");
    assert_eq!(
        (thread.name.as_str(), thread.boundary, thread.kernel()),
        ("coarse/thread", Placement::Thread, Kernel::Microkernel)
    );
    assert_eq!(shared(&thread), shared(&Layout::find("coarse").expect("it is shipped")));
    let keys = Layout::find("coarse/pkey").expect("it is shipped");
    assert!(keys.boundary == Placement::Pkey && keys.manifest(&registered()).is_ok_and(|manifest| manifest.has_keys()));
    let monolithic = Layout::find("monolithic").expect("it is shipped");
    assert_eq!((monolithic.boundary, monolithic.kernel()), (Placement::Direct, Kernel::Monolithic));
    for (word, says) in [
        ("coarse/pkeys", "coarse: its name: the boundary cannot be `pkeys`: use thread, pkey-integrity, pkey, process"),
        (
            "coarse/direct",
            "coarse: its name: the boundary cannot be `direct`: use thread, pkey-integrity, pkey, process",
        ),
        ("monolithic/thread", "monolithic: its name: the boundary cannot be `thread`: use direct"),
        (
            "nooks",
            "there is no placement `nooks`: use monolithic, drivers-isolated, coarse, servers, all-isolated, one of",
        ),
        ("gone.json", "cannot read gone.json: No such file"),
    ] {
        let error = Layout::find(word).expect_err(word).to_string();
        assert!(error.starts_with(says), "{error}");
    }
}

#[test]
fn a_name_wins_over_a_kind_and_a_domain_has_its_own_boundary() {
    let text = r#"{ "about": "", "boundary": "process", "domains": [
        { "name": "rest", "components": ["subsystems"] },
        { "name": "fs", "components": ["ramfs"], "boundary": "thread" },
        { "name": "pipes", "components": ["pipe", "drivers"] } ] }"#;
    let manifest = Layout::parse("my.json", text).and_then(|layout| layout.manifest(&registered())).expect("it fits");
    let entry = |name: &str| manifest.entries.iter().find(|entry| entry.name == name).expect("it is there");
    let place = |name: &str| (manifest.domain_of(entry(name)), manifest.process_of(entry(name)));
    assert_eq!(place("vfs"), ("rest", "rest"));
    assert_eq!((place("ramfs"), place("jfs")), (("fs", "core"), ("rest", "rest")));
    assert_eq!((place("pipe"), place("vdisk")), (("pipes", "pipes"), ("pipes", "pipes")));
}

#[test]
fn components_are_left_out_where_nobody_asks_for_them() {
    let text = r#"{ "about": "", "boundary": "process", "without": ["nullblk", "jfs", "blk", "vdisk"] }"#;
    let manifest = Layout::parse("my.json", text).and_then(|layout| layout.manifest(&registered())).expect("it fits");
    let names: Vec<&str> = manifest.entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["vfs", "ramfs", "pipe", "proc", "ramdisk"]);
    assert_eq!(manifest.entries[0].imports, ["ramfs", "pipe", "ramdisk"], "what is not there is not mounted");
}

#[test]
fn policies_go_to_who_is_named_and_else_to_kinds() {
    let text = r#"{ "about": "", "boundary": "process", "policies": [
        { "components": ["drivers"], "policy": { "way": "standby" } },
        { "components": ["vdisk", "vfs"], "policy": { "restart": "on-failure", "deaths": 3 } }] }"#;
    let manifest = Layout::parse("my.json", text).and_then(|layout| layout.manifest(&registered())).expect("it fits");
    let policy = |name: &str| manifest.entries.iter().find(|entry| entry.name == name).expect("it is there").policy;
    let named = Policy { restart: Restart::OnFailure, deaths: 3, ..Policy::default() };
    assert_eq!((policy("vdisk"), policy("vfs")), (named, named));
    assert_eq!(policy("ramdisk"), Policy { way: Way::Standby, ..Policy::default() });
    assert_eq!(policy("ramfs"), Policy::default());
}

#[test]
fn what_is_wrong_is_named_with_its_entry() {
    let policies = |boundary: &str, policies: &str| {
        format!(r#"{{ "about": "", "boundary": "{boundary}", "policies": [{policies}] }}"#)
    };
    let domains = |domains: &str| format!(r#"{{ "about": "", "boundary": "process", "domains": [{domains}] }}"#);
    for (text, says) in [
        ("{".into(), "my.json is no placement: EOF while parsing"),
        (
            r#"{ "about": "", "boundary": "pkeys" }"#.into(),
            "my.json: `boundary`: the boundary cannot be `pkeys`: use thread, pkey-integrity, pkey, process",
        ),
        (
            r#"{ "about": "", "boundary": "process", "others": 1 }"#.into(),
            "my.json is no placement: unknown field `others`",
        ),
        (
            r#"{ "about": "", "boundary": "direct", "domains": [{ "name": "a", "components": ["vfs"] }] }"#.into(),
            "my.json: `domains`: nothing stands between components",
        ),
        (
            domains(r#"{ "name": "a", "components": ["vsf"] }"#),
            "my.json: domain `a`: there is no component `vsf`; there are: vfs, ramfs,",
        ),
        (
            domains(r#"{ "name": "a", "components": ["vfs"], "boundary": "direct" }"#),
            "my.json: domain `a`: the boundary cannot be `direct`: use thread, pkey-integrity, pkey, process",
        ),
        (
            domains(r#"{ "name": "a", "components": ["vfs"] }, { "name": "b", "components": ["pipe", "vfs"] }"#),
            "my.json: domain `b`: `vfs` is named before: name it once",
        ),
        (
            domains(r#"{ "name": "a", "components": ["vfs"] }, { "name": "a", "components": ["pipe"] }"#),
            "my.json: domain `a`: `a` is named before",
        ),
        (domains(r#"{ "name": "pipe", "components": ["vfs"] }"#), "my.json: domain `pipe`: `pipe` is named before"),
        (
            domains(r#"{ "name": "a", "components": ["jfs", "vdisk"] }"#),
            "my.json: `domains`: domains need each other: `jfs` in `a` imports `blk` in `blk`, `blk` in `blk` imports \
             `vdisk` in `a`: put these components into one domain, or one of them elsewhere",
        ),
        (
            r#"{ "about": "", "boundary": "process", "without": ["vdisk"] }"#.into(),
            "my.json: `without`: `blk` imports `vdisk`, which the manifest does not contain: add it or drop the import",
        ),
        (
            r#"{ "about": "", "boundary": "process", "without": ["floppy"] }"#.into(),
            "my.json: `without`: there is no component `floppy`",
        ),
        (
            policies("process", r#"{ "components": ["vdsk"], "policy": {} }"#),
            "my.json: policy 1: there is no component `vdsk`; there are: vfs, ramfs,",
        ),
        (
            policies("process", r#"{ "components": ["vdisk"], "policy": { "deaths": 0 } }"#),
            "my.json: policy 1: `deaths` is 0, so that no death is followed by a restart: say `\"restart\": \"never\"`, or 1",
        ),
        (
            policies("process", r#"{ "components": ["vdisk"], "policy": { "restart": "maybe" } }"#),
            "my.json is no placement: unknown variant `maybe`, expected one of `always`, `on-failure`, `never`",
        ),
        (
            policies(
                "process",
                r#"{ "components": ["vdisk"], "policy": {} }, { "components": ["vdisk"], "policy": {} }"#,
            ),
            "my.json: policy 2: `vdisk` is named before: name it once",
        ),
        (
            policies("thread", r#"{ "components": ["vdisk"], "policy": {} }"#),
            "my.json: `policies`: `vdisk` has no process of its own to restart: drop its policy, or place it `process`",
        ),
    ] {
        let error = error(&text);
        assert!(error.starts_with(says), "{text}: {error}");
    }
}
