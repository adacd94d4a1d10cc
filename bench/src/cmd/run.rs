//! `debate run`: one workload on one kernel in the foreground, for a profiler, a debugger, or a kill by hand.
//!
//! Every second a line says how many operations were done and failed; what happens to the kernel meanwhile is told as
//! it comes. The default action of Ctrl-C ends this process, and all others end with it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use kd_boot::app::family;
use kd_boot::board::Field;
use kd_boot::control::{Event, Task, What};
use kd_boot::layout::Layout;
use kd_boot::manifest::{Kernel, WaitName};
use kd_boot::{Manifest, Placement};
use kd_nucleus::channel::Wait;
use kd_nucleus::zygote::Zygote;

use super::{CommandError, upgrade};
use crate::boot::{Boot, RunningApp};
use crate::kernels::PARTS;

const EXAMPLES: &str = "\
Examples:
  cargo debate run --kernel microkernel --workload ram0_read_4k
        then, in another terminal: kill -9 or kill -STOP the process kd-ramdisk
  cargo debate run --kernel monolithic --workload read_4k --seconds 10
  perf record -g -p $(pgrep kd-kernel)          while that runs
  cargo debate run --kernel microkernel --placement thread --workload pipe_pingpong
  cargo debate run --placement coarse --workload mail_server
  cargo debate run --kernel microkernel --workload ram0_write_4k --upgrade ramdisk --upgrade-with max_kb=64
        another version of a driver under load; max_kb=1 fails its health check, and the old one goes on
  cargo debate run --placement crates/boot/placements/servers.json --workload stat
  cargo debate run --kernel linux --workload stat --seconds 3
  cargo debate run --kernel monolithic --workload disk_mail_server --host-disk .
  cargo debate run --kernel linux --workload disk_mail_server --host-disk .
        the same with /mnt on the file system of this folder, flushed for real";

/// Its arguments.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The kernel; a placement of a name or a file says which itself
    #[arg(long, value_name = "K", required_unless_present = "placement", value_parser = named(&[Kernel::Monolithic, Kernel::Microkernel, Kernel::Linux], Kernel::name))]
    kernel: Option<Kernel>,
    /// The workload; `list` explains them
    #[arg(long, value_name = "W", value_parser = workload)]
    workload: String,
    /// What stands between the microkernel's components: thread, pkey, pkey-integrity, process, a placement that
    /// `list placements` shows, one of these with another boundary (coarse/thread), or a file that ends in .json [default: process]
    #[arg(long, value_name = "P")]
    placement: Option<String>,
    /// How crossings between processes wait; spin wants a core for every process [default: adaptive]
    #[arg(long, value_name = "WAIT", value_parser = named(&Wait::ALL, Wait::name))]
    wait: Option<Wait>,
    /// Keep what /mnt holds in a file of the host in this folder (linux: in a folder there); nothing is left of it
    #[arg(long, value_name = "DIR")]
    host_disk: Option<PathBuf>,
    /// Seconds to run; 0 is until Ctrl-C
    #[arg(long, value_name = "S", default_value_t = 0)]
    seconds: u64,
    #[command(flatten)]
    upgrade: upgrade::Replacement,
}

/// A parser of one of `values` by name, which lists the names where none fits.
fn named<T: Copy + Send + Sync>(
    values: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> + use<T> {
    PossibleValuesParser::new(values.iter().map(move |&value| name(value))).map(move |word| {
        let found = values.iter().copied().find(|&value| name(value) == word);
        found.expect("the parser lets nothing else through")
    })
}

fn workload(name: &str) -> Result<String, kd_workloads::UnknownWorkload> {
    kd_workloads::find(name).map(|workload| workload.name().into())
}

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Runs it.
///
/// # Errors
/// Options that do not fit together; a kernel that does not boot; an app or a kernel that ended before its time.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), CommandError> {
    let manifest = manifest(arguments)?;
    let boot = Boot::new(&manifest)?;
    let begin = Instant::now();
    let task = Task::Loop { workload: arguments.workload.clone(), milliseconds: 0 };
    let app = boot.start(1, manifest.has_processes(), task)?;
    let placement = arguments.placement.as_deref().unwrap_or(manifest.placement.name());
    introduce(&manifest, placement, &boot, &app, out)?;
    let mut watch = Watch { boot, app, begin, gone: None };
    let (mut printed, mut before) = (Instant::now(), 0);
    let mut wanted = arguments.upgrade.wanted();
    loop {
        std::thread::sleep(LOOK);
        watch.tell_events(out)?;
        if let Some(wanted) = wanted.take_if(|_| begin.elapsed() >= upgrade::AFTER) {
            upgrade::ask(&wanted, manifest.kernel, &watch, out)?;
        }
        let over = arguments.seconds > 0 && begin.elapsed() >= Duration::from_secs(arguments.seconds);
        if over || watch.gone.is_some() || printed.elapsed() >= Duration::from_secs(1) {
            let (good, failed) = (watch.app.board.get(Field::Good), watch.app.board.get(Field::Failed));
            let rate = (good - before) as f64 / printed.elapsed().as_secs_f64();
            (printed, before) = (Instant::now(), good);
            watch.tell(out, &format!("{good} operations ({rate:.0} a second), {failed} failures"))?;
        }
        if let Some(why) = watch.gone.take() {
            for (_, line) in watch.boot.log()? {
                watch.tell(out, &format!("kernel log: {line}"))?;
            }
            return Err(CommandError::Ended(why));
        }
        if over {
            return Ok(());
        }
    }
}

