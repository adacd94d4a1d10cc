//! The request queue: those who wait for the device, and what becomes of them when it is their turn.
//!
//! A request that finds the device with a tag to spare goes straight to it, on its own thread, from and to its caller's
//! own memory ([`Tags`]). Otherwise it takes one of the queue's places and waits. Whoever finishes at the device passes its
//! tag on: the scheduler picks who is next, and those that lie next to it in sectors, before it or behind it, are taken
//! along, so that one request does for all. The thread that was picked does it. Nobody serves the queue but those who wait
//! in it, and while the device is busy the queue gathers: that is its plug.
//!
//! A caller's memory is its own thread's to touch. So a merged request goes through a buffer, and a write that waits
//! stages its data in one first; there is a bounded number of both kinds, and a request that gets none goes alone. Nothing
//! is merged that is larger than half of what one message carries, asked to be stable on its own (`fua`), or vectored.
//!
//! A merged request that fails, or falls short, is undone: each of its requests is sent once more by itself, so that an
//! error meets exactly those that it belongs to.
//!
//! Lock order: the queue's lock is innermost, never held over a call of the device or a copy.

use alloc::sync::Arc;
use core::mem::{replace, take};
use core::ops::Range;

use kd_api::interfaces::block::{BlockDevice, SECTOR};
use kd_api::window::BULK;
use kd_api::{Blocks, Errno, InBuf, OutBuf, Result};
use kd_sync::{Mutex, MutexGuard, WaitQueue};

use super::Options;
use super::elevator::{Elevator, Waiting};
use super::pool::{Buffer, Pool};
use super::statistics::Counters;
use super::tags::Tags;

/// Requests that can wait at once; more wait for a place (Linux's `nr_requests`).
pub const PLACES: usize = 64;
/// Bytes of a merged request: what one message carries, so that it costs one crossing.
pub const MERGED_MAX: usize = BULK;
/// Bytes of a request that may be merged.
const PART_MAX: usize = MERGED_MAX / 2;
/// Requests that become one.
const PARTS: usize = 32;
/// Merged requests at once.
const BOUNCES: usize = 4;
/// Writes that wait with their data staged.
const STAGES: usize = 16;

/// A request as its caller hands it in.
pub struct Request<'a, 'b> {
    pub sector: u64,
    pub data: Data<'a, 'b>,
}

/// Which way a request's bytes go.
pub enum Data<'a, 'b> {
    /// To the caller.
    Read(&'a mut OutBuf<'b>),
    /// To the device, with or without force unit access.
    Write(&'a mut InBuf<'b>, bool),
    /// To the caller, from several places.
    ReadMany(Blocks, &'a mut OutBuf<'b>),
    /// To several places of the device.
    WriteMany(Blocks, &'a mut InBuf<'b>),
}

/// Who waits, and what it takes to serve them.
pub struct Queue {
    device: Arc<dyn BlockDevice>,
    tags: Tags,
    state: Mutex<State>,
    /// Of each place: whoever waits there.
    turns: [WaitQueue; PLACES],
    /// Whoever waits for a place.
    room: WaitQueue,
    counters: Counters,
    clock: fn() -> u64,
}

struct State {
    places: [Place; PLACES],
    elevator: Elevator,
    arrivals: u64,
    bounces: Pool,
    stages: Pool,
}

/// One request's place in the queue.
#[derive(Default)]
struct Place {
    stage: Stage,
    /// A write's data, if it could be staged.
    staged: Option<Buffer>,
}

/// What is to become of a request.
#[derive(Default)]
enum Stage {
    /// There is none.
    #[default]
    Free,
    /// It is being prepared.
    Taken,
    /// It waits: how a scheduler sees it, and its bytes if it may be merged (otherwise 0).
    Waiting(Waiting, usize),
    /// Another one took it along; what it was before.
    Along(Waiting),
    /// It has a tag and goes alone.
    Alone,
    /// It has a tag and takes others along.
    Leads(Merged),
    /// A write was done by another one.
    Written,
    /// A read was done by another one; its bytes begin here.
    Read(Buffer, usize),
}

/// Requests that become one.
struct Merged {
    parts: Parts,
    sector: u64,
    bytes: usize,
    bounce: Buffer,
}

/// Places and sectors of those requests, lowest first.
struct Parts {
    list: [(u8, u16); PARTS],
    count: usize,
}

