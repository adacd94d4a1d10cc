//! Domains' memory as another process sees it: this program again, reading what the host shows of it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

use kd_nucleus::arena;
use kd_nucleus::pkey::{THREADS, domain, space};

/// Before a process and pairs of addresses on the command line.
const FLAG: &str = "--outside";
const PAGE: usize = 4096;

/// The memory of some domains, to be looked at from outside.
pub struct Outside(Vec<(usize, usize)>);

/// What is there: pages, and a sum over their places and bytes.
#[derive(Debug, PartialEq)]
pub struct Resident {
    pub pages: usize,
    pub sum: u64,
}

impl Outside {
    /// Arenas, stacks and windows.
    pub fn new(domains: &[usize]) -> Outside {
        // SAFETY: plain system call; hosts that let parents alone look at a process are told otherwise.
        unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
        let of = |domain: &usize| {
            let place = arena::place(domain::place(*domain));
            let stacks = space::STACKS + domain * THREADS * space::STACK;
            let windows = space::message(*domain, 0);
            [
                (place, arena::PLACE),
                (stacks, THREADS * space::STACK),
                (windows, space::message(domain + 1, 0) - windows),
            ]
        };
        Outside(domains.iter().flat_map(of).collect())
    }

    /// Lets another process look.
    pub fn look(&self) -> Resident {
        let words = self.0.iter().flat_map(|(start, size)| [start.to_string(), size.to_string()]);
        let pid = std::process::id().to_string();
        let program = std::env::current_exe().expect("the host tells");
        let told = Command::new(program).args([FLAG, &pid]).args(words).output().expect("it starts");
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        let mut numbers = text.split_whitespace().map_while(|word| word.parse::<u64>().ok());
        let mut next = || numbers.next().unwrap_or_else(|| panic!("it saw nothing: {told:?}"));
        Resident { pages: next() as usize, sum: next() }
    }
}

/// Whether this process is asked to look at another one, which it then does.
pub fn asked() -> bool {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [flag, pid, ranges @ ..] = &words[..] else { return false };
    if flag != FLAG {
        return false;
    }
    let open = |name| File::open(format!("/proc/{pid}/{name}")).expect("the host lets us look");
    let (map, memory) = (open("pagemap"), open("mem"));
    let ranges: Vec<usize> = ranges.iter().map(|word| word.parse().expect("a number")).collect();
    let (mut pages, mut sum) = (0, 0xCBF2_9CE4_8422_2325u64);
    for range in ranges.chunks_exact(2) {
        for page in (range[0]..range[0] + range[1]).step_by(PAGE) {
            const PRESENT: u64 = 1 << 63;
            let (mut entry, mut bytes) = ([0; 8], [0; PAGE]);
            map.read_exact_at(&mut entry, (page / PAGE * 8) as u64).expect("the host tells");
            // What nobody has touched is nowhere.
            if u64::from_le_bytes(entry) & PRESENT != 0 {
                memory.read_exact_at(&mut bytes, page as u64).expect("the host lets us read");
                pages += 1;
                let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
                // Fowler, Noll and Vo's, a word at a time.
                sum = [page as u64]
                    .into_iter()
                    .chain(words)
                    .fold(sum, |sum, word| (sum ^ word).wrapping_mul(0x100_0000_01B3));
            }
        }
    }
    println!("{pages} {sum}");
    true
}
