//! The program as a child with its output read line by line, its family, and a folder that everything else is kept to.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Far above what anything here takes on a busy machine; reached only by a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// An empty folder of one test; removed with all that is in it.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("kd-cli-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("the temporary folder is writable");
        Scratch(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// What is in it, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("it is there").flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The program, for which every usual place to leave a file in is the scratch folder.
pub fn debate(scratch: &Scratch) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_debate"));
    command.current_dir(&scratch.0).env("TMPDIR", &scratch.0).env("HOME", &scratch.0).stdin(Stdio::null());
    command
}

/// The program as it runs.
pub struct Debate {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Debate {
    pub fn start(arguments: &[&str], scratch: &Scratch) -> Debate {
        let mut command = debate(scratch);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().expect("it was piped"));
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Debate { child, lines, seen: Vec::new() }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// The first line from here on that `wanted` finds something in.
    pub fn find<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> T {
        let end = Instant::now() + LIMIT;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let found = wanted(&line);
                    self.seen.push(line);
                    if let Some(found) = found {
                        return found;
                    }
                }
                Err(error) => panic!("{error}; so far:\n{}", self.seen.join("\n")),
            }
        }
    }

    /// The number of the process of this name, from the table at the start.
    pub fn process(&mut self, name: &str) -> i32 {
        self.find(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words.get(2) == Some(&name)).then(|| words[0].parse().ok())?
        })
    }

    /// All processes below it.
    pub fn descendants(&self) -> Vec<Process> {
        let entries = fs::read_dir("/proc").expect("this is Linux").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let all: Vec<Process> = pids.filter_map(Process::find).collect();
        let mut family: Vec<Process> = Vec::new();
        let mut parents = vec![self.pid()];
        while let Some(parent) = parents.pop() {
            let children = all.iter().filter(|process| process.parent == parent);
            family.extend(children.clone());
            parents.extend(children.map(|process| process.pid));
        }
        family
    }

    /// Waits until it ends; its exit code, unless a signal ended it, and its errors.
    pub fn end(&mut self) -> (Option<i32>, String) {
        let mut ended = None;
        until("the program ends", || {
            ended = self.child.try_wait().expect("it is our child");
            ended.is_some()
        });
        let mut err = String::new();
        // The zygote shares this pipe and may live a moment longer; what it leaves is read to its end.
        let _ = self.child.stderr.take().map(|mut pipe| pipe.read_to_string(&mut err));
        (ended.and_then(|status| status.code()), err)
    }
}

impl Drop for Debate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One process, told apart from a later one of the same number by when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pid: i32,
    parent: i32,
    began: u64,
    zombie: bool,
}

impl Process {
    /// From `/proc/<pid>/stat`, see proc(5).
    fn find(pid: i32) -> Option<Process> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let parent = fields.get(1)?.parse().ok()?;
        Some(Process { pid, parent, began: fields.get(19)?.parse().ok()?, zombie: matches!(fields[0], "Z" | "X") })
    }

    /// Whether it still runs. One that has ended may wait for the host's first process to take note of it.
    pub fn runs(self) -> bool {
        Process::find(self.pid).is_some_and(|now| now.began == self.began && !now.zombie)
    }
}

/// Whether a process of this number runs.
pub fn alive(pid: i32) -> bool {
    Process::find(pid).is_some_and(|process| !process.zombie)
}

/// Waits until a process is there no more.
pub fn gone(pid: i32) {
    let begin = Instant::now();
    while alive(pid) {
        assert!(begin.elapsed() < LIMIT, "process {pid} is still there");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sends a signal by the shell's own `kill`, as a person would.
pub fn signal(name: &str, pid: i32) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status();
    assert!(status.expect("there is a shell").success(), "kill -{name} {pid}");
}

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < LIMIT, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
