//! A root process: one boot's machine. It holds the disks and the log, starts the kernel's processes and the apps,
//! notices what dies, and answers the harness. It has one thread and runs no kernel code itself.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use kd_machine::clock;
use kd_machine::memory::Memory;
use kd_nucleus::process::{self, Child};
use kd_nucleus::socket::Socket;

use crate::bare::Bare;
use crate::control::{Answer, AppRun, Event, Request, Status, What};
use crate::devices::Devices;
use crate::start::BootError;
use crate::version::{Upgrade, UpgradeError};
use crate::{Manifest, app, board, log, sabotage};

/// One kernel as its root process drives it.
pub trait Core {
    /// Starts an app; it runs in a process of the root's, or inside the kernel's where there is one and it may.
    fn start_app(&mut self, run: AppRun, board: Memory, results: OwnedFd) -> Result<i32, BootError>;
    /// What runs.
    fn status(&self) -> Vec<Status>;
    /// Descriptors that are readable when something ended or wants attention.
    fn watched(&self) -> Vec<i32>;
    /// Looks after everything: called when a watched descriptor is readable, and every [`TICK`].
    fn tick(&mut self, events: &mut Vec<Event>);
    /// Sends a signal to a component's process; `false` if there is no such component.
    fn signal(&mut self, component: &str, signal: i32) -> bool;
    /// The apps that have processes of their own.
    fn apps(&self) -> &Apps;
    /// The devices with rings.
    fn devices(&self) -> Option<&Devices> {
        None
    }
    /// What a tracing boot counted: `caller>component/Interface.operation`, crossings, bytes.
    fn counts(&self) -> Vec<(String, u64, u64)>;
    /// Puts another version of a module in its place, or begins to.
    fn upgrade(&mut self, upgrade: Upgrade, _events: &mut Vec<Event>) -> Result<(), UpgradeError> {
        Err(UpgradeError::Unknown(upgrade.component))
    }
    /// From now on an oops ends the machine, and the machine reboots the kernel.
    fn panic_on_oops(&mut self) {}
}

/// The signal that cannot be caught.
const SIGKILL: i32 = 9;

/// How long an app may take to go that has nothing more to do.
const GOING: Duration = Duration::from_millis(100);

/// How often a root looks after its processes though nothing seems to have happened.
pub const TICK: Duration = Duration::from_millis(10);

/// Answers the harness until it goes away. `boot` makes the kernel.
pub fn serve(control: &Socket, boot: impl Fn(Manifest) -> Result<Box<dyn Core>, BootError>) {
    log::open();
    let mut core: Option<Box<dyn Core>> = None;
    let mut events = Vec::new();
    let mut bare = Bare::default();
    loop {
        let mut fds = vec![control.fd().as_raw_fd()];
        fds.extend(core.iter().flat_map(|core| core.watched()));
        let ready = process::poll_all(&fds, core.is_some().then_some(TICK));
        if let Some(core) = &mut core {
            core.tick(&mut events);
        }
        if !ready.first().copied().unwrap_or(true) {
            continue;
        }
        let Ok((request, fds)) = control.receive::<Request>() else { break };
        let answer = answer(request, fds, &mut core, &mut events, &mut bare, &boot);
        if control.send(&answer, &[]).is_err() {
            break;
        }
    }
    // All at once: each is waited for when it is dropped, and takes less of a core with every thread that has ended before. What
    // is watched is a process's end, or takes no signal.
    core.iter().flat_map(|core| core.watched()).for_each(|fd| process::signal(fd, SIGKILL));
}

