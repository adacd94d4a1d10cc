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

/// What the first boot leaves for those that follow: the zygote, its socket and its pidfd.
const ZYGOTE: Held = Held { descriptors: 2, threads: 0, children: 1 };

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

    /// Compares with what is held now, the zygote aside. What a dead process held may take the host a moment.
    ///
    /// # Errors
    /// What there is more of.
    pub fn compare(self) -> Result<(), Leftover> {
        for _ in 0..LOOKS {
            if self.more(Held::now()).is_none() {
                return Ok(());
            }
            std::thread::sleep(BETWEEN);
        }
        self.more(Held::now()).map_or(Ok(()), Err)
    }

    /// What there is more of later.
    fn more(self, later: Held) -> Option<Leftover> {
        let more = |what, before, later| (later > before).then(|| Leftover { what, count: later - before });
        more("processes", self.children + ZYGOTE.children, later.children)
            .or_else(|| more("descriptors", self.descriptors + ZYGOTE.descriptors, later.descriptors))
            .or_else(|| more("threads", self.threads, later.threads))
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
    fn what_there_is_more_of_is_told() {
        let before = Held { descriptors: 9, threads: 3, children: 0 };
        let more = |descriptors, threads, children| before.more(Held { descriptors, threads, children });
        // The zygote is no leftover.
        assert_eq!(more(11, 3, 1), None);
        assert_eq!(more(12, 3, 1), Some(Leftover { what: "descriptors", count: 1 }));
        assert_eq!(more(9, 5, 0), Some(Leftover { what: "threads", count: 2 }));
        assert_eq!(more(9, 3, 4), Some(Leftover { what: "processes", count: 3 }));
    }

    #[test]
    fn children_are_counted() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("a process more");
        let now = Held::now();
        // Other tests of this program have children too.
        assert!(now.children >= 1 && now.threads >= 1 && now.descriptors >= 3, "{now:?}");
        child.kill().and_then(|()| child.wait()).expect("it ends");
    }
}
