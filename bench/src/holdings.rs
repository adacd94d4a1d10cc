//! What a boot holds of the host: whatever is left of it after a restart has leaked.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

/// For how long nothing changes in a boot that is at rest.
const REST: Duration = Duration::from_millis(200);
/// How long it may take to come to rest.
const PATIENCE: Duration = Duration::from_secs(10);

/// Counts over all processes of a boot but its apps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Processes.
    pub processes: usize,
    /// Threads of all of them.
    pub threads: usize,
    /// Open descriptors of all of them.
    pub descriptors: usize,
    /// Memory objects that each of them maps: an object counts once for each, however many mappings it is in.
    pub memory_objects: usize,
}

impl Holdings {
    /// Those of the boot that an app's process is of; `None` if it is gone.
    pub fn of_boot(app: i32) -> Option<Holdings> {
        let root = parent(app)?;
        let children = fs::read_to_string(format!("/proc/{root}/task/{root}/children")).ok()?;
        let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        let is_app = |pid: &i32| name(*pid).is_none_or(|name| name.starts_with("kd-app"));
        let mut all = Holdings::default();
        for pid in std::iter::once(root).chain(children.filter(|pid| !is_app(pid))) {
            all.add(pid);
        }
        Some(all)
    }

    /// The same once it has not changed for a while: who was just restarted still starts threads when it answers, and the dead
    /// still have theirs. After some seconds whatever it is.
    pub fn at_rest(app: i32) -> Option<Holdings> {
        let begin = Instant::now();
        let (mut held, mut since) = (Holdings::of_boot(app)?, begin);
        while since.elapsed() < REST && begin.elapsed() < PATIENCE {
            std::thread::sleep(REST / 20);
            let now = Holdings::of_boot(app)?;
            if now != held {
                (held, since) = (now, Instant::now());
            }
        }
        Some(held)
    }

    /// A process that ends meanwhile holds nothing.
    fn add(&mut self, pid: i32) {
        let count = |folder: &str| fs::read_dir(format!("/proc/{pid}/{folder}")).map_or(0, Iterator::count);
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        self.processes += 1;
        self.threads += count("task");
        self.descriptors += count("fd");
        // Address, rights, offset, device, inode, path.
        let objects = maps.lines().filter(|line| line.contains("memfd:")).map(|line| line.split_whitespace().nth(4));
        self.memory_objects += objects.collect::<BTreeSet<_>>().len();
    }

    /// Whether nothing has leaked since `before`. A successor may map less than who was there, as it was forked at another
    /// moment.
    pub fn is_within(&self, before: &Holdings) -> bool {
        self.counts().iter().zip(before.counts()).all(|((_, now), (_, then))| *now <= then)
    }

    /// Names and counts.
    pub fn counts(&self) -> [(&'static str, usize); 4] {
        [
            ("processes", self.processes),
            ("threads", self.threads),
            ("descriptors", self.descriptors),
            ("memory_objects", self.memory_objects),
        ]
    }
}

fn name(pid: i32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/comm")).ok()
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may hold anything: the state, and the parent.
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}
