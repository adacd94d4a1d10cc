//! The parts that criterion times, as data: a new one is a row here.

use kd_boot::manifest::WaitName;
use kd_nucleus::channel::Wait;
use kd_report::schema::{Entry, Experiment, Kernel};

use super::rig::Part;
use crate::experiments::records::Subject;

/// One figure of criterion's.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    /// What is done.
    pub workload: &'static str,
    /// Whose part it is.
    pub kernel: Kernel,
    /// What stands between the two sides.
    pub placement: &'static str,
    /// What goes round, if two sides do; a part without is one thread's.
    pub part: Option<Part>,
    /// Cores that it runs on.
    pub cores: usize,
}

const fn alone(workload: &'static str, kernel: Kernel, placement: &'static str) -> Timed {
    Timed { workload, kernel, placement, part: None, cores: 1 }
}

const fn limit(workload: &'static str, part: Part, cores: usize) -> Timed {
    Timed { workload, kernel: Kernel::Limit, placement: "process", part: Some(part), cores }
}

const fn thread(cores: usize) -> Timed {
    let part = Some(Part::Thread);
    Timed { workload: "thread_crossing", kernel: Kernel::Microkernel, placement: "thread", part, cores }
}

const fn process(wait: Wait, cores: usize) -> Timed {
    let part = Some(Part::chain(wait, 1));
    Timed { workload: "process_crossing", kernel: Kernel::Microkernel, placement: "process", part, cores }
}

/// All of them.
pub const TIMED: [Timed; 18] = [
    alone("direct_call", Kernel::Monolithic, "direct"),
    alone("trap", Kernel::Linux, "host"),
    alone("encode_decode", Kernel::Microkernel, "process"),
    alone("ramfs_write_4k", Kernel::Monolithic, "direct"),
    alone("ramfs_write_4k_kept", Kernel::Microkernel, "process"),
    limit("limit_spin", Part::LimitSpin, 2),
    limit("limit_spin_one_line", Part::LimitOneLine, 2),
    limit("limit_futex", Part::LimitFutex, 1),
    limit("limit_futex", Part::LimitFutex, 2),
    thread(1),
    thread(2),
    process(Wait::Spin, 2),
    process(Wait::Yield, 1),
    process(Wait::Yield, 2),
    process(Wait::Block, 1),
    process(Wait::Block, 2),
    process(Wait::Adaptive, 1),
    process(Wait::Adaptive, 2),
];

impl Timed {
    /// How it waits; crossbeam's own way has no name here.
    fn wait(&self) -> &'static str {
        match self.part {
            Some(Part::LimitSpin | Part::LimitOneLine) => Wait::Spin.name(),
            Some(Part::LimitFutex) => Wait::Block.name(),
            Some(Part::Process(WaitName(wait), _)) => wait.name(),
            Some(Part::Thread | Part::Copy(..) | Part::Batch(_) | Part::Payload(..)) => "none",
            Some(Part::LimitKeys | Part::Gate | Part::Keys(_)) | None => "none",
        }
    }

    /// Its name in criterion's filters and folders.
    pub fn id(&self) -> String {
        let wait = match self.part {
            Some(Part::Process(..)) => format!("_{}", self.wait()),
            _ => String::new(),
        };
        match self.part {
            Some(_) => format!("{}{wait}_{}", self.workload, if self.cores == 1 { "one_core" } else { "two_cores" }),
            None => self.workload.into(),
        }
    }

    /// Its columns, and its metric.
    pub(super) fn subject(&self) -> (Subject, &'static str) {
        let subject = Subject {
            experiment: Experiment::Primitives,
            kernel: self.kernel,
            placement: self.placement,
            wait: self.wait(),
            entry: Entry::None,
            cores: self.cores as u32,
            workload: self.workload.into(),
        };
        (subject, if self.part.is_some() { "round_trip" } else { "cost" })
    }
}
