//! The device itself: takes descriptors, moves data, completes.

use kd_api::device::{Completion, DESCRIPTOR, Descriptor, Op, Outcome, PAGE, QUEUE_MAX, Register, State, status};
use kd_api::interfaces::block::SECTOR;

use super::iommu::Bus;
use super::medium::Medium;
use super::panel::{Count, Panel};
use super::registers::{Registers, Wake};

/// The rings, as the last reset found them in the registers.
#[derive(Clone, Copy, Default)]
struct Queue {
    size: u32,
    submissions: u64,
    completions: u64,
    /// Descriptors taken.
    taken: u32,
    /// Completions written.
    completed: u32,
}

/// A request in hand.
struct Pending {
    /// When it may complete; 0: at once.
    due: u64,
    descriptor: Descriptor,
}

/// A request that ended, but for the medium's being told to make it stable.
struct Ended {
    id: u16,
    outcome: Outcome,
    /// Whether it promises that what it wrote is stable.
    stable: bool,
}

/// A device.
pub struct Controller {
    registers: Registers,
    panel: Panel,
    bus: Bus,
    medium: Medium,
    wake: Wake,
    /// The number in `Control` that the last reset answered.
    session: u64,
    state: State,
    queue: Queue,
    pending: Vec<Pending>,
    ended: Vec<Ended>,
    page: Box<[u8; PAGE]>,
    /// Told just before an interrupt is raised, where somebody wants to know when.
    witness: Option<fn()>,
}

impl Controller {
    /// A device that was just switched on.
    pub fn new(registers: Registers, panel: Panel, bus: Bus, medium: Medium, wake: Wake) -> Controller {
        registers.set(Register::Capacity, medium.sectors());
        Controller {
            registers,
            panel,
            bus,
            medium,
            wake,
            session: 0,
            state: State::Off,
            queue: Queue::default(),
            pending: Vec::with_capacity(QUEUE_MAX),
            ended: Vec::with_capacity(QUEUE_MAX),
            page: Box::new([0; PAGE]),
            witness: None,
        }
    }

    /// The same with a witness of its interrupts.
    pub fn witnessed(self, witness: fn()) -> Controller {
        Controller { witness: Some(witness), ..self }
    }

    /// Its registers.
    pub fn registers(&self) -> &Registers {
        &self.registers
    }

    /// Its medium.
    pub fn medium(&self) -> &Medium {
        &self.medium
    }

    /// Does what is to do, which is a bounded amount; returns in how many nanoseconds there is more.
    pub fn work(&mut self, now: impl Fn() -> u64) -> Option<u64> {
        if !self.panel.power_failed() {
            self.lose_power();
        }
        let control = self.registers.get(Register::Control);
        if control != self.session {
            self.reset(control);
        }
        if self.state != State::Ready {
            return None;
        }
        let more = self.take(&now);
        let rest = self.execute(&now);
        self.complete();
        if self.state != State::Ready { None } else { rest.or(more.then_some(0)) }
    }

    fn lose_power(&mut self) {
        self.medium.lose_power();
        self.panel.put(Count::Dirty, 0);
        self.forget();
        self.enter(State::Off);
        self.panel.follow_power();
    }

    /// Drops every request in hand.
    fn forget(&mut self) {
        self.panel.add(Count::Completed, self.pending.len() as u64);
        self.pending.clear();
        self.ended.clear();
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.registers.set(Register::Status, status(self.session, state));
        self.interrupt();
    }

    fn interrupt(&self) {
        self.panel.add(Count::Interrupts, 1);
        if let Some(witness) = self.witness {
            witness();
        }
        self.registers.interrupt(self.wake);
    }

    fn reset(&mut self, control: u64) {
        self.forget();
        self.session = control;
        self.registers.set(Register::Capacity, self.medium.sectors());
        self.queue = Queue {
            size: u32::try_from(self.registers.get(Register::QueueSize)).unwrap_or(0),
            submissions: self.registers.get(Register::Submissions),
            completions: self.registers.get(Register::Completions),
            ..Queue::default()
        };
        let size = self.queue.size;
        // A completion of an earlier session must not be taken for one of this.
        let whole = size.is_power_of_two()
            && size as usize <= QUEUE_MAX
            && (0..u64::from(size)).all(|entry| {
                let at = self.queue.completions.checked_add(8 * entry);
                at.is_some_and(|at| self.bus.set_word(&self.panel, at, 0).is_some())
            });
        if whole { self.enter(State::Ready) } else { self.fail() }
    }

    /// The driver broke the protocol.
    fn fail(&mut self) {
        self.panel.add(Count::Refused, 1);
        self.forget();
        self.enter(State::Failed);
    }

