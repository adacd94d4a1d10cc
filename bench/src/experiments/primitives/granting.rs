//! Granting: a payload that is copied through windows beside one that stays where its reader maps it, over one server and
//! through two, and the size from which the grant is faster.
//!
//! Every reader looks at every byte once, as users of a payload do. Copied, it lies in private memory then; granted, it is
//! looked at where it is, through a few KiB of stack at a time, since no slice may be made of memory that a peer can
//! write. Who needs it in one private piece (`read()` promises that) copies it out: that is the third way.

use std::io;
use std::sync::Arc;

use kd_api::around::Around;
use kd_api::grant::Pool;
use kd_api::interfaces::block::{BlockDevice, BlockDeviceAround, BlockDeviceClient, SECTOR};
use kd_api::{Caller, Errno, InBuf, Interface, Operation, OutBuf, Result};
use kd_nucleus::arena;
use kd_nucleus::channel::{self, Bell, Channel, ChannelPort};
use kd_nucleus::process::{self, Child};
use kd_nucleus::socket::Socket;
use kd_report::schema::Record;
use kd_report::stats::{self, Estimate};
use serde::{Deserialize, Serialize};

use super::copying::{self, BY_DEFAULT, Source};
use super::rig::{self, Part, THREADS};
use super::{Cell, RESAMPLES};
use crate::experiments::records::Subject;

/// How the payload comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum By {
    /// Through windows.
    Copy,
    /// Granted, and looked at in place.
    Grant,
    /// Granted, and copied into private memory.
    GrantOut,
}

impl By {
    const ALL: [By; 3] = [By::Copy, By::Grant, By::GrantOut];

    /// Its metrics: the time, over the copy's, and the size from which it is less.
    fn metrics(self) -> (&'static str, &'static str, &'static str) {
        match self {
            By::Copy => ("copied", "", ""),
            By::Grant => ("granted", "granted_ratio", "grants_win_from"),
            By::GrantOut => ("granted_out", "granted_out_ratio", "grants_out_win_from"),
        }
    }
}

/// Bytes of a payload, up to eight messages' worth.
pub(super) const SIZES: [usize; 6] = [4 << 10, 16 << 10, 64 << 10, 128 << 10, 256 << 10, 1 << 20];
const QUICK: [usize; 3] = [4 << 10, 64 << 10, 1 << 20];
/// Bytes looked at together.
const PIECE: usize = 4096;
/// A difference of less is not called one, as everywhere.
const TOLERANCE: f64 = 0.05;

fn workload(hops: u32, bytes: Option<usize>) -> String {
    match bytes {
        Some(bytes) => format!("payload_hops_{hops}/kib_{}", bytes >> 10),
        None => format!("payload_hops_{hops}"),
    }
}

/// Chains with the cores on which they are looked at.
const fn chains(quick: bool) -> &'static [(u32, usize)] {
    if quick { &[(1, 1)] } else { &[(1, 1), (2, 1), (1, 2)] }
}

fn sizes(quick: bool) -> &'static [usize] {
    if quick { &QUICK } else { &SIZES }
}

/// What is measured, with the cores for it.
pub(super) fn parts(quick: bool) -> impl Iterator<Item = (Part, usize)> {
    chains(quick).iter().flat_map(move |&(hops, cores)| {
        let each = sizes(quick).iter().flat_map(move |&bytes| By::ALL.map(|by| Part::Payload(by, bytes, hops)));
        each.map(move |part| (part, cores))
    })
}

/// Times and ratios of each size, and where a grant starts to win.
pub(super) fn records(cells: &[Cell], quick: bool, available: usize, seed: u64) -> Vec<Record> {
    let mut records = Vec::new();
    for &(hops, cores) in chains(quick).iter().filter(|(_, cores)| *cores <= available) {
        let find = |by, bytes| {
            let found = cells.iter().find(|cell| cell.part == Part::Payload(by, bytes, hops) && cell.cores == cores);
            found.map_or(&[][..], |cell| &cell.samples)
        };
        let subject = |bytes| Subject { workload: workload(hops, bytes), ..super::subject(BY_DEFAULT, 1, cores) };
        for by in By::ALL {
            let (time, over, wins) = by.metrics();
            let mut ratios = Vec::new();
            for &bytes in sizes(quick) {
                let (ours, copied) = (find(by, bytes), find(By::Copy, bytes));
                let subject = subject(Some(bytes));
                let estimate = stats::estimate(ours, stats::median, RESAMPLES, seed);
                records.push(subject.estimate(time, "median", "ns", estimate, ours.len()));
                if by != By::Copy {
                    let ratio = stats::ratio(ours, copied, stats::median, RESAMPLES, seed);
                    records.push(subject.estimate(over, "median", "ratio", ratio, ours.len()));
                    ratios.push((bytes, ratio));
                }
            }
            if by != By::Copy {
                let rounds = find(by, sizes(quick)[0]).len() as u64;
                records.push(match wins_from(&ratios) {
                    Some(bytes) => subject(None).value(wins, "threshold", "bytes", bytes as f64, rounds),
                    None => {
                        let largest = sizes(quick).last().map_or(0, |bytes| bytes >> 10);
                        let reason = format!("nowhere for certain up to {largest} KiB");
                        subject(None).unavailable(wins, "threshold", "bytes", &reason)
                    }
                });
            }
        }
    }
    records
}

