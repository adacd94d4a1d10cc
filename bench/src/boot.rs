//! One boot, as the harness holds it: everything it started dies when it is dropped.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use kd_boot::Manifest;
use kd_boot::board::{Board, Field};
use kd_boot::control::{Answer, AppRun, Event, Patch, Request, Status, Task};
use kd_boot::devices::{DeviceCounts, Order};
use kd_boot::version::Upgrade;
use kd_faults::find_pattern;
use kd_machine::memory::Memory;
use kd_nucleus::socket::Socket;
use kd_nucleus::zygote::Zygote;

/// Why a boot, or something asked of it, failed.
#[derive(Debug, thiserror::Error)]
pub enum BootFailure {
    /// The root said so.
    #[error("{0}")]
    Refused(String),
    /// The root is gone, or answered nonsense.
    #[error("the boot's root process is gone ({0}): is the host out of memory or processes?")]
    Gone(#[from] io::Error),
    /// The root does not answer.
    #[error("the boot's root process has been silent for {0:?}: is one of its processes being traced or stopped?")]
    Silent(Duration),
    /// An app did not do what it was started for.
    #[error("an app ended without its results: {0}")]
    App(String),
}

/// A root answers at once but for a boot, which takes milliseconds: one that is silent for so long has hung.
const SILENCE: Duration = Duration::from_secs(30);

/// A running kernel.
pub struct Boot {
    control: Socket,
    /// How long it took, in nanoseconds.
    pub nanos: u64,
}

/// A running app.
pub struct RunningApp {
    /// What it shows of itself.
    pub board: Board,
    /// The process it is in.
    pub pid: i32,
    results: BufReader<File>,
}

impl Boot {
    /// Boots a kernel.
    pub fn new(manifest: &Manifest) -> Result<Boot, BootFailure> {
        Boot::with(Zygote::get()?, manifest, &[])
    }

    /// Boots one that is told to fail and shows on a witness's page what comes of that; at the same addresses every time.
    pub fn sabotaged(manifest: &Manifest, witness: &Memory) -> Result<Boot, BootFailure> {
        Boot::with(Zygote::steady()?, manifest, &[witness.as_fd()])
    }