    /// Takes new descriptors; whether some had to be left.
    fn take(&mut self, now: &impl Fn() -> u64) -> bool {
        let tail = self.registers.get(Register::Tail) as u32;
        let latency = self.panel.latency();
        let due = if latency == 0 || tail == self.queue.taken { 0 } else { now().saturating_add(latency) };
        if tail.wrapping_sub(self.queue.taken) > self.queue.size {
            self.fail();
            return false;
        }
        while self.queue.taken != tail && self.pending.len() + self.ended.len() < QUEUE_MAX {
            let Some(words) = self.descriptor() else {
                self.panel.add(Count::Faults, 1);
                self.fail();
                return false;
            };
            self.queue.taken = self.queue.taken.wrapping_add(1);
            self.panel.add(Count::Requests, 1);
            match Descriptor::parse(words) {
                Ok(descriptor) => self.pending.push(Pending { due, descriptor }),
                Err(id) => self.ended.push(Ended { id, outcome: Outcome::Invalid, stable: false }),
            }
        }
        let depth = self.pending.len() as u64;
        if depth > self.panel.count(Count::Deepest) {
            self.panel.put(Count::Deepest, depth);
        }
        self.queue.taken != tail
    }

    /// The next descriptor's words.
    fn descriptor(&self) -> Option<[u64; DESCRIPTOR]> {
        let index = u64::from(self.queue.taken % self.queue.size);
        let at = self.queue.submissions.checked_add(index * 8 * DESCRIPTOR as u64)?;
        let mut words = [0; DESCRIPTOR];
        for (i, word) in (0..).zip(&mut words) {
            *word = self.bus.word(&self.panel, at.checked_add(8 * i)?)?;
        }
        Some(words)
    }

    /// Does what is due; returns in how many nanoseconds the next is.
    fn execute(&mut self, now: &impl Fn() -> u64) -> Option<u64> {
        let timed = self.pending.iter().any(|pending| pending.due != 0);
        let time = if timed { now() } else { 0 };
        let mut pending = std::mem::take(&mut self.pending);
        pending.retain(|Pending { due, descriptor }| {
            let waits = *due > time;
            if !waits {
                let outcome = self.perform(descriptor).err().unwrap_or(Outcome::Done);
                let stable = descriptor.op == Op::Flush || descriptor.op == Op::Write && descriptor.fua;
                self.ended.push(Ended { id: descriptor.id, outcome, stable });
            }
            waits
        });
        self.pending = pending;
        self.pending.iter().map(|pending| pending.due - time).min()
    }

    /// Moves one request's data.
    fn perform(&mut self, request: &Descriptor) -> Result<(), Outcome> {
        let Descriptor { op, fua, len, sector, address, .. } = *request;
        let number = self.panel.count(Count::Completed) + self.ended.len() as u64 + 1;
        let page = self.page.get_mut(..len as usize).ok_or(Outcome::Invalid)?;
        if !self.medium.holds(sector, page.len()) {
            return Err(Outcome::Invalid);
        }
        if self.panel.fails(number, op, sector..sector + (page.len() / SECTOR) as u64) {
            return Err(Outcome::Media);
        }
        let done = match op {
            Op::Read => {
                self.medium.read(sector, page).map_err(|_| Outcome::Media)?;
                self.panel.add(Count::Read, u64::from(len));
                return self.bus.store(&self.panel, address, page).ok_or(Outcome::Fault);
            }
            Op::Write => {
                self.bus.load(&self.panel, address, page).ok_or(Outcome::Fault)?;
                self.panel.add(Count::Written, u64::from(len));
                if fua { self.medium.write_through(sector, page) } else { self.medium.write(sector, page) }
            }
            Op::Flush => self.medium.write_back_all(),
        };
        done.map_err(|_| Outcome::Media)
    }

    /// Completes what ended, with one interrupt for all. The medium is synced once for all that promise it.
    fn complete(&mut self) {
        if self.ended.is_empty() {
            return;
        }
        let promised = |ended: &Ended| ended.stable && ended.outcome == Outcome::Done;
        let synced = if self.ended.iter().any(promised) {
            self.panel.add(Count::Syncs, 1);
            self.medium.sync().is_ok()
        } else {
            true
        };
        self.panel.put(Count::Dirty, self.medium.dirty());
        let mut all = std::mem::take(&mut self.ended);
        for ended in &all {
            let outcome = if promised(ended) && !synced { Outcome::Media } else { ended.outcome };
            match outcome {
                Outcome::Done => {}
                Outcome::Invalid => self.panel.add(Count::Refused, 1),
                Outcome::Fault => self.panel.add(Count::Faults, 1),
                Outcome::Media => self.panel.add(Count::MediaErrors, 1),
            }
            self.panel.add(Count::Completed, 1);
            let index = u64::from(self.queue.completed % self.queue.size);
            self.queue.completed = self.queue.completed.wrapping_add(1);
            let word = Completion { outcome, id: ended.id, count: self.queue.completed }.encode();
            let at = self.queue.completions.checked_add(8 * index);
            if at.and_then(|at| self.bus.set_word(&self.panel, at, word)).is_none() {
                self.panel.add(Count::Faults, 1);
                all.clear();
                self.ended = all;
                return self.fail();
            }
        }
        all.clear();
        self.ended = all;
        self.interrupt();
    }
}
