//! What the harness asks of a root process, and what it answers.
//!
//! One request, one answer, over the control socket. What happens meanwhile (deaths, restarts, oopses) is noted with
//! its time and handed over when asked for.

use serde::{Deserialize, Serialize};

use crate::Manifest;
use crate::devices::{DeviceCounts, Order};
use crate::version::Upgrade;

/// A request; with it may come descriptors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Boot this kernel; comes with the page of a witness if it is told to fail.
    Boot(Box<Manifest>),
    /// Start an app; comes with its board and the writing end of a pipe for its results.
    Start(AppRun),
    /// Tell what runs.
    Status,
    /// Tell what happened since the last time.
    Events,
    /// Send a signal to a component's process, or to the whole kernel's if it has none of its own.
    Signal(String, i32),
    /// End an app.
    Kill(u32),
    /// Have a component's device do something, and tell what it counted.
    Device(String, Order),
    /// Tell what was counted (kernels booted with `trace`).
    Counts,
    /// Kill and fork again, once, a process that holds so many bytes and does nothing: the least that a restart takes.
    BareRestart(usize),
    /// Tell what the kernel log holds.
    Log,
    /// Put another version of a driver module in its place; what comes of it is told as an event.
    Upgrade(Upgrade),
    /// From the next oops on, end the machine; the root reboots the kernel when it died.
    PanicOnOops,
}

/// How an app enters the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Entry {
    /// Each system call pays one real mode switch: an empty system call of the host.
    Trap,
    /// It does not.
    Call,
}

impl Entry {
    /// Its name in results.
    pub const fn name(self) -> &'static str {
        match self {
            Entry::Trap => "trap",
            Entry::Call => "call",
        }
    }
}

/// An app to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AppRun {
    /// Its number, from 1 to the manifest's `apps`.
    pub app: u32,
    /// What it does.
    pub task: Task,
    /// Whether it has a process of its own even where the kernel could hold it as a thread.
    pub own_process: bool,
}

/// What an app does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Task {
    /// Measures cells one after the other and writes one JSON line for each to its results.
    Measure(Vec<Cell>),
    /// Runs rounds of a verifying workload until its board says stop, then audits all that was acknowledged.
    Rounds {
        /// The workload.
        workload: String,
        /// Rounds a second, each due at its time whether or not the last one is done; 0: as fast as it goes.
        rate: u32,
        /// How it enters.
        entry: Entry,
    },
    /// Keeps a file of known content ([`canary`]) and checks it over and over: an app that never uses what is faulty.
    Canary(u64),
    /// Runs a workload's timed loop for so many milliseconds (0: until stopped), for profilers and people.
    Loop {
        /// The workload.
        workload: String,
        /// Milliseconds.
        milliseconds: u64,
    },
    /// Runs the timed loop of each named workload together with other apps, from when its board says so until it says so, and
    /// writes how many operations that were.
    Together {
        /// The workloads.
        workloads: Vec<String>,
        /// How they enter.
        entry: Entry,
    },
    /// Tries each named workload once and writes how it ended; a probe that hangs is the harness's to kill.
    Probe(Vec<String>),
    /// Does a fixed number of operations, after as many to warm up, and writes what a counting kernel counted.
    Count(Vec<String>),
    /// Makes these calls and writes what came of each.
    Script {
        /// The directory that the app's own is made in; empty for the root.
        under: String,
        /// The calls.
        calls: Vec<crate::script::Call>,
    },
    /// Makes operations of a workload one by one, so many on each of these budgets of cores, and writes how long each took
    /// from interrupt to driver and from there to the app (kernels booted with `trace`).
    Interrupts {
        /// Each of its operations is one request of a device with a ring.
        workload: String,
        /// Cores that everything of this boot is bound to, one budget after the other.
        budgets: Vec<Vec<usize>>,
        /// Operations on each.
        operations: u64,
    },
    /// Takes steps of a load as its board says, and asks these components when it is to probe.
    Steps {
        /// The load.
        load: Load,
        /// The components.
        probes: Vec<String>,
    },
    /// Reads these files whole and writes their texts.
    Text(Vec<String>),
}