impl Merged {
    fn new(sector: u64, bounce: Buffer) -> Merged {
        Merged { parts: Parts { list: [(0, 0); PARTS], count: 0 }, sector, bytes: 0, bounce }
    }

    fn is_full(&self) -> bool {
        self.parts.count == PARTS
    }

    /// Takes one more along, before the others or behind them.
    fn add(&mut self, place: usize, bytes: usize, before: bool) {
        let Parts { list, count } = &mut self.parts;
        if before {
            list.copy_within(0..*count, 1);
            self.sector -= (bytes / SECTOR) as u64;
        }
        list[if before { 0 } else { *count }] = (place as u8, (bytes / SECTOR) as u16);
        *count += 1;
        self.bytes += bytes;
    }
}

impl Parts {
    /// Each part's place, and where in the buffer its bytes lie.
    fn ranges(&self) -> impl Iterator<Item = (usize, Range<usize>)> + '_ {
        let mut from = 0;
        self.list[..self.count].iter().map(move |&(place, sectors)| {
            let range = from..from + usize::from(sectors) * SECTOR;
            from = range.end;
            (usize::from(place), range)
        })
    }

    /// The same of all but one.
    fn others(&self, place: usize) -> impl Iterator<Item = (usize, Range<usize>)> + '_ {
        self.ranges().filter(move |(part, _)| *part != place)
    }
}

/// The sector behind a request.
fn end(sector: u64, bytes: usize) -> u64 {
    sector.saturating_add((bytes / SECTOR) as u64)
}

/// Those who wait, each with its place.
fn waiting(places: &[Place]) -> impl Iterator<Item = (usize, &Waiting)> + Clone {
    places.iter().enumerate().filter_map(|(place, Place { stage, .. })| match stage {
        Stage::Waiting(waiting, _) => Some((place, waiting)),
        _ => None,
    })
}

impl State {
    /// Picks who is next, with everything that it takes along; none of them waits any more.
    fn pick(&mut self, now: u64) -> Option<usize> {
        let place = self.elevator.next(waiting(&self.places), now)?;
        let Stage::Waiting(first, bytes) = replace(&mut self.places[place].stage, Stage::Alone) else { return None };
        let mut last = end(first.sector, bytes);
        if bytes > 0
            && self.neighbour(first.write, first.sector, last, MERGED_MAX - bytes).is_some()
            && let Some(bounce) = self.bounces.take()
        {
            let mut merged = Merged::new(first.sector, bounce);
            merged.add(place, bytes, false);
            while !merged.is_full()
                && let room = MERGED_MAX - merged.bytes
                && let Some((next, bytes, before)) = self.neighbour(first.write, merged.sector, last, room)
            {
                merged.add(next, bytes, before);
                if let Stage::Waiting(waiting, _) = self.places[next].stage {
                    self.places[next].stage = Stage::Along(waiting);
                }
                last = end(merged.sector, merged.bytes);
            }
            self.places[place].stage = Stage::Leads(merged);
        }
        self.elevator.issued(first.write, last);
        Some(place)
    }

    /// Somebody who waits and whose sectors end before `first` or begin at `last`: its place, its bytes, and whether it
    /// lies before.
    fn neighbour(&self, write: bool, first: u64, last: u64, room: usize) -> Option<(usize, usize, bool)> {
        self.places.iter().enumerate().find_map(|(place, Place { stage, .. })| {
            let Stage::Waiting(waiting, bytes) = *stage else { return None };
            let fits = bytes > 0 && bytes <= room && waiting.write == write;
            let before = end(waiting.sector, bytes) == first;
            (fits && (before || waiting.sector == last)).then_some((place, bytes, before))
        })
    }
}

impl Request<'_, '_> {
    fn bytes(&self) -> usize {
        match &self.data {
            Data::Read(out) => out.remaining(),
            Data::Write(data, _) => data.remaining(),
            Data::ReadMany(blocks, _) | Data::WriteMany(blocks, _) => blocks.bytes(),
        }
    }

    fn is_write(&self) -> bool {
        matches!(self.data, Data::Write(..) | Data::WriteMany(..))
    }

    /// Whether it lies in one piece.
    fn is_one(&self) -> bool {
        matches!(self.data, Data::Read(_) | Data::Write(..))
    }