    fn with(zygote: &Zygote, manifest: &Manifest, fds: &[BorrowedFd<'_>]) -> Result<Boot, BootFailure> {
        let control = zygote.boot(crate::kernels::PURPOSE)?;
        let mut boot = Boot { control, nanos: 0 };
        boot.control.send(&Request::Boot(Box::new(manifest.clone())), fds)?;
        match boot.answer()? {
            Answer::Booted(nanos) => boot.nanos = nanos,
            other => return Err(BootFailure::Refused(format!("an answer out of turn: {other:?}"))),
        }
        Ok(boot)
    }

    fn ask(&self, request: &Request) -> Result<Answer, BootFailure> {
        self.control.send(request, &[])?;
        self.answer()
    }

    fn answer(&self) -> Result<Answer, BootFailure> {
        use std::os::fd::AsRawFd;
        if kd_nucleus::process::poll(&[self.control.fd().as_raw_fd()], Some(SILENCE)) != [true] {
            return Err(BootFailure::Silent(SILENCE));
        }
        match self.control.receive()?.0 {
            Answer::Failed(why) => Err(BootFailure::Refused(why)),
            answer => Ok(answer),
        }
    }

    /// Ends it, and waits until all its processes are gone.
    pub fn end(self) -> Result<(), BootFailure> {
        use std::os::fd::AsRawFd;
        self.control.finish()?;
        match kd_nucleus::process::poll(&[self.control.fd().as_raw_fd()], Some(SILENCE)) == [true] {
            true => Ok(()),
            false => Err(BootFailure::Silent(SILENCE)),
        }
    }

    /// Starts an app.
    pub fn start(&self, app: u32, own_process: bool, task: Task) -> Result<RunningApp, BootFailure> {
        let (memory, board) = Board::new()?;
        self.start_on(app, own_process, task, &memory, board)
    }

    /// The same with a board that there is.
    pub fn start_on(
        &self,
        app: u32,
        own_process: bool,
        task: Task,
        memory: &Memory,
        board: Board,
    ) -> Result<RunningApp, BootFailure> {
        let (results, theirs) = io::pipe()?;
        let request = Request::Start(AppRun { app, task, own_process });
        self.control.send(&request, &[memory.as_fd(), theirs.as_fd()])?;
        drop(theirs);
        let results = BufReader::new(File::from(OwnedFd::from(results)));
        match self.answer()? {
            Answer::Started(pid) => Ok(RunningApp { board, pid, results }),
            other => Err(BootFailure::Refused(format!("an answer out of turn: {other:?}"))),
        }
    }

    /// What runs.
    pub fn status(&self) -> Result<Vec<Status>, BootFailure> {
        match self.ask(&Request::Status)? {
            Answer::Status(status) => Ok(status),
            _ => Ok(Vec::new()),
        }
    }

    /// One component.
    pub fn component(&self, name: &str) -> Result<Status, BootFailure> {
        let found = self.status()?.into_iter().find(|status| status.name == name);
        found.ok_or_else(|| BootFailure::Refused(format!("no component `{name}` runs")))
    }

    /// Where a component's module can be patched.
    pub fn patch(&self, name: &str) -> Result<Option<Patch>, BootFailure> {
        Ok(self.component(name)?.patch)
    }

    /// What happened since the last time.
    pub fn events(&self) -> Result<Vec<Event>, BootFailure> {
        match self.ask(&Request::Events)? {
            Answer::Events(events) => Ok(events),
            _ => Ok(Vec::new()),
        }
    }

    /// The kernel log: when (nanoseconds of the machine's clock), and what.
    pub fn log(&self) -> Result<Vec<(u64, String)>, BootFailure> {
        match self.ask(&Request::Log)? {
            Answer::Log(lines) => Ok(lines),
            _ => Ok(Vec::new()),
        }
    }

    /// What a tracing boot counted: `caller>component/Interface.operation`, crossings, bytes.
    pub fn counts(&self) -> Result<Vec<(String, u64, u64)>, BootFailure> {
        match self.ask(&Request::Counts)? {
            Answer::Counts(counts) => Ok(counts),
            _ => Ok(Vec::new()),
        }
    }

    /// Has a component's device do something; returns what it counted so far.
    pub fn device(&self, component: &str, order: Order) -> Result<DeviceCounts, BootFailure> {
        match self.ask(&Request::Device(component.into(), order))? {
            Answer::Device(counts) => Ok(counts),
            other => Err(BootFailure::Refused(format!("an answer out of turn: {other:?}"))),
        }
    }

    /// Sends a signal to a component's process.
    pub fn signal(&self, component: &str, signal: i32) -> Result<(), BootFailure> {
        self.ask(&Request::Signal(component.into(), signal)).map(drop)
    }

    /// Ends an app that has a process of its own.
    pub fn kill(&self, app: u32) -> Result<(), BootFailure> {
        self.ask(&Request::Kill(app)).map(drop)
    }

    /// Kills and forks again a process that holds so many bytes and does nothing; returns how many nanoseconds that took.
    pub fn bare_restart(&self, bytes: usize) -> Result<u64, BootFailure> {
        match self.ask(&Request::BareRestart(bytes))? {
            Answer::BareRestart(nanos) => Ok(nanos),
            other => Err(BootFailure::Refused(format!("an answer out of turn: {other:?}"))),
        }
    }

    /// Has another version of a driver module take the place of the one at work. In the microkernel this begins it, and what
    /// comes of it is an event; in the monolithic kernel it is done, or refused, when this returns.
    pub fn upgrade(&self, upgrade: &Upgrade) -> Result<(), BootFailure> {
        self.ask(&Request::Upgrade(upgrade.clone())).map(drop)
    }

    /// From the next oops on, the machine ends and reboots.
    pub fn panic_on_oops(&self) -> Result<(), BootFailure> {
        self.ask(&Request::PanicOnOops).map(drop)
    }
}

/// So much of a heap, or a store, is looked at for bytes: more than a trial uses.
const LOOKED_AT: usize = 16 << 20;

/// Where a component holds these bytes for somebody: in its store, or else in its heap.
///
/// # Errors
/// The host's, when its process is gone or may not be looked at.
pub fn find_held(component: &Status, bytes: &[u8]) -> io::Result<Option<usize>> {
    for (start, size) in component.store.into_iter().chain([component.arena]) {
        let found = find_pattern(component.pid, start..start + size.min(LOOKED_AT), bytes)?;
        if let Some(place) = found.first() {
            return Ok(Some(*place));
        }
    }
    Ok(None)
}

impl RunningApp {
    /// The next line of its results; `None` when it ended.
    pub fn line<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>, BootFailure> {
        let mut line = String::new();
        if self.results.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        serde_json::from_str(&line).map(Some).map_err(|error| BootFailure::App(error.to_string()))
    }

    /// As [`RunningApp::line`], but an app that is silent for `limit` has failed.
    pub fn line_within<T: serde::de::DeserializeOwned>(&mut self, limit: Duration) -> Result<Option<T>, BootFailure> {
        use std::os::fd::AsRawFd;
        let waits = self.results.buffer().is_empty();
        if waits && kd_nucleus::process::poll(&[self.results.get_ref().as_raw_fd()], Some(limit)) != [true] {
            return Err(BootFailure::App(format!("it was silent for {limit:?}")));
        }
        self.line()
    }

    /// Asks it to finish.
    pub fn stop(&self) {
        self.board.set(Field::Stop, 1);
    }

    /// Has it put everything away that it has open; `false` if it did not within `limit`.
    pub fn send_away(&self, limit: Duration) -> bool {
        self.board.set(Field::Away, 1);
        self.wait_until(limit, |board| board.get(Field::IsAway) == 1)
    }

    /// Has it begin again.
    pub fn call_back(&self) {
        self.board.set(Field::Away, 0);
    }

    /// Waits until a condition on its board holds; `false` after `limit`.
    pub fn wait_until(&self, limit: Duration, condition: impl Fn(&Board) -> bool) -> bool {
        let begin = Instant::now();
        while !condition(&self.board) {
            if begin.elapsed() > limit {
                return false;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        true
    }
}