/// A load in steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Load {
    /// Reads and writes of the block device at this path.
    Device(String),
    /// Operations on the file system that this directory is in.
    Files(String),
    /// Writes and reads of one file in this directory.
    File(String),
    /// Values of the key-value store.
    Values,
    /// The app's own number.
    Identity,
}

/// One measurement of one boot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cell {
    /// The workload.
    pub workload: String,
    /// How it enters.
    pub entry: Entry,
    /// The cores that everything of this boot is bound to.
    pub cores: Vec<usize>,
    /// Rounds of user computation in each operation.
    pub compute: u64,
    /// Nanoseconds for it, warm-up included.
    pub budget: u64,
}

/// What an app measured in one cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// The workload.
    pub workload: String,
    /// How it entered.
    pub entry: Entry,
    /// Cores it had.
    pub cores: usize,
    /// Nanoseconds per operation of each batch.
    pub batches: Vec<f64>,
    /// Operations measured.
    pub operations: u64,
    /// CPU nanoseconds per operation, over all processes of the boot.
    pub cpu: f64,
    /// Context switches per operation, over all processes of the boot.
    pub switches: f64,
    /// Why there is no figure, if there is none.
    pub failed: Option<String>,
}

/// An answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Done.
    Done,
    /// Refused or failed: why, and what to do.
    Failed(String),
    /// The kernel runs; nanoseconds since the request.
    Booted(u64),
    /// An app runs as this process.
    Started(i32),
    /// What runs.
    Status(Vec<Status>),
    /// What happened.
    Events(Vec<Event>),
    /// Lines of the kernel log, oldest first: when, and what.
    Log(Vec<(u64, String)>),
    /// What a device counted.
    Device(DeviceCounts),
    /// Nanoseconds of a bare restart, from the kill to the successor's first instruction.
    BareRestart(u64),
    /// Per component and operation of its interface (`vfs/Vfs.open`): crossings, and bytes copied.
    Counts(Vec<(String, u64, u64)>),
}

/// One component as it runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// The process it is in.
    pub pid: i32,
    /// The process that stands by to take its place, once that is ready; in a kernel in one process, that of its successor.
    pub standby: Option<i32>,
    /// How often it was restarted.
    pub restarts: u32,
    /// Where its code can be patched, if it was loaded as a module.
    pub patch: Option<Patch>,
    /// First address and size of its domain's arena.
    pub arena: (usize, usize),
    /// The same of its store, if it has one.
    pub store: Option<(usize, usize)>,
    /// Counters of its clients: violations, repeated calls, calls of unknown outcome.
    pub counters: [u64; 3],
}

/// Where a fault injector can work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// Where the module's image begins.
    pub base: usize,
    /// An unused page that may be executed.
    pub code: usize,
    /// An unused page that may be written.
    pub data: usize,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// When it was noticed.
    pub at: u64,
    /// The component, or `kernel`, or `app N`.
    pub who: String,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// Its code faulted, by this signal: noted by its own process as it died, which the supervisor noticed later.
    Faulted(String),
    /// Its process ended.
    Died(String),
    /// It made no progress and was ended.
    Hung(String),
    /// It broke the protocol and was ended.
    Violated,
    /// It was ended because what it imports was restarted, as its policy asks.
    Followed(String),
    /// It runs again.
    Restarted,
    /// Another version of its module took its place.
    Upgraded(String),
    /// Another version was to take its place and did not: the old one is at work.
    NotUpgraded(String),
    /// It died too often and stays dead.
    GivenUp,
    /// It ended, and its policy leaves it so.
    Stays,
    /// A fault in kernel code that the kernel survived.
    Oops(String),
    /// The kernel ended itself.
    Panic(String),
    /// A panic that a fence stopped.
    Fenced(String),
}

/// Bytes of a canary's file.
pub const CANARY_BYTES: usize = 4096;

/// The content of the canary of this seed (SplitMix64, Steele, Lea and Flood 2014): bytes found nowhere else.
pub fn canary(seed: u64) -> Vec<u8> {
    let word = |number: u64| {
        let z = seed.wrapping_add((number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    (0..CANARY_BYTES as u64 / 8).flat_map(|number| word(number).to_le_bytes()).collect()
}

/// What apps that take steps leave with components that are not faulty, for nobody else to see: the bytes of a canary too.
pub fn secret(app: u32) -> Vec<u8> {
    canary(1 << 32 | u64::from(app))
}
