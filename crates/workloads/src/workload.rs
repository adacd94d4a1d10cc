//! What a workload is, and what the harness may ask of one that has been started.

use kd_api::Errno;

use crate::Env;

/// What a workload asks a kernel for, by which reports put it together with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// One system call, its way through the kernel and its data.
    Syscall,
    /// One operation on a file or directory, under lmbench's names.
    File,
    /// The same on what a block device holds, and the device itself.
    Storage,
    /// What a whole program does.
    Macro,
    /// One operation at a point of a scale: so many files, so large a file.
    Scaling,
}

impl Group {
    /// Every group, in the order of reports.
    pub const ALL: [Group; 5] = [Group::Syscall, Group::File, Group::Storage, Group::Macro, Group::Scaling];

    /// Its name in results.
    pub const fn name(self) -> &'static str {
        match self {
            Group::Syscall => "syscall",
            Group::File => "file",
            Group::Storage => "storage",
            Group::Macro => "macro",
            Group::Scaling => "scaling",
        }
    }
}

/// One kind of work, as data and as the means to start it.
pub trait Workload: Send + Sync {
    /// Its name, in snake_case, by which results and command lines call it.
    fn name(&self) -> &'static str;
    /// What one operation is, and what it shows: a sentence or two.
    fn about(&self) -> &'static str;
    /// What it belongs with.
    fn group(&self) -> Group {
        Group::Syscall
    }
    /// The component it exercises most; `core` for the kernel core itself.
    fn subject(&self) -> &'static str;
    /// Apps at work: 1, or 2 with a partner.
    fn actors(&self) -> u32 {
        1
    }
    /// The longest chain of servers below the app in a kernel that isolates every component.
    fn hops(&self) -> u32;
    /// What it needs that not every kernel has; where that is missing, its start fails with `ENOENT`.
    fn needs(&self) -> Option<&'static str> {
        None
    }
    /// Bytes of data that one operation moves, where throughput is what people ask for.
    fn bytes(&self) -> Option<usize> {
        None
    }
    /// Whether it calls a component of ours directly, which the host's kernel cannot have.
    fn is_service(&self) -> bool {
        false
    }
    /// Whether its rounds check data that a fault could spoil, so that it is fit as load for faults and restarts.
    fn verifies(&self) -> bool {
        true
    }
    /// The operation of its subject that a fault campaign spoils under this load: for a component that is compiled in,
    /// a method of its interface; for a driver module, a part of a function's name. `None`: it is no campaign's load.
    fn faulty_operation(&self) -> Option<&'static str> {
        None
    }
    /// The same at a point of its scale, as in `dir_stat/files_1000`: for a workload of [`Group::Scaling`], which is at the
    /// first point unless asked. `None` for a point that it does not have.
    fn at(&self, point: &str) -> Option<Box<dyn Workload>> {
        let _ = point;
        None
    }
    /// Makes what it needs in the kernel.
    ///
    /// # Errors
    /// Those of the calls it makes.
    fn start(&self, env: &Env) -> Result<Box<dyn Session>, Errno>;
}

/// A workload at work. Dropping it removes its files, as far as the kernel still answers.
pub trait Session: Send {
    /// How many operations one preparation suffices for; `None` for work that needs none.
    fn batch(&self) -> Option<u64> {
        None
    }

    /// How many operations one call carries: a fair number of operations is a multiple of that.
    fn together(&self) -> u64 {
        1
    }

    /// Makes ready for so many operations, outside the timed part: makes what they will remove, removes what the last
    /// ones made. To be called before each [`Session::run`], for at most [`Session::batch`] operations.
    ///
    /// # Errors
    /// Those of the calls.
    fn prepare(&mut self, operations: u64) -> Result<(), Errno> {
        let _ = operations;
        Ok(())
    }

    /// The timed loop: this many operations, and nothing but their calls (and, in a [`Group::Macro`] workload, the
    /// computation that it was told to make); it allocates nothing.
    ///
    /// # Errors
    /// Those of the calls; `EIO` for an answer of another length than asked for. The session stays usable.
    fn run(&mut self, operations: u64) -> Result<(), Errno>;

    /// Makes one operation and compares its answer with the expected one, outside the timed part.
    ///
    /// # Errors
    /// How the answer differs.
    fn check(&mut self) -> Result<(), Wrong>;

    /// One round of load: writes data derived from `round`, and compares everything acknowledged that it touches.
    ///
    /// A round may fail and later ones be good again: a session opens anew what a kernel has forgotten.
    fn verify(&mut self, round: u64) -> Verdict {
        let _ = round;
        self.check().into()
    }

    /// Reads back everything that was ever acknowledged; nothing, for a workload that stores nothing.
    fn audit(&mut self) -> Audit {
        Audit::default()
    }
}

/// How an answer differs from the expected one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// There was an answer, and it is wrong.
    #[error("{0}")]
    Answer(String),
    /// A call failed.
    #[error("a call failed with {0}")]
    Call(#[from] Errno),
}

/// How one round of load went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every call succeeded and every byte was right.
    Good,
    /// An answer was wrong.
    Wrong {
        /// In which way.
        detail: String,
    },
    /// A call failed, and nothing wrong was seen before.
    Failed(Errno),
}

impl From<Result<(), Wrong>> for Verdict {
    fn from(result: Result<(), Wrong>) -> Verdict {
        match result {
            Ok(()) => Verdict::Good,
            Err(Wrong::Answer(detail)) => Verdict::Wrong { detail },
            Err(Wrong::Call(errno)) => Verdict::Failed(errno),
        }
    }
}

/// What became of acknowledged data, in bytes. A byte written more than once counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Bytes whose last successful write was acknowledged.
    pub acknowledged: u64,
    /// Of those, bytes that are not there: the read fails or ends before them, or they are zero.
    pub lost: u64,
    /// Bytes, of those or beside them, that are there with a value that was never to be expected.
    pub wrong: u64,
    /// Operations that were asked for once and happened twice, where a workload can tell.
    pub twice: u64,
}

impl Audit {
    /// Both together.
    pub fn and(self, other: Audit) -> Audit {
        Audit {
            acknowledged: self.acknowledged + other.acknowledged,
            lost: self.lost + other.lost,
            wrong: self.wrong + other.wrong,
            twice: self.twice + other.twice,
        }
    }
}
