//! What trials may leave behind: processes, threads, descriptors, and with these memory objects and files.

use std::fs;

use thiserror::Error;

/// How often it is looked whether what remains is still on its way out, and how long in between.
const LOOKS: u32 = 100;
const BETWEEN: std::time::Duration = std::time::Duration::from_millis(20);

/// What this process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    descriptors: usize,
    threads: usize,
    children: usize,
}

/// Something more than before.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("trials left {count} {what} behind")]
pub struct Leftover {
    what: &'static str,
    count: usize,
}

impl Held {
    /// As it is now.
    pub fn now() -> Held {
        let entries = |path: &str| fs::read_dir(path).map_or(0, Iterator::count);
        Held {
            descriptors: entries("/proc/self/fd"),
            threads: entries("/proc/self/task"),
            children: descendants(std::process::id()),
        }
    }

    /// Compares with what is held now. The zygote of the first boot stays, with its socket and its pidfd; what a dead
    /// process held may take the host a moment.
    ///
    /// # Errors
    /// What there is more of.
    pub fn compare(self) -> Result<(), Leftover> {
        const ZYGOTE: (usize, usize) = (2, 1);
        let look = || {
            let now = Held::now();
            let more = |what, before: usize, now: usize| (now > before).then(|| Leftover { what, count: now - before });
            more("processes", self.children + ZYGOTE.1, now.children)
                .or_else(|| more("descriptors", self.descriptors + ZYGOTE.0, now.descriptors))
                .or_else(|| more("threads", self.threads, now.threads))
        };
        for _ in 0..LOOKS {
            if look().is_none() {
                return Ok(());
            }
            std::thread::sleep(BETWEEN);
        }
        look().map_or(Ok(()), Err)
    }
}

/// Processes below one, zombies included.
fn descendants(of: u32) -> usize {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name, in brackets, may hold anything.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        parents.extend(parent.map(|parent| (pid, parent)));
    }
    let (mut count, mut below) = (0, vec![of]);
    while let Some(parent) = below.pop() {
        let children: Vec<u32> = parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid).collect();
        count += children.len();
        below.extend(children);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_stays_is_told() {
        let before = Held::now();
        assert_eq!(before.compare(), Ok(()));
        let mut children: Vec<_> =
            (0..2).map(|_| std::process::Command::new("sleep").arg("60").spawn().expect("a process more")).collect();
        // One is taken for the zygote.
        assert!(descendants(std::process::id()) >= 2);
        assert!(matches!(before.compare(), Err(Leftover { what: "processes", .. })));
        for child in &mut children {
            child.kill().and_then(|()| child.wait()).expect("it ends");
        }
    }
}
