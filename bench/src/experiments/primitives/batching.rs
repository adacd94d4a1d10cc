//! Batching: the same blocks from a server in another process, asked for one after the other, submitted with several under
//! way, and in vectored requests.
//!
//! The server is awake and answers at once: what several requests under way save is the switch between two processes on
//! one core, and waiting for each other on two. A server that itself waits, as a disk's does, has more to gain.

use std::io;

use kd_api::interfaces::block::{BlockDevice, SECTOR};
use kd_api::{Blocks, OutBuf, Result, Ticket};
use kd_nucleus::socket::Socket;
use kd_report::schema::Record;
use kd_report::stats;
use serde::{Deserialize, Serialize};

use super::copying::{self, BY_DEFAULT, PROCESSES};
use super::rig::{self, Part};
use super::{Cell, RESAMPLES};
use crate::experiments::records::Subject;

/// How the blocks are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Batching {
    /// A call for each.
    Calls,
    /// Submitted, with so many under way.
    Depth(usize),
    /// In requests of so many.
    Vectored(usize),
}

/// All ways, the one first that the others are compared with.
const WAYS: [Batching; 6] = [
    Batching::Calls,
    Batching::Depth(1),
    Batching::Depth(2),
    Batching::Depth(4),
    Batching::Vectored(4),
    Batching::Vectored(16),
];
/// Blocks of a round, ...
const BLOCKS: usize = 16;
/// ... of so many bytes.
const BLOCK: usize = 4096;
/// Most requests under way.
const DEPTH_MAX: usize = 4;

impl Batching {
    fn workload(self) -> String {
        match self {
            Batching::Calls => "batch_calls".into(),
            Batching::Depth(depth) => format!("batch_depth_{depth}"),
            Batching::Vectored(blocks) => format!("batch_vectored_{blocks}"),
        }
    }
}

/// What is measured, with the cores for it. A quick run asks for it on one.
pub(super) fn parts(quick: bool) -> impl Iterator<Item = (Part, usize)> {
    let cores = if quick { 1..=1 } else { 1..=2 };
    cores.flat_map(|cores| WAYS.map(|way| (Part::Batch(way), cores)))
}

/// For each way what a block takes, and that over a call for each.
pub(super) fn records(cells: &[Cell], cores: usize, seed: u64) -> Vec<Record> {
    let find = |way| cells.iter().find(|cell| (cell.part, cell.cores) == (Part::Batch(way), cores));
    let mut records = Vec::new();
    let Some(calls) = find(Batching::Calls) else { return records };
    for way in WAYS {
        let Some(cell) = find(way) else { continue };
        let subject = Subject { workload: way.workload(), ..super::subject(BY_DEFAULT, 1, cores) };
        let each: Vec<Vec<f64>> =
            cell.samples.iter().map(|round| round.iter().map(|time| time / BLOCKS as f64).collect()).collect();
        let time = stats::estimate(&each, stats::median, RESAMPLES, seed);
        records.push(subject.estimate("block_time", "median", "ns", time, each.len()));
        if way != Batching::Calls {
            let ratio = stats::ratio(&cell.samples, &calls.samples, stats::median, RESAMPLES, seed);
            records.push(subject.estimate("batch_ratio", "median", "ratio", ratio, each.len()));
        }
    }
    records
}

/// The rig of one way.
pub(super) fn serve(control: &Socket, way: Batching) -> io::Result<()> {
    let mut children = Vec::new();
    let source = copying::source(PROCESSES, BLOCKS * BLOCK, &mut children)?;
    let mut room = vec![0; BLOCKS * BLOCK];
    assert_eq!(read(&*source, way, &mut room), Ok(room.len()), "all blocks come back");
    assert!(room == copying::contents(room.len()), "each in its place");
    rig::rounds(control, || assert_eq!(read(&*source, way, &mut room), Ok(room.len()), "all blocks come back"))
}

fn sector(block: usize) -> u64 {
    (block * BLOCK / SECTOR) as u64
}

/// Reads all blocks; bytes moved.
fn read(source: &dyn BlockDevice, way: Batching, room: &mut [u8]) -> Result<usize> {
    let mut moved = 0;
    match way {
        Batching::Calls => {
            for (block, part) in room.chunks_mut(BLOCK).enumerate() {
                moved += source.read(sector(block), &mut OutBuf::new(part))?;
            }
        }
        Batching::Depth(depth) => {
            let mut under_way: [Option<Ticket<'_, usize>>; DEPTH_MAX] = [const { None }; DEPTH_MAX];
            for (block, part) in room.chunks_mut(BLOCK).enumerate() {
                let ticket = source.submit_read(sector(block), OutBuf::new(part));
                // The oldest under way is the one whose place this one takes, so that there are never more than `depth`.
                let at = (block + 1) % depth.min(DEPTH_MAX);
                under_way[block % depth.min(DEPTH_MAX)] = Some(ticket);
                if let Some(oldest) = under_way[at].take() {
                    moved += oldest.complete()?;
                }
            }
            for ticket in under_way.into_iter().flatten() {
                moved += ticket.complete()?;
            }
        }
        Batching::Vectored(blocks) => {
            for (request, part) in room.chunks_mut(blocks * BLOCK).enumerate() {
                let blocks = Blocks::new(BLOCK, (0..blocks).map(|block| sector(request * blocks + block)))?;
                moved += source.read_many(blocks, &mut OutBuf::new(part))?;
            }
        }
    }
    Ok(moved)
}