/// The smallest size at which, and at every larger one, the whole interval lies below what is called a difference.
fn wins_from(ratios: &[(usize, Option<Estimate>)]) -> Option<usize> {
    let wins = |ratio: &Option<Estimate>| ratio.is_some_and(|ratio| ratio.interval.high < 1.0 - TOLERANCE);
    ratios.iter().rev().take_while(|(_, ratio)| wins(ratio)).last().map(|(bytes, _)| *bytes)
}

/// Passes on what it is asked, as a VFS does.
struct Through;

impl Around for Through {
    fn around<R>(&self, _: &'static Operation, _: usize, operation: impl FnOnce() -> R) -> R {
        operation()
    }
}

/// A client of `hops` servers in a row, each a process, that all map the pool.
fn chain(pool: &Arc<Pool>, bytes: usize, hops: u32, children: &mut Vec<Child>) -> io::Result<Arc<dyn BlockDevice>> {
    let mut next: Arc<dyn BlockDevice> = Arc::new(Source::new(bytes));
    for hop in 0..hops {
        let bell = Bell::new()?;
        let channel = Channel::new("kd-rig", &bell)?.with_pools(std::slice::from_ref(pool));
        let ours = channel.clone();
        // The servers' heaps are at places of their own: 0 is the client's.
        children.push(process::fork(|| match arena::adopt(1 + hop as usize) {
            Ok(()) => {
                let around: Arc<dyn BlockDevice> = Arc::new(BlockDeviceAround { around: Through, inner: next.clone() });
                let served = <dyn BlockDevice>::server(around);
                channel::Pool::new(vec![(channel, Caller::KERNEL)], bell, served, BY_DEFAULT, THREADS).run()
            }
            Err(_) => 1,
        })?);
        next = Arc::new(BlockDeviceClient::new(Arc::new(ChannelPort::new(ours, BY_DEFAULT))));
    }
    Ok(next)
}

/// The rig of one way.
pub(super) fn serve(control: &Socket, by: By, bytes: usize, hops: u32) -> io::Result<()> {
    let mut children = Vec::new();
    let pool = channel::pool(bytes)?;
    let source = chain(&pool, bytes, hops, &mut children)?;
    let mut grant = pool.take(bytes).ok_or_else(|| io::Error::other("the pool has room for its payload"))?;
    let mut private = vec![0; bytes];
    let expected = sum(&copying::contents(bytes));
    rig::rounds(control, || {
        let found = match by {
            By::Copy => read(&*source, OutBuf::new(&mut private)).map(|()| sum(&private)),
            By::Grant => read(&*source, grant.output()).map(|()| in_place(grant.input())),
            By::GrantOut => read(&*source, grant.output()).map(|()| {
                grant.input().read(&mut private);
                sum(&private)
            }),
        };
        assert_eq!(found, Ok(expected), "every byte comes, and is right");
    })
}

fn read(source: &dyn BlockDevice, mut out: OutBuf<'_>) -> Result<()> {
    while out.remaining() > 0 {
        if source.read((out.written() / SECTOR) as u64, &mut out)? == 0 {
            return Err(Errno::EIO);
        }
    }
    Ok(())
}

fn in_place(mut input: InBuf<'_>) -> u64 {
    let mut piece = [0; PIECE];
    let mut total = 0u64;
    while input.remaining() > 0 {
        let count = input.read(&mut piece);
        total = total.wrapping_add(sum(&piece[..count]));
    }
    total
}

/// Looks at every byte. Pieces of a payload are whole words, so that their sums add up to its own.
fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap_or_default()));
    words.fold(0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use kd_report::stats::Interval;

    use super::*;

    fn ratio(low: f64, high: f64) -> Option<Estimate> {
        Some(Estimate { value: (low + high) / 2.0, interval: Interval { low, high }, boots: 4 })
    }

    #[test]
    fn a_grant_wins_from_where_no_larger_size_says_otherwise() {
        let (wins, even) = (ratio(0.7, 0.8), ratio(0.8, 0.99));
        assert_eq!(wins_from(&[(1, even), (2, wins), (3, wins)]), Some(2));
        assert_eq!(wins_from(&[(1, wins), (2, even), (3, wins)]), Some(3));
        assert_eq!(wins_from(&[(1, wins), (2, wins), (3, even)]), None);
        assert_eq!(wins_from(&[(1, wins), (2, None), (3, wins)]), Some(3));
        assert_eq!(wins_from(&[(1, wins), (2, wins)]), Some(1));
        assert_eq!(wins_from(&[]), None);
    }
}
