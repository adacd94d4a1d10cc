//! The Markdown pages against the source: paths exist, links lead somewhere, commands are understood, code is quoted
//! word for word, and `unsafe` stands where ARCHITECTURE.md says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PAGES: [&str; 7] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "bench/METHODOLOGY.md",
    "bench/BIAS.md",
    "bench/DIFFERENCES.md",
];
/// Where tests compare kernels with Linux, and except what differs on purpose.
const COMPARING: [&str; 4] = [
    "bench/src/app/script.rs",
    "bench/tests/kernels/differential",
    "crates/boot/src/script.rs",
    "crates/subsystems/tests/differential",
];
/// What a run makes: it may be missing.
const MADE: &str = "reports/latest";
/// First parts of paths of this repository.
const ROOTS: [&str; 8] =
    ["crates/", "bench/", "monolithic/", "microkernel/", "reports/", ".ci/", ".cargo/", "Cargo.toml"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("bench is a member").into()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn pages() -> impl Iterator<Item = (&'static str, String)> {
    PAGES.into_iter().map(|page| (page, read(&workspace().join(page))))
}

/// The pieces of prose between backticks; fenced blocks are not prose.
fn quoted(text: &str) -> Vec<&str> {
    text.split("```").step_by(2).flat_map(|prose| prose.split('`').skip(1).step_by(2)).collect()
}

/// The commands of indented blocks, and of backticks.
fn commands(text: &str) -> Vec<&str> {
    let blocks = text.lines().filter(|line| line.starts_with("    ")).map(str::trim);
    let all = blocks.chain(quoted(text)).filter(|line| line.starts_with("cargo ") || line.starts_with(".ci/"));
    all.map(|line| line.split(" #").next().unwrap_or(line).trim()).collect()
}

#[test]
fn paths_exist() {
    let mut seen = 0;
    for (page, text) in pages() {
        for path in quoted(&text) {
            let plain = !path.contains(['*', '<', ' ', '{']);
            if plain && ROOTS.iter().any(|root| path.starts_with(root)) && !path.starts_with(MADE) {
                assert!(workspace().join(path).exists(), "{page} names `{path}`, which is not there");
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "only {seen} paths were found: are they still written in backticks?");
}

/// Every exception of a test has a row with its reason, and no row speaks of an exception that is gone.
#[test]
fn what_tests_except_stands_in_the_table() {
    let mut marks = BTreeSet::new();
    for place in COMPARING {
        let place = workspace().join(place);
        let files = match place.is_dir() {
            true => fs::read_dir(&place).expect("it is a folder").flatten().map(|entry| entry.path()).collect(),
            false => vec![place],
        };
        for text in files.iter().map(|file| read(file)) {
            let name = |rest: &str| rest.split(|c: char| !c.is_ascii_lowercase() && c != '-').next().map(str::to_owned);
            marks.extend(text.split("differs: ").skip(1).filter_map(name));
        }
    }
    let table = read(&workspace().join("bench/DIFFERENCES.md"));
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split(" | ").collect()).collect();
    assert!(rows.len() > 20 && rows.iter().all(|row| row.len() == 6), "{rows:?}");
    let excepted = rows.iter().filter(|row| row[5] == "excepted |");
    let excepted: BTreeSet<String> = excepted.map(|row| row[0].trim_matches(['|', ' ', '`']).to_owned()).collect();
    assert!(rows.iter().all(|row| ["excepted |", "left out |"].contains(&row[5])), "{rows:?}");
    assert_eq!(marks, excepted);
}

#[test]
fn links_lead_somewhere() {
    let mut seen = 0;
    for (page, text) in pages() {
        let folder = workspace().join(page).parent().expect("a page is in a folder").to_path_buf();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("https://") {
                continue;
            }
            match target.strip_prefix('#') {
                Some(anchor) => assert!(anchors(&text).contains(anchor), "{page} links #{anchor}, which it has not"),
                None => assert!(folder.join(target).exists(), "{page} links {target}, which is not there"),
            }
            seen += 1;
        }
    }
    assert!(seen > 15, "only {seen} links were found");
}

/// Headings, as the anchors that forges make of them.
fn anchors(text: &str) -> BTreeSet<String> {
    let anchor = |heading: &str| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    text.lines()
        .filter_map(|line| line.strip_prefix('#'))
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .collect()
}

/// `cargo debate` commands as far as a parser can tell: the subcommand, its options and the names that they take.
#[test]
fn commands_are_understood() {
    let debate = |arguments: &[&str]| {
        let done = Command::new(env!("CARGO_BIN_EXE_debate")).args(arguments).output().expect("it was built");
        (done.status.success(), String::from_utf8_lossy(&done.stdout).into_owned())
    };
    let (listed, list) = debate(&["list"]);
    assert!(listed);
    let mut seen = 0;
    for (page, text) in pages() {
        for command in commands(&text).into_iter().filter(|command| command.starts_with("cargo debate ")) {
            let mut words = command.split_whitespace().skip(2);
            let subcommand = words.next().expect("it says what to do");
            if subcommand.starts_with(|c: char| !c.is_ascii_lowercase()) {
                continue;
            }
            let (known, help) = debate(&[subcommand, "--help"]);
            assert!(known, "{page}: `{command}`: there is no `debate {subcommand}`");
            let words: Vec<&str> = words.collect();
            for (at, word) in words.iter().enumerate() {
                if word.starts_with("--") {
                    assert!(help.contains(word), "{page}: `{command}`: `debate {subcommand}` has no {word}");
                }
                if matches!(*word, "--workload" | "--kernel" | "--placement" | "--wait") {
                    let value = words.get(at + 1).expect("the option has a value");
                    assert!(list.split([' ', ',', '\n']).any(|name| name == *value), "{page}: there is no {value}");
                }
            }
            seen += 1;
        }
    }
    assert!(seen >= 10, "only {seen} commands were found");
}

#[test]
fn ci_runs_the_readmes_test_command() {
    let readme = read(&workspace().join("README.md"));
    let test = commands(&readme).into_iter().find(|command| command.starts_with("cargo test")).expect("it has one");
    let ci = read(&workspace().join(".ci/run"));
    assert!(ci.lines().any(|line| line == test), ".ci/run does not run `{test}`");
}

/// Blocks that name a file are pieces of it; a line `// ...` stands for what is left out.
#[test]
fn quoted_code_is_that_of_the_files() {
    let text = read(&workspace().join("CONTRIBUTING.md"));
    let mut seen = 0;
    for block in text.split("```rust ").skip(1).filter_map(|rest| rest.split("```").next()) {
        let (path, code) = block.split_once('\n').expect("a block has a first line");
        let source = read(&workspace().join(path));
        let mut rest = source.as_str();
        for piece in pieces(code) {
            let at = rest.find(piece.as_str()).unwrap_or_else(|| panic!("{path} does not go on with:\n{piece}"));
            rest = &rest[at + piece.len()..];
        }
        seen += 1;
    }
    assert_eq!(seen, 4);
}

fn pieces(code: &str) -> Vec<String> {
    let lines: Vec<&str> = code.lines().collect();
    let pieces =
        lines.split(|line| line.trim() == "// ...").map(|piece| piece.join("\n").trim_matches('\n').to_owned());
    pieces.filter(|piece| !piece.is_empty()).collect()
}

#[test]
fn unsafe_stands_where_the_architecture_says() {
    let text = read(&workspace().join("ARCHITECTURE.md"));
    let (_, section) = text.split_once("## Where `unsafe` lives").expect("the section is there");
    let said: BTreeSet<String> =
        quoted(section).into_iter().filter(|path| path.contains("/src/")).map(Into::into).collect();
    let mut files = Vec::new();
    for folder in ["crates", "monolithic/src", "microkernel/src", "bench/src", "bench/benches"] {
        sources(&workspace().join(folder), &mut files);
    }
    // A function that is `unsafe` to call has such a block if it does anything that is.
    let signs = ["unsafe {", "unsafe impl", "[unsafe("];
    let is_unsafe = |file: &&PathBuf| {
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        read(file).lines().filter(is_code).any(|line| signs.iter().any(|sign| line.contains(sign)))
    };
    let relative = |file: &PathBuf| file.strip_prefix(workspace()).expect("it is below").display().to_string();
    let found: BTreeSet<String> = files.iter().filter(is_unsafe).map(relative).collect();
    assert_eq!(found, said);
}

/// Rust files below a folder, tests left out.
fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "tests" && name != "examples" {
            sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests.rs" {
            files.push(path);
        }
    }
}
