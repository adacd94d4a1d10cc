//! Whole kernels, booted as the harness boots them: what they answer, what they count, and what becomes of their parts.

mod apps;
mod at_length;
mod block;
mod counts;
mod devices;
mod differential;
mod host_disk;
mod kexec;
mod pkey;
mod power;
mod proc;
#[path = "../../../crates/subsystems/tests/differential/random.rs"]
#[allow(dead_code)]
mod random;
mod restarts;
mod scaling;
mod supervision;
mod survival;
mod upgrades;

use kd_boot::control::Task;
use kd_boot::layout::Layout;
use kd_boot::manifest::{Kernel, Manifest, Placement};
use kd_boot::script::{Call, Outcome};
use kernel_debate::boot::{Boot, RunningApp};

/// A kernel of ours, and whether apps have processes of their own in it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Config {
    kernel: Kernel,
    placement: Placement,
    /// A shipped layout, if components share domains.
    layout: Option<&'static str>,
    own_process: bool,
}

const fn config(kernel: Kernel, placement: Placement, own_process: bool) -> Config {
    Config { kernel, placement, layout: None, own_process }
}

const LINUX: Config = config(Kernel::Linux, Placement::Direct, true);
const PROCESS: Config = config(Kernel::Microkernel, Placement::Process, true);
const MONOLITHIC: Config = config(Kernel::Monolithic, Placement::Direct, false);
/// Every kernel of ours, with apps in every place they can be.
const OURS: [Config; 5] = [
    MONOLITHIC,
    config(Kernel::Monolithic, Placement::Direct, true),
    config(Kernel::Microkernel, Placement::Thread, false),
    config(Kernel::Microkernel, Placement::Thread, true),
    PROCESS,
];

/// Everything that opens files in one process, apps beside it.
const COARSE: Config = Config { layout: Some("coarse"), ..PROCESS };
/// Each driver in a process, everything else in one.
const DRIVERS_APART: Config = Config { layout: Some("drivers-isolated"), ..PROCESS };
/// Drivers apart, in one process: the boundary is threads.
const DRIVERS: Config =
    Config { layout: Some("drivers-isolated/thread"), ..config(Kernel::Microkernel, Placement::Thread, false) };

impl Config {
    fn manifest(self, apps: u32) -> Manifest {
        let components = kd_subsystems::components();
        let manifest = match self.layout {
            Some(name) => Layout::find(name).and_then(|layout| layout.manifest(&components)).expect("it is shipped"),
            None => Manifest::standard(self.kernel, self.placement, &components),
        };
        Manifest { apps, ..manifest }
    }

    fn boot(self, apps: u32) -> Boot {
        Boot::new(&self.manifest(apps)).unwrap_or_else(|why| panic!("{self:?}: {why}"))
    }

    fn start(self, boot: &Boot, app: u32, task: Task) -> RunningApp {
        boot.start(app, self.own_process, task).unwrap_or_else(|why| panic!("{self:?}, app {app}: {why}"))
    }

    fn script(self, boot: &Boot, app: u32, calls: &[Call]) -> RunningApp {
        self.script_under(boot, app, "", calls)
    }

    fn script_under(self, boot: &Boot, app: u32, under: &str, calls: &[Call]) -> RunningApp {
        self.start(boot, app, Task::Script { under: under.into(), calls: calls.to_vec() })
    }
}

/// What is left of an app's outcomes.
fn outcomes(app: &mut RunningApp) -> Vec<Outcome> {
    std::iter::from_fn(|| app.line().expect("outcomes are written as such")).collect()
}

fn outcome(app: &mut RunningApp) -> Outcome {
    app.line().expect("outcomes are written as such").expect("the app lives")
}

fn failed(errno: &str) -> Outcome {
    Outcome::Failed(errno.into())
}