fn answer(
    request: Request,
    mut fds: Vec<OwnedFd>,
    core: &mut Option<Box<dyn Core>>,
    events: &mut Vec<Event>,
    bare: &mut Bare,
    boot: impl Fn(Manifest) -> Result<Box<dyn Core>, BootError>,
) -> Answer {
    if let Request::Boot(manifest) = request {
        let begin = clock::now();
        if !manifest.cores.is_empty() {
            process::bind_thread(&manifest.cores);
        }
        let page = fds.pop().map(Memory::from_fd).transpose();
        let opened = page.and_then(|page| page.map_or(Ok(()), |page| sabotage::open(&manifest, &page)));
        if let Err(error) = opened {
            return Answer::Failed(BootError::Host(error).to_string());
        }
        return match boot(*manifest) {
            Ok(booted) => {
                *core = Some(booted);
                Answer::Booted(clock::now() - begin)
            }
            Err(error) => Answer::Failed(error.to_string()),
        };
    }
    let Some(core) = core else { return Answer::Failed("no kernel runs: boot one first".into()) };
    match request {
        Request::Boot(_) => unreachable!("answered above"),
        Request::Start(run) => {
            let (Some(results), Some(board)) = (fds.pop(), fds.pop()) else {
                return Answer::Failed("an app comes with its board and its results".into());
            };
            // What the last one of this number held must not become this one's.
            if core.apps().see_off(run.app) {
                core.tick(events);
            }
            let started = Memory::from_fd(board).map_err(BootError::Host);
            match started.and_then(|board| core.start_app(run, board, results)) {
                Ok(pid) => Answer::Started(pid),
                Err(error) => Answer::Failed(error.to_string()),
            }
        }
        Request::Status => Answer::Status(core.status()),
        Request::Events => Answer::Events(std::mem::take(events)),
        Request::Signal(name, signal) => match core.signal(&name, signal) {
            true => Answer::Done,
            false => Answer::Failed(format!("no component `{name}` runs")),
        },
        Request::Kill(app) => match core.apps().kill(app) {
            true => Answer::Done,
            false => Answer::Failed(format!("no app {app} runs in a process of its own")),
        },
        Request::Log => Answer::Log(log::read().into_iter().map(|line| (line.at, line.text)).collect()),
        Request::Device(name, order) => match core.devices().and_then(|devices| devices.order(&name, &order)) {
            Some(counts) => Answer::Device(counts),
            None => Answer::Failed(format!("`{name}` has no device with a ring")),
        },
        Request::Counts => Answer::Counts(core.counts()),
        Request::BareRestart(bytes) => match bare.restart(bytes) {
            Ok(nanos) => Answer::BareRestart(nanos),
            Err(error) => Answer::Failed(format!("the host refused: {error}")),
        },
        Request::Upgrade(upgrade) => match core.upgrade(upgrade, events) {
            Ok(()) => Answer::Done,
            Err(error) => Answer::Failed(error.to_string()),
        },
        Request::PanicOnOops => {
            core.panic_on_oops();
            Answer::Done
        }
    }
}

/// The apps of a boot that have processes of their own.
#[derive(Default)]
pub struct Apps {
    children: BTreeMap<u32, Child>,
}

impl Apps {
    /// Forks an app: `env` makes its environment in the new process.
    pub fn fork(
        &mut self,
        run: AppRun,
        board: &Memory,
        results: OwnedFd,
        main: app::AppMain,
        env: impl FnOnce() -> Result<kd_workloads::Env, BootError>,
    ) -> Result<i32, BootError> {
        let number = run.app;
        let root = std::process::id() as i32;
        let board = board::Board::map(board)?;
        // It is born with its name: whoever is told its number may look for it at once.
        process::set_name(&format!("kd-app-{number}"));
        let child = process::fork(|| {
            let env = match env() {
                Ok(env) => env,
                Err(error) => {
                    log::say(&format!("app {number}: {error}"));
                    return 1;
                }
            };
            // The disks and the control socket are the root's.
            process::close_descriptors_but([results.as_raw_fd()]);
            main(app::App { env, run, board, results: results.into(), root });
            0
        });
        process::set_name(process::ROOT);
        let child = child?;
        let pid = child.pid();
        self.children.insert(number, child);
        Ok(pid)
    }

    /// Descriptors that are readable when an app ends.
    pub fn watched(&self) -> impl Iterator<Item = i32> + '_ {
        self.children.values().map(Child::pidfd)
    }

    /// Reaps apps that ended; `gone` is told their numbers.
    pub fn reap(&mut self, events: &mut Vec<Event>, mut gone: impl FnMut(u32)) {
        self.children.retain(|&number, child| {
            let Some(exit) = child.poll() else { return true };
            events.push(Event { at: clock::now(), who: format!("app {number}"), what: What::Died(exit.to_string()) });
            gone(number);
            false
        });
    }

    /// Kills an app, if there is one of this number; it is reaped at the next look.
    pub fn kill(&self, number: u32) -> bool {
        let child = self.children.get(&number);
        child.inspect(|child| child.signal(SIGKILL)).is_some()
    }

    /// Waits for the end of an app, if there is one of this number, and kills it if that does not come: who has said all that it
    /// had to say is about to go. It is reaped at the next look.
    fn see_off(&self, number: u32) -> bool {
        let child = self.children.get(&number);
        child.inspect(|child| {
            if process::poll(&[child.pidfd()], Some(GOING)) != [true] {
                child.signal(SIGKILL);
                process::poll(&[child.pidfd()], None);
            }
        });
        child.is_some()
    }
}
