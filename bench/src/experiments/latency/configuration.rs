//! What is compared: kernels, placements, waits; and which cells of the table exist.

use kd_boot::control::Entry;
use kd_boot::layout::Layout;
use kd_boot::manifest::{Kernel, WaitName};
use kd_boot::{Manifest, Placement};
use kd_nucleus::channel::Wait;
use kd_report::schema;
use kd_workloads::Workload;

use crate::experiments::{Plan, no_keys};
use crate::kernels::PARTS;

/// One kernel in one shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Configuration {
    /// The kernel.
    pub kernel: Kernel,
    /// Its placement; the host's own kernel has none of ours.
    pub placement: Placement,
    /// The shipped layout that it has, if components share domains in it.
    pub layout: Option<&'static str>,
    /// How crossings wait, where that can be chosen.
    pub wait: Option<&'static str>,
    /// The second of the A/A pair.
    pub twin: bool,
}

impl Configuration {
    /// The monolithic kernel, which everything is compared with.
    pub const MONOLITHIC: Configuration = Configuration {
        kernel: Kernel::Monolithic,
        placement: Placement::Direct,
        layout: None,
        wait: None,
        twin: false,
    };
    /// The layouts in which several components share a process, by the number of their domains.
    pub const HYBRIDS: [&'static str; 3] = ["drivers-isolated", "coarse", "servers"];

    /// All that are measured.
    pub fn all() -> Vec<Configuration> {
        let monolithic = Configuration::MONOLITHIC;
        let thread = Configuration { kernel: Kernel::Microkernel, placement: Placement::Thread, ..monolithic };
        let linux = Configuration { kernel: Kernel::Linux, ..monolithic };
        let twin = Configuration { twin: true, ..monolithic };
        let process = |wait: Wait| Configuration { placement: Placement::Process, wait: Some(wait.name()), ..thread };
        let keys = [Placement::Pkey, Placement::PkeyIntegrity].map(|placement| Configuration { placement, ..thread });
        [monolithic, twin, linux, thread].into_iter().chain(keys).chain(Wait::ALL.map(process)).collect()
    }

    /// Whether a quick run has it: who yields is slowest of all to measure, and one strength of keys costs as another.
    pub fn is_quick(&self) -> bool {
        self.wait != Some(Wait::Yield.name()) && self.placement != Placement::PkeyIntegrity
    }

    /// Why this machine cannot boot it, if it cannot.
    pub fn unavailable(&self) -> Option<String> {
        if self.placement.is_pkey() { no_keys() } else { None }
    }

    /// Those of them whose domains are measured behind protection keys as well.
    pub const KEYED: [&'static str; 2] = ["drivers-isolated/pkey", "coarse/pkey"];

    /// Those that a run measures, between processes and behind keys: a quick one takes the first of each.
    pub fn hybrids(quick: bool) -> Vec<Configuration> {
        let measured = |layouts: &'static [&'static str]| if quick { &layouts[..1] } else { layouts };
        let processes = measured(&Configuration::HYBRIDS).iter().map(|layout| Configuration::hybrid(layout));
        processes.chain(measured(&Configuration::KEYED).iter().map(|layout| Configuration::keyed(layout))).collect()
    }

    /// A shipped layout behind keys.
    pub fn keyed(layout: &'static str) -> Configuration {
        Configuration { placement: Placement::Pkey, wait: None, ..Configuration::hybrid(layout) }
    }

    /// A shipped layout between processes, with the wait that is the default.
    pub fn hybrid(layout: &'static str) -> Configuration {
        let (kernel, placement) = (Kernel::Microkernel, Placement::Process);
        let (layout, wait) = (Some(layout), Some(Wait::Adaptive.name()));
        Configuration { kernel, placement, layout, wait, twin: false }
    }

    /// The manifest it boots from.
    pub fn manifest(&self) -> Manifest {
        let components = (PARTS.components)();
        let mut manifest = match self.layout {
            Some(name) => Layout::find(name).and_then(|layout| layout.manifest(&components)).expect("it is shipped"),
            None => Manifest::standard(self.kernel, self.placement, &components),
        };
        manifest.wait = WaitName(self.wait.and_then(Wait::from_name).unwrap_or(Wait::Adaptive));
        manifest
    }

    /// Whether its apps are processes of their own.
    pub fn apps_apart(&self) -> bool {
        self.placement == Placement::Process
    }

    /// Its name in results.
    pub fn kernel_word(&self) -> schema::Kernel {
        match self.kernel {
            Kernel::Monolithic => schema::Kernel::Monolithic,
            Kernel::Microkernel => schema::Kernel::Microkernel,
            Kernel::Linux => schema::Kernel::Linux,
        }
    }

    /// Its placement's name in results.
    pub fn placement_word(&self) -> &'static str {
        match self.layout {
            Some(layout) => layout,
            None if self.kernel == Kernel::Linux => "host",
            None => self.placement.name(),
        }
    }

    /// Its wait's name in results.
    pub fn wait_word(&self) -> &'static str {
        self.wait.unwrap_or("none")
    }

    /// Why a cell does not exist, if it does not.
    pub fn excludes(&self, workload: &dyn Workload, entry: Entry, cores: usize, plan: &Plan) -> Option<String> {
        if let Some(reason) = self.unavailable() {
            return Some(reason);
        }
        let actors = workload.actors() + workload.hops();
        if cores > plan.cores.len() {
            return Some(format!("n/a: this machine has {} core(s)", plan.cores.len()));
        }
        if self.kernel == Kernel::Linux && entry == Entry::Call {
            return Some("n/a: the host's kernel cannot be entered without a trap".into());
        }
        if self.kernel == Kernel::Linux && workload.is_service() {
            return Some("n/a: the host's kernel has no such service".into());
        }
        // With more actors than cores, a spinning one keeps the one it waits for from running.
        if self.wait == Some(Wait::Spin.name()) && actors > 1 && actors as usize > cores {
            return Some(format!("n/a: {actors} actors on {cores} core(s)"));
        }
        None
    }
}

/// The entry of the app side, as results name it.
pub fn entry_word(entry: Entry) -> schema::Entry {
    match entry {
        Entry::Trap => schema::Entry::Trap,
        Entry::Call => schema::Entry::Call,
    }
}