    /// Another one did it, and these bytes were moved.
    fn take(&mut self, bytes: &[u8]) {
        match &mut self.data {
            Data::Read(out) | Data::ReadMany(_, out) => out.write(bytes),
            Data::Write(data, _) | Data::WriteMany(_, data) => {
                data.skip(bytes.len());
                bytes.len()
            }
        };
    }
}

impl Queue {
    pub fn new(device: Arc<dyn BlockDevice>, options: &Options) -> Queue {
        let state = State {
            places: core::array::from_fn(|_| Place::default()),
            elevator: Elevator::new(options.scheduler),
            arrivals: 0,
            bounces: Pool::new(BOUNCES, MERGED_MAX),
            stages: Pool::new(STAGES, PART_MAX),
        };
        Queue {
            device,
            tags: Tags::new(options.depth),
            state: Mutex::new(state),
            turns: core::array::from_fn(|_| WaitQueue::new()),
            room: WaitQueue::new(),
            counters: Counters::default(),
            clock: options.clock,
        }
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Requests that wait, and requests at the device.
    #[cfg(test)]
    pub fn load(&self) -> (usize, u32) {
        (waiting(&self.state.lock().places).count(), self.tags.in_use())
    }

    /// Does a request, now or when its turn comes; returns bytes.
    #[inline]
    pub fn submit(&self, mut request: Request<'_, '_>) -> Result<usize> {
        if !self.tags.try_take() {
            return self.wait(request);
        }
        let result = self.issue(&mut request);
        self.finish();
        result
    }

    /// Sends a request to the device as it came; this thread holds a tag.
    fn issue(&self, request: &mut Request<'_, '_>) -> Result<usize> {
        let (result, blocks) = match &mut request.data {
            Data::Read(out) => (self.device.read(request.sector, out), None),
            Data::Write(data, fua) => (self.device.write(request.sector, *fua, data), None),
            Data::ReadMany(blocks, out) => (self.device.read_many(*blocks, out), Some(blocks)),
            Data::WriteMany(blocks, data) => (self.device.write_many(*blocks, data), Some(blocks)),
        };
        match blocks {
            None => self.counters.completed(request.is_write(), &result),
            Some(&mut blocks) => self.counters.completed_many(request.is_write(), &blocks, &result),
        }
        result
    }

    /// Gives a tag back, or passes it on to whoever is next.
    #[inline]
    fn finish(&self) {
        if !self.tags.give_back() {
            self.pass_on();
        }
    }

    #[cold]
    fn pass_on(&self) {
        loop {
            let mut state = self.state.lock();
            let next = state.pick((self.clock)());
            self.tags.set_waiting(waiting(&state.places).next().is_some());
            drop(state);
            match next {
                Some(place) => return self.turns[place].wake_all(),
                // Whoever waited was served by another one's tag meanwhile.
                None if self.tags.give_back() => return,
                None => {}
            }
        }
    }

    /// Waits for a turn, and does what it brings.
    #[cold]
    fn wait(&self, mut request: Request<'_, '_>) -> Result<usize> {
        let bytes = request.bytes();
        let (place, stage) = self.await_turn(&mut request);
        let done = match stage {
            Stage::Leads(merged) => self.lead(place, merged, &mut request),
            Stage::Written => {
                if let Data::Write(data, _) = &mut request.data {
                    data.skip(bytes);
                }
                self.leave(place);
                return Ok(bytes);
            }
            Stage::Read(buffer, from) => {
                request.take(&buffer[from..from + bytes]);
                drop(buffer);
                self.leave(place);
                return Ok(bytes);
            }
            _ => false,
        };
        self.leave(place);
        let result = if done { Ok(bytes) } else { self.issue(&mut request) };
        self.finish();
        result
    }

    /// Takes a place and waits there until it is known what becomes of the request.
    fn await_turn(&self, request: &mut Request<'_, '_>) -> (usize, Stage) {
        let bytes = request.bytes();
        let free = |state: &State| state.places.iter().position(|place| matches!(place.stage, Stage::Free));
        let mut state = self.state.lock();
        let place = loop {
            match free(&state) {
                Some(place) => break place,
                None => state = self.room.wait_while(state, |state| free(state).is_none()),
            }
        };
        state.places[place].stage = Stage::Taken;
        // What wraps around is no neighbour of anything.
        let ends = request.sector.checked_add((bytes / SECTOR) as u64).is_some();
        let mut mergeable = ends && bytes.is_multiple_of(SECTOR) && bytes <= PART_MAX && request.is_one();
        if let Data::Write(data, fua) = &request.data {
            let mut stage = if mergeable && !fua { state.stages.take() } else { None };
            mergeable = stage.is_some();
            if let Some(stage) = stage.as_mut().and_then(Arc::get_mut) {
                // The caller's buffer itself advances when its data is written, and not before.
                MutexGuard::unlocked(&mut state, || data.again().read(&mut stage[..bytes]));
            }
            state.places[place].staged = stage;
        }
        if self.tags.take_or_wait() {
            return (place, Stage::Alone);
        }
        let since = (self.clock)();
        let waiting = Waiting { write: request.is_write(), sector: request.sector, arrival: state.arrivals, since };
        state.arrivals += 1;
        state.places[place].stage = Stage::Waiting(waiting, if mergeable { bytes } else { 0 });
        let undecided = |state: &mut State| matches!(state.places[place].stage, Stage::Waiting(..) | Stage::Along(_));
        state = self.turns[place].wait_while(state, undecided);
        let stage = replace(&mut state.places[place].stage, Stage::Taken);
        (place, stage)
    }

    /// Empties a place; its buffer is for others again.
    fn leave(&self, place: usize) {
        let mut state = self.state.lock();
        if let Some(staged) = take(&mut state.places[place]).staged {
            state.stages.give(staged);
        }
        drop(state);
        self.room.wake_one();
    }

    /// Does a merged request for all its parts, of which this thread's is one. `false` if it failed: then all of them are
    /// as they were, but for not being merged again, and this one still has its tag.
    fn lead(&self, place: usize, mut merged: Merged, request: &mut Request<'_, '_>) -> bool {
        let done = match &request.data {
            Data::Read(_) | Data::ReadMany(..) => self.read_merged(&mut merged),
            Data::Write(..) | Data::WriteMany(..) => self.write_merged(&mut merged),
        };
        let done = done == Ok(merged.bytes);
        let Merged { parts, bounce, bytes, .. } = merged;
        if done {
            self.counters.completed(request.is_write(), &Ok(bytes));
            self.counters.merged(parts.count - 1);
            for (_, range) in parts.ranges().filter(|(part, _)| *part == place) {
                request.take(&bounce[range]);
            }
        }
        let mut state = self.state.lock();
        for (part, range) in parts.others(place) {
            let stage = &mut state.places[part].stage;
            *stage = match replace(stage, Stage::Written) {
                Stage::Along(waiting) if !done => Stage::Waiting(waiting, 0),
                _ if request.is_write() => Stage::Written,
                _ => Stage::Read(bounce.clone(), range.start),
            };
        }
        if !done {
            self.tags.set_waiting(true);
        }
        state.bounces.give(bounce);
        drop(state);
        if done {
            parts.others(place).for_each(|(part, _)| self.turns[part].wake_all());
        }
        done
    }

    fn read_merged(&self, merged: &mut Merged) -> Result<usize> {
        let bounce = Arc::get_mut(&mut merged.bounce).ok_or(Errno::EAGAIN)?;
        let mut out = OutBuf::new(&mut bounce[..merged.bytes]);
        self.device.read(merged.sector, &mut out)?;
        // Not what the driver says: what it did not write are bytes of others.
        Ok(out.written())
    }

    fn write_merged(&self, merged: &mut Merged) -> Result<usize> {
        let mut staged: [Option<Buffer>; PARTS] = Default::default();
        let state = self.state.lock();
        for (staged, (part, _)) in staged.iter_mut().zip(merged.parts.ranges()) {
            staged.clone_from(&state.places[part].staged);
        }
        drop(state);
        let bounce = Arc::get_mut(&mut merged.bounce).ok_or(Errno::EAGAIN)?;
        for (staged, (_, range)) in staged.iter().zip(merged.parts.ranges()) {
            let part = staged.as_ref().ok_or(Errno::EAGAIN)?;
            let bytes = range.len();
            bounce[range].copy_from_slice(&part[..bytes]);
        }
        self.device.write(merged.sector, false, &mut InBuf::new(&bounce[..merged.bytes]))
    }
}
