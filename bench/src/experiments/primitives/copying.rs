//! What a byte costs that crosses a boundary: the same call with few bytes and with many, over each transport and directly.
//!
//! A byte that crosses is copied into a window and out of it, where a direct call copies it once. What the difference
//! comes to, for each of the two copies that crossings are counted by, is the cost of a byte.

use std::io;
use std::sync::Arc;

use kd_api::interfaces::block::{BlockDevice, BlockDeviceClient, SECTOR, Statistics, read_each, write_each};
use kd_api::{Blocks, Caller, Errno, InBuf, Interface, OutBuf, Result};
use kd_boot::manifest::WaitName;
use kd_microkernel::thread::{Server, ThreadPort};
use kd_nucleus::arena;
use kd_nucleus::channel::{Bell, Channel, ChannelPort, Pool, Wait};
use kd_nucleus::pkey::{Alone, GatePort};
use kd_nucleus::process::{self, Child};
use kd_report::schema::{Entry, Experiment, Kernel, Record};
use kd_report::stats;
use serde::{Deserialize, Serialize};

use super::rig::{Part, THREADS};
use super::{Cell, RESAMPLES};
use crate::experiments::no_keys;
use crate::experiments::records::Subject;

/// What stands between the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Between {
    /// Nothing.
    Nothing,
    /// Threads.
    Threads,
    /// A gate.
    Keys,
    /// Processes, with crossings that wait so.
    Processes(WaitName),
}

/// Few bytes, and many.
const SIZES: [usize; 2] = [SECTOR, 64 << 10];
/// Between processes, as they wait by default.
pub(super) const BY_DEFAULT: Wait = Wait::Adaptive;
pub(super) const PROCESSES: Between = Between::Processes(WaitName(BY_DEFAULT));

/// What is measured: each side of a difference, on so many cores. A quick run asks for it on one, as programs run there.
pub(super) fn parts(quick: bool) -> impl Iterator<Item = (Part, usize)> {
    let cells = [(Between::Nothing, 1), (Between::Threads, 1), (PROCESSES, 1), (Between::Keys, 1)];
    let more = [(Between::Threads, 2), (PROCESSES, 2)];
    let cells = cells.into_iter().chain(more).filter(move |(_, cores)| !quick || *cores == 1);
    let cells = cells.filter(|(between, _)| *between != Between::Keys || no_keys().is_none());
    cells.flat_map(|(between, cores)| SIZES.map(|bytes| (Part::Copy(between, bytes), cores)))
}

/// The cost of a byte over each transport, from batches that were taken in the same rounds; and what one crossing between
/// threads takes, which has no chains.
pub(super) fn records(cells: &[Cell], seed: u64) -> Vec<Record> {
    let find = |between, bytes, cores| {
        let found = cells.iter().find(|cell| cell.part == Part::Copy(between, bytes) && cell.cores == cores);
        found.map(|cell| &cell.samples)
    };
    // What the many bytes take longer than the few, round by round.
    let longer = |between, cores| -> Option<Vec<f64>> {
        let [few, many] = SIZES.map(|bytes| find(between, bytes, cores));
        let pairs = few?.iter().zip(many?);
        Some(pairs.map(|(few, many)| stats::median(&mut many.clone()) - stats::median(&mut few.clone())).collect())
    };
    let copies = 2.0 * (SIZES[1] - SIZES[0]) as f64;
    let mut records = Vec::new();
    for (between, placement, wait, cores) in [
        (Between::Threads, "thread", "none", 1),
        (Between::Threads, "thread", "none", 2),
        (PROCESSES, "process", Wait::Adaptive.name(), 1),
        (PROCESSES, "process", Wait::Adaptive.name(), 2),
        (Between::Keys, "pkey", "none", 1),
    ] {
        let subject = Subject {
            experiment: Experiment::Primitives,
            kernel: Kernel::Microkernel,
            placement,
            wait,
            entry: Entry::None,
            cores: cores as u32,
            workload: "copy".into(),
        };
        if let (Between::Threads, Some(few)) = (between, find(between, SIZES[0], cores)) {
            let estimate = stats::estimate(few, stats::median, RESAMPLES, seed);
            let subject = Subject { workload: "thread_chain_1".into(), ..subject.clone() };
            records.push(subject.estimate("round_trip", "median", "ns", estimate, few.len()));
        }
        records.push(match (longer(between, cores), longer(Between::Nothing, 1)) {
            (Some(crossing), Some(direct)) => {
                let costs: Vec<Vec<f64>> = crossing.iter().zip(&direct).map(|(a, b)| vec![(a - b) / copies]).collect();
                let estimate = stats::estimate(&costs, stats::median, RESAMPLES, seed);
                subject.estimate("byte_cost", "median", "ns/B", estimate, costs.len())
            }
            _ => {
                let keys = no_keys().filter(|_| between == Between::Keys);
                let why = keys.unwrap_or_else(|| "not measured: there is one core, or the run was a quick one".into());
                subject.unavailable("byte_cost", "median", "ns/B", &why)
            }
        });
    }
    records
}

