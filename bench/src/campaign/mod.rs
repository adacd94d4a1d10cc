//! Fault campaigns: trials on real kernels, for the engine of `kd-campaign`.
//!
//! A trial is a fresh boot of no more components than the faulty one needs. Two apps act in turn, one step each: the
//! *caller* uses the component that fails, the *other* app does not. When both have worked for a while the
//! component's code is made a mutant ([`kd_boot::sabotage`]); then they work on. From here, outside, an oracle looks at
//! everything, and gives what it saw one name.
//!
//! | module | what |
//! | --- | --- |
//! | [`session`] | a campaign from its options to its summary |
//! | [`choice`] | which kernels and components it is made on |
//! | [`leftovers`] | whether trials left something behind |
//! | [`subject`] | the components that fail, their faults, and the kernels that they fail in |
//! | [`trial`] | one trial |
//! | [`stage`] | its boot and its two apps, step by step |
//! | [`notes`] | what is told beside its class |
//! | [`secrets`] | what the component must not get to read |
//! | [`disk`] | the disk afterwards |
//! | [`hang`] | when a step counts as hung |
//! | [`seen`] | what was seen, and how it is called |
//! | [`wild`] | where spoiled addresses pointed |

pub mod choice;
pub mod disk;
pub mod hang;
pub mod leftovers;
pub mod notes;
pub mod secrets;
pub mod seen;
pub mod session;
pub mod stage;
pub mod subject;
pub mod trial;
pub mod wild;

use std::collections::BTreeMap;

use kd_campaign::{Plan, Record, Runner, Subject, Trial};
use kd_nucleus::pkey;
use kd_report::campaign::Example;
use session::CampaignError;
use subject::Subjects;
use trial::TrialRunner;

use crate::meta;

/// The kernels, by their layouts' names, and whether they need protection keys.
const KERNELS: [(&str, bool); 7] = [
    ("monolithic", false),
    ("drivers-isolated", false),
    ("coarse", false),
    ("thread", false),
    ("process", false),
    ("pkey-integrity", true),
    ("pkey", true),
];

/// The kernels that trials are made on, by their layouts' names, and those that this machine cannot run, with the reason.
pub fn kernels() -> (Vec<String>, BTreeMap<String, String>) {
    let missing = pkey::available().err().map(|why| why.to_string());
    let (mut available, mut unavailable) = (Vec::new(), BTreeMap::new());
    for (kernel, keys) in KERNELS {
        match missing.as_ref().filter(|_| keys) {
            Some(why) => drop(unavailable.insert(kernel.into(), why.clone())),
            None => available.push(kernel.into()),
        }
    }
    (available, unavailable)
}

/// The components that are made to fail, with the kinds of fault that each can have.
///
/// # Errors
/// Their code cannot be had.
pub fn subjects() -> Result<Vec<Subject>, CampaignError> {
    let subject = |subject: &subject::Subject| Subject { name: subject.name.into(), kinds: subject.kinds() };
    Ok(Subjects::get()?.iter().map(subject).collect())
}

/// Runners for so many jobs, each on a core of its own as long as there are cores.
///
/// # Errors
/// What they need is missing.
pub fn runners(plan: &Plan, jobs: usize) -> Result<Vec<Box<dyn Runner>>, CampaignError> {
    let cores = meta::cores();
    let runner = |core: Option<&usize>| TrialRunner::new(plan.seed, core.into_iter().copied().collect());
    (0..jobs).map(|job| Ok(Box::new(runner(cores.get(job % cores.len().max(1)))?) as _)).collect()
}

/// Makes one trial, and tells it: the instruction before and after, registers, what it hit.
///
/// # Errors
/// It cannot be made.
pub fn replay(plan: &Plan, trial: &Trial) -> Result<(Record, Example), CampaignError> {
    let mut runner = TrialRunner::new(plan.seed, meta::cores().into_iter().take(1).collect())?;
    let told = runner.tell(trial).map_err(|error| CampaignError::Trial(trial.id, error.to_string()))?;
    Ok(told)
}
