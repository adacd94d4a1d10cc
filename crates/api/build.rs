//! The version stamp: everything that must be alike on both sides of a module's border, as one line of text.
//!
//! Both sides link the same `kd-api`, so both get it from here. Whether debug assertions are on is added in the source,
//! where the compiler itself knows it.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    let verbose = Command::new(var("RUSTC")).arg("-vV").output().expect("cargo names the compiler it uses");
    let verbose = String::from_utf8_lossy(&verbose.stdout).into_owned();
    let field = |name: &str| verbose.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?").trim();
    println!(
        "cargo::rustc-env=KD_VERMAGIC=rustc {} {}, {} +{}, opt {}, api {:016x}",
        field("release:"),
        field("commit-hash:"),
        var("TARGET"),
        var("CARGO_CFG_TARGET_FEATURE").replace(',', "+"),
        var("OPT_LEVEL"),
        hash_of(&["src", "../api-macros/src"]),
    );
}

/// FNV-1a over the names and contents of all sources below `roots`.
fn hash_of(roots: &[&str]) -> u64 {
    let mut files = Vec::new();
    for root in roots {
        println!("cargo::rerun-if-changed={root}");
        collect(Path::new(root), &mut files);
    }
    files.sort();
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for file in files {
        let content = std::fs::read(&file).expect("a source that was just listed");
        for byte in file.to_string_lossy().bytes().chain(content) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of this repository").flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}