fn manifest(arguments: &Arguments) -> Result<Manifest, CommandError> {
    let Arguments { kernel, placement, wait, host_disk, .. } = arguments;
    let refuse = |option: &str, kernel: Kernel| {
        let why = format!("`{option}` says nothing about the {} kernel: leave it out", kernel.name());
        Err(CommandError::Options(why))
    };
    let components = (PARTS.components)();
    let mut manifest = match (kernel.unwrap_or(Kernel::Microkernel), placement.as_deref()) {
        (Kernel::Microkernel, None) => Manifest::standard(Kernel::Microkernel, Placement::Process, &components),
        (kernel, None) => Manifest::standard(kernel, Placement::Direct, &components),
        (Kernel::Linux, Some(_)) => return refuse("--placement", Kernel::Linux),
        (_, Some(word)) => match Placement::from_name(word).filter(|plain| *plain != Placement::Direct) {
            Some(plain) => Manifest::standard(Kernel::Microkernel, plain, &components),
            None => Layout::find(word)?.manifest(&components)?,
        },
    };
    if let Some(asked) = kernel.filter(|asked| *asked != manifest.kernel) {
        let (placement, is) = (placement.as_deref().unwrap_or_default(), manifest.kernel.name());
        let why = format!(
            "the placement `{placement}` belongs to the {is}, and `--kernel` asks for {}: leave one of them out",
            asked.name()
        );
        return Err(CommandError::Options(why));
    }
    if wait.is_some() && manifest.kernel != Kernel::Microkernel {
        return refuse("--wait", manifest.kernel);
    }
    manifest.wait = WaitName(wait.unwrap_or(Wait::Adaptive));
    if let Some(folder) = host_disk {
        manifest.put_disk_in(folder);
    }
    Ok(manifest)
}

/// What was booted, and its processes as `ps` shows them.
fn introduce(
    manifest: &Manifest,
    placement: &str,
    boot: &Boot,
    app: &RunningApp,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let Manifest { kernel, wait, .. } = manifest;
    let isolation = match kernel {
        Kernel::Microkernel => format!(", {placement}, {}", wait.0.name()),
        _ => String::new(),
    };
    writeln!(out, "{}{isolation}: booted in {:.1} ms\n", kernel.name(), boot.nanos as f64 / 1e6)?;
    writeln!(out, "{:>8} {:>8} {:<15} WHAT", "PID", "PPID", "NAME")?;
    let status = boot.status()?;
    let zygote = Zygote::get()?.pid() as i32;
    for pid in family(zygote).into_iter().filter(|&pid| pid != zygote) {
        let Some((name, parent)) = name_and_parent(pid) else { continue };
        let mut what: Vec<&str> = status.iter().filter(|status| status.pid == pid).map(|of| of.name.as_str()).collect();
        what.extend((pid == app.pid).then_some("the app"));
        what.extend((name == "kd-disk").then_some("a device"));
        what.extend((parent == zygote).then_some("the machine: disks, log, supervisor"));
        writeln!(out, "{pid:>8} {parent:>8} {name:<15} {}", what.join(", "))?;
    }
    writeln!(out)?;
    Ok(())
}

/// From `/proc/<pid>/stat`: `pid (name) state ppid ...`.
fn name_and_parent(pid: i32) -> Option<(String, i32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    Some((name.to_owned(), tail.split_whitespace().nth(1)?.parse().ok()?))
}

/// The boot while it runs.
pub(super) struct Watch {
    pub(super) boot: Boot,
    pub(super) app: RunningApp,
    begin: Instant,
    /// Why there is nothing left to watch.
    gone: Option<String>,
}

impl Watch {
    pub(super) fn tell(&self, out: &mut dyn Write, what: &str) -> io::Result<()> {
        writeln!(out, "{:>7.1} s  {what}", self.begin.elapsed().as_secs_f64())?;
        out.flush()
    }

    fn tell_events(&mut self, out: &mut dyn Write) -> Result<(), CommandError> {
        for event in self.boot.events()? {
            let text = self.describe(&event);
            self.tell(out, &text)?;
            if event.who.starts_with("app ") || matches!(event.what, What::Panic(_)) {
                self.gone = Some(format!("nothing is left to run: {text}"));
            }
        }
        let board = &self.app.board;
        if board.get(Field::Killed) != 0 {
            self.gone = Some("the kernel killed the app, for a fault in kernel code on its behalf".into());
        } else if board.get(Field::Failed) != 0 && board.get(Field::Running) == 0 {
            self.gone = Some("the workload did not start on this kernel: its first calls failed".into());
        }
        Ok(())
    }

    fn describe(&self, event: &Event) -> String {
        let who = &event.who;
        match &event.what {
            What::Faulted(how) => format!("{who} faulted: {how}"),
            What::Followed(import) => format!("{who} was ended, to follow {import}"),
            What::Stays => format!("{who} stays dead, as its policy says"),
            What::Died(how) => format!("{who} died: {how}"),
            What::Hung(how) => format!("{who} hung and was ended: {how}"),
            What::Violated => format!("{who} broke the protocol and was ended"),
            What::Restarted => match self.boot.component(who) {
                Ok(status) => format!("{who} restarted as process {}", status.pid),
                Err(_) => format!("{who} restarted"),
            },
            What::Upgraded(how) => format!("{who} upgraded {how}"),
            What::NotUpgraded(why) => format!("{who} was not upgraded and goes on as it was: {why}"),
            What::GivenUp => format!("{who} died too often and stays dead"),
            What::Oops(what) => format!("{who} oops: {what}"),
            What::Panic(what) => format!("{who} panic: {what}"),
            What::Fenced(what) => format!("{who}: {what}"),
        }
    }
}
