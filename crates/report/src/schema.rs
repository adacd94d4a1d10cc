//! The results file: what a run was ([`Meta`]) and one [`Record`] for each figure.
//!
//! The table is tidy (Wickham 2014): parameters are columns, so that jq, pandas or R read it as it is. Every field
//! is always written, `null` where there is nothing to say. What must hold between fields is checked by
//! [`check`](crate::check), not by these types.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the layout below; a file of another version is refused.
pub const SCHEMA_VERSION: u32 = 1;

/// One run: its circumstances and all its figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// What was run, where and how.
    pub meta: Meta,
    /// One record for each figure, in the order of measurement.
    pub records: Vec<Record>,
}

/// What a reader needs to judge the figures, or to repeat them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Seed of every random choice of the run.
    pub seed: u64,
    /// Start of the run, RFC 3339.
    pub date: String,
    /// Commit of the source, with `-dirty` where it was changed.
    pub commit: String,
    /// Driver modules that were loaded: name to SHA-256.
    pub modules: BTreeMap<String, String>,
    /// CPU model as the host names it.
    pub cpu: String,
    /// CPU features that matter here (protection keys, invariant clock, ...).
    pub cpu_features: Vec<String>,
    /// Mitigations of CPU flaws that the host has on: name to state.
    pub mitigations: BTreeMap<String, String>,
    /// Kernel of the host.
    pub host_kernel: String,
    /// Cores that the run could use.
    pub cores: u32,
    /// Frequency governor, or why it isn't known.
    pub governor: String,
    /// Clock source of the host.
    pub clock_source: String,
    /// The command that made the run.
    pub command_line: String,
    /// Length of the whole run in seconds.
    pub duration_seconds: f64,
    /// Which plan was followed.
    pub mode: Mode,
    /// Boots for each cell.
    pub boots: u32,
    /// Time budget of each experiment in seconds.
    pub budgets: BTreeMap<String, f64>,
    /// Workload to the group that it is shown in: `syscall`, `file`, `storage`, `macro`, `filedisk`, `scaling`. Files of older
    /// runs have none.
    #[serde(default)]
    pub groups: BTreeMap<String, String>,
    /// The host's file system that disks of the host lay on, with its options; `null` where there was none.
    #[serde(default)]
    pub host_file_system: Option<String>,
    /// CPU time that the hypervisor gave to others, percent; `null` where the host doesn't tell.
    pub stolen_percent: Option<f64>,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Experiment that the figure belongs to.
    pub experiment: Experiment,
    /// Kernel that was measured.
    pub kernel: Kernel,
    /// Boundary between components: `direct`, `thread`, `process`, `host`; where components share domains, the layout's
    /// name (`coarse`), which says `process` unless another boundary follows it (`coarse/thread`).
    pub placement: String,
    /// How a crossing waits: `spin`, `yield`, `block`, `adaptive`, `none`.
    pub wait: String,
    /// How a system call enters the kernel.
    pub entry: Entry,
    /// Core budget: all actors on that many cores.
    pub cores: u32,
    /// What was done.
    pub workload: String,
    /// What was looked at.
    pub metric: String,
    /// How the samples were condensed: `median`, `p99`, `rate`, `total`, ...
    pub statistic: String,
    /// Unit of the value: `ns`, `us`, `ratio`, `count`, ...
    pub unit: String,
    /// The figure, absent where it is unavailable.
    pub value: Option<f64>,
    /// Lower end of the 95 % interval.
    pub ci_low: Option<f64>,
    /// Upper end of the 95 % interval.
    pub ci_high: Option<f64>,
    /// Size of the sample (boots, trials or events).
    pub n: Option<u64>,
    /// Whether the figure may be relied on.
    pub status: Status,
    /// Why it may not, or why there is none.
    pub reason: Option<String>,
}

/// Declares an enum of the schema together with its spelling, so that JSON, tables and queries can't disagree.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$item:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$item])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// Every variant, in the order in which the report shows them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word that stands in the file.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }
    };
}

words! {
    /// The experiments, each a section of the report.
    Experiment {
        /// Parts on their own: a direct call, a crossing, a trap, a codec.
        Primitives = "primitives",
        /// System calls from end to end.
        Latency = "latency",
        /// Whole workloads, and operations on a disk.
        Macro = "macro",
        /// How time grows with the number of files, the size of a file, and the number of apps.
        Scaling = "scaling",
        /// Real faults in a driver, and what they reach.
        Faults = "faults",
        /// Thousands of faults in real code, each on every kernel.
        Campaign = "campaign",
        /// A driver that dies under load, and what comes back.
        Restart = "restart",
        /// Power failures at any moment, and what a file system holds after them.
        Crash = "crash",
    }
}

words! {
    /// What was measured.
    Kernel {
        /// The direct-call core.
        Monolithic = "monolithic",
        /// The message-passing core.
        Microkernel = "microkernel",
        /// The host's own kernel.
        Linux = "linux",
        /// No kernel: the bare mechanism, which nothing can beat.
        Limit = "limit",
        /// No kernel: a subsystem by itself.
        None = "none",
    }
}

words! {
    /// How a system call enters the kernel.
    Entry {
        /// One real mode switch for each system call.
        Trap = "trap",
        /// No mode switch.
        Call = "call",
        /// A ratio in which the microkernel's message counts as its trap: its `call` over the monolith's `trap`.
        Once = "once",
        /// The figure has no entry.
        None = "none",
    }
}

words! {
    /// Whether a figure may be relied on.
    Status {
        /// It may.
        Ok = "ok",
        /// There is no figure; the reason says why.
        Unavailable = "unavailable",
        /// There is one, but the run didn't hold still.
        Unstable = "unstable",
    }
}

words! {
    /// Which plan a run followed.
    Mode {
        /// Few boots, under two minutes.
        Quick = "quick",
        /// All boots.
        Full = "full",
        /// All boots, and one experiment at length.
        Long = "long",
    }
}