/// Where bytes come from: memory of the server's.
pub(super) struct Source(Vec<u8>);

/// What so many bytes of it are: a sector's number in each of its bytes.
pub(super) fn contents(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at / SECTOR) as u8).collect()
}

impl Source {
    pub(super) fn new(bytes: usize) -> Source {
        Source(contents(bytes))
    }
}

impl BlockDevice for Source {
    fn capacity(&self) -> Result<u64> {
        Ok((self.0.len() / SECTOR) as u64)
    }

    fn read(&self, sector: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        let from = usize::try_from(sector).ok().and_then(|sector| sector.checked_mul(SECTOR));
        let bytes = from.and_then(|from| self.0.get(from..)).ok_or(Errno::EIO)?;
        Ok(out.write(bytes))
    }

    fn write(&self, _: u64, _: bool, data: &mut InBuf<'_>) -> Result<usize> {
        Ok(data.remaining())
    }

    fn read_many(&self, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        read_each(self, &blocks, out)
    }
    fn write_many(&self, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        write_each(self, &blocks, data)
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn statistics(&self) -> Result<Statistics> {
        Ok(Statistics::default())
    }
}

/// What a client holds of so many bytes.
pub(super) fn source(between: Between, bytes: usize, children: &mut Vec<Child>) -> io::Result<Arc<dyn BlockDevice>> {
    let source = || -> Arc<dyn BlockDevice> { Arc::new(Source::new(bytes)) };
    Ok(match between {
        Between::Nothing => source(),
        Between::Threads => {
            let server = Server::start(<dyn BlockDevice>::server(source()), "source", THREADS);
            Arc::new(BlockDeviceClient::new(Arc::new(ThreadPort::new(&server, Caller::KERNEL))))
        }
        Between::Keys => {
            let domain = Alone::new().and_then(|mut domains| domains.add(|_| <dyn BlockDevice>::server(source())));
            let port = GatePort::new(domain.map_err(io::Error::other)?, 0, Caller::KERNEL);
            Arc::new(BlockDeviceClient::new(Arc::new(port)))
        }
        Between::Processes(WaitName(wait)) => {
            let bell = Bell::new()?;
            let channel = Channel::new("kd-rig", &bell)?;
            let ours = channel.clone();
            // The server's heap is at a place of its own: 0 is the client's.
            children.push(process::fork(|| match arena::adopt(1) {
                Ok(()) => {
                    let served = <dyn BlockDevice>::server(source());
                    Pool::new(vec![(channel, Caller::KERNEL)], bell, served, wait, THREADS).run()
                }
                Err(_) => 1,
            })?);
            Arc::new(BlockDeviceClient::new(Arc::new(ChannelPort::new(ours, wait))))
        }
    })
}
