//! Whole kernels, booted as the harness boots them: what they answer, what they count, and what becomes of their parts.

mod apps;
mod block;
mod counts;
mod devices;
mod differential;
mod pkey;
#[path = "../../../crates/subsystems/tests/differential/random.rs"]
#[allow(dead_code)]
mod random;
mod restarts;

use kd_boot::control::Task;
use kd_boot::manifest::{Kernel, Manifest, Placement};
use kd_boot::script::{Call, Outcome};
use kernel_debate::boot::{Boot, RunningApp};

/// A kernel of ours, and whether apps have processes of their own in it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Config {
    kernel: Kernel,
    placement: Placement,
    own_process: bool,
}

const fn config(kernel: Kernel, placement: Placement, own_process: bool) -> Config {
    Config { kernel, placement, own_process }
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

impl Config {
    fn manifest(self, apps: u32) -> Manifest {
        let standard = Manifest::standard(self.kernel, self.placement, &kd_subsystems::components());
        Manifest { apps, ..standard }
    }

    fn boot(self, apps: u32) -> Boot {
        Boot::new(&self.manifest(apps)).unwrap_or_else(|why| panic!("{self:?}: {why}"))
    }

    fn start(self, boot: &Boot, app: u32, task: Task) -> RunningApp {
        boot.start(app, self.own_process, task).unwrap_or_else(|why| panic!("{self:?}, app {app}: {why}"))
    }

    fn script(self, boot: &Boot, app: u32, calls: &[Call]) -> RunningApp {
        self.start(boot, app, Task::Script(calls.to_vec()))
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
