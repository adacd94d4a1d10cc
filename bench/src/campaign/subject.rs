//! The components that are made to fail: their code, the apps around them, and a kernel of no more than that.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use kd_api::Component;
use kd_boot::control::Load;
use kd_boot::layout::Layout;
use kd_boot::manifest::{CORE, Entry, Kernel, WaitName};
use kd_boot::misdeed::{Misbehaviour, Misdeed, Place};
use kd_boot::sabotage::How;
use kd_boot::{Manifest, Placement};
use kd_faults::mutation::{Code, Kind, Mutation};
use kd_nucleus::channel::Wait;
use kd_nucleus::module::ModuleFile;
use kd_report::stats::Random;

use crate::kernels::PARTS;

/// Of supervisors, see [`Manifest::patience`]: some hundred times what the longest honest call of a trial takes.
pub const PATIENCE: u32 = 5;
/// Deaths after which a component stays dead: more than one call has, which is repeated eight times, and counted over the
/// whole trial, so that it hangs on no time.
const DEATHS: u32 = 10;
/// Longer than any trial.
const WITHIN_MS: u64 = 600_000;
/// At the latest of so many reads and writes a driver begins to misbehave, and of so many calls any other component: fewer
/// than any trial makes.
const DRIVER_CALLS: usize = 12;
const CALLS: usize = 4;
/// Subjects whose device has a ring, and so does DMA; and one whose calls carry no bulk data.
const RINGS: [&str; 2] = ["vdisk", "filedisk"];
const WITHOUT_BUFFERS: [&str; 1] = ["proc"];
/// The two apps of every trial.
pub const APPS: u32 = 2;

/// A component that fails.
pub struct Subject {
    /// Its name.
    pub name: &'static str,
    /// What the app does that uses it.
    pub caller: Load,
    /// What the app does that does not.
    pub other: Load,
    /// Components that have nothing to do with it, to be asked whether they are well.
    pub probes: Vec<String>,
    /// Its code.
    pub code: Code,
    /// SHA-256 of its file, if it is a module.
    pub module: Option<String>,
}

/// What goes wrong in a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// One of its instructions is another one.
    Mutation(Mutation),
    /// It does wrong at one of its calls.
    Misbehaviour(Misbehaviour),
}

impl Fault {
    /// What a boot is told.
    pub fn how(&self) -> How {
        match self {
            Fault::Mutation(mutation) => How::Mutant(mutation.mutant.clone()),
            Fault::Misbehaviour(what) => How::Misbehaviour(*what),
        }
    }

    /// In which function, and the instruction before and after; or what is done instead.
    pub fn text(&self) -> (String, String, String) {
        match self {
            Fault::Mutation(Mutation { function, before, after, .. }) => {
                (function.clone(), before.clone(), after.clone())
            }
            Fault::Misbehaviour(Misbehaviour { misdeed, call, .. }) => {
                ("a wrapper".into(), format!("its call {call}"), misdeed.description().into())
            }
        }
    }
}

/// Where a boot's fault is put in, if it is a misdeed.
pub fn place(how: &How) -> Option<Place> {
    match how {
        How::Misbehaviour(what) => Some(what.misdeed.place()),
        How::Mutant(_) => None,
    }
}

/// All subjects, in the order of results.
pub struct Subjects(Vec<Subject>);

/// Why there is no subject, or no kernel to fail in.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// A name that there is not.
    #[error("no component `{name}` can be made to fail: there are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// Its code cannot be had.
    #[error(transparent)]
    Code(#[from] kd_faults::InjectError),
    /// Its file cannot be.
    #[error(transparent)]
    Module(#[from] kd_nucleus::module::ModuleError),
    /// This program's file cannot be.
    #[error("this program's own file cannot be read: {0}")]
    Program(#[from] std::io::Error),
    /// A kernel that there is not.
    #[error(transparent)]
    Layout(#[from] kd_boot::layout::LayoutError),
}

/// The parts of a subject that do not follow from its file: name, what its app does, what the other app does, whom
/// to ask.
type Row = (&'static str, fn() -> Load, fn() -> Load, &'static [&'static str]);

const ROWS: [Row; 7] = [
    ("ramdisk", || Load::Device("/dev/ram0".into()), || Load::File(String::new()), &["proc", "pipe", "ramfs"]),
    ("vdisk", || Load::Device("/dev/vda".into()), || Load::File(String::new()), &["proc", "pipe", "ramfs"]),
    ("filedisk", || Load::Device("/dev/vda".into()), || Load::File(String::new()), &["proc", "pipe", "ramfs"]),
    ("jfs", || Load::Files("/mnt".into()), || Load::File(String::new()), &["proc", "pipe", "ramfs"]),
    ("ramfs", || Load::Files(String::new()), || Load::Values, &["proc", "pipe", "kv"]),
    ("vfs", || Load::Files(String::new()), || Load::Values, &["proc", "kv"]),
    ("proc", || Load::Identity, || Load::File(String::new()), &["pipe", "ramfs"]),
];

impl Subjects {
    /// The subjects of this program, whose files are read once.
    ///
    /// # Errors
    /// See [`SubjectError`].
    pub fn get() -> Result<&'static Subjects, SubjectError> {
        static SUBJECTS: OnceLock<Subjects> = OnceLock::new();
        if let Some(subjects) = SUBJECTS.get() {
            return Ok(subjects);
        }
        let program = std::fs::read("/proc/self/exe")?;
        let components = (PARTS.components)();
        let make = |row: &Row| Subject::new(row, &program, &components);
        let subjects = Subjects(ROWS.iter().map(make).collect::<Result<_, _>>()?);
        Ok(SUBJECTS.get_or_init(|| subjects))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Subject> {
        self.0.iter()
    }

    /// The one of a name.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn find(&self, name: &str) -> Result<&Subject, SubjectError> {
        let known = || ROWS.map(|row| row.0).join(", ");
        let found = self.0.iter().find(|subject| subject.name == name);
        found.ok_or_else(|| SubjectError::Unknown { name: name.into(), known: known() })
    }
}

impl Subject {
    fn new(row: &Row, program: &[u8], components: &[Component]) -> Result<Subject, SubjectError> {
        let (name, caller, other, probes) = *row;
        let component = components.iter().find(|component| component.name == name);
        let (code, module) = match component {
            Some(component) => {
                let path = component.type_name.rsplit_once("::").map_or(component.type_name, |(path, _)| path);
                (Code::of(program, &[&format!("{path}::")])?, None)
            }
            None => {
                let file = ModuleFile::find(name)?;
                // The driver of both kinds of disk with a ring is a crate of its own that their modules are made of.
                let code = Code::of(file.bytes(), &[&format!("kd_{name}::"), "kd_ringblk::"])?;
                (code, Some(file.sha256()))
            }
        };
        let probes = probes.iter().map(ToString::to_string).collect();
        Ok(Subject { name, caller: caller(), other: other(), probes, code, module })
    }

    /// The kinds of fault that it can have.
    pub fn kinds(&self) -> Vec<String> {
        let misdeeds = Misdeed::ALL.iter().filter(|misdeed| self.can(**misdeed)).map(|misdeed| misdeed.name());
        self.code.kinds().map(Kind::name).chain(misdeeds).map(ToOwned::to_owned).collect()
    }

    /// Whether it can do this wrong, whatever the kernel.
    fn can(&self, misdeed: Misdeed) -> bool {
        match misdeed.place() {
            Place::Answer => self.module.is_some(),
            Place::Device(_) => self.has_ring(),
            Place::Call(buffer) => !buffer || !WITHOUT_BUFFERS.contains(&self.name),
            Place::Message => misdeed != Misdeed::Uninitialised || !WITHOUT_BUFFERS.contains(&self.name),
        }
    }

    /// Whether it drives a device that moves data itself.
    pub fn has_ring(&self) -> bool {
        RINGS.contains(&self.name)
    }

    /// Why this kernel has no counterpart of a fault; nothing if it has.
    pub fn inapplicable(&self, fault: &Fault, manifest: &Manifest) -> Option<&'static str> {
        let Fault::Misbehaviour(Misbehaviour { misdeed, .. }) = fault else { return None };
        if misdeed.place() != Place::Message {
            return None;
        }
        let own = manifest.entries.iter().find(|entry| entry.name == self.name)?;
        let domain = manifest.domain_of(own);
        let apart =
            |entry: &&Entry| entry.imports.iter().any(|name| name == self.name) && manifest.domain_of(entry) != domain;
        let for_apps = own.apps && manifest.has_processes();
        let called = manifest.entries.iter().find(apart).is_some() || own.apps && domain != CORE;
        if manifest.kernel == Kernel::Monolithic || !called && !for_apps {
            return Some("it is called directly: there is no message");
        }
        match (misdeed, manifest.placement_of(own)) {
            (Misdeed::Twice | Misdeed::Late | Misdeed::Unasked, place) if place.is_pkey() => {
                Some("the caller's own thread comes back through the gate, once")
            }
            (Misdeed::Unasked, Placement::Thread) => {
                Some("an answer goes through an end of a channel that comes with its request")
            }
            _ => None,
        }
    }

    /// The `number`-th fault of a kind that a seed draws from its file: the same for every kernel.
    pub fn mutation(&self, kind: &str, seed: u64, number: u64) -> Option<Mutation> {
        self.code.mutation(Kind::from_name(kind)?, seed, number)
    }

    /// The `number`-th fault of a kind that a seed draws, whatever it is: the same for every kernel.
    pub fn fault(&self, kind: &str, seed: u64, number: u64) -> Option<Fault> {
        if let Some(misdeed) = Misdeed::from_name(kind) {
            let calls = if self.module.is_some() { DRIVER_CALLS } else { CALLS };
            let mut random = Random::new(seed ^ number << 8, misdeed as u64);
            let (call, salt) = (1 + random.below(calls) as u64, random.next_u64());
            return self.can(misdeed).then_some(Fault::Misbehaviour(Misbehaviour { misdeed, call, salt }));
        }
        self.mutation(kind, seed, number).map(Fault::Mutation)
    }

    /// The components that a trial needs.
    fn needs(&self) -> Vec<&'static str> {
        let mut needs = vec!["vfs", "proc", "pipe", "ramfs"];
        match (self.name, &self.other) {
            (name @ ("vdisk" | "filedisk"), _) => needs.extend(["blk", name]),
            ("jfs", _) => needs.extend(["blk", "vdisk", "jfs"]),
            (_, Load::Values) => needs.push("kv"),
            (name, _) => needs.push(name),
        }
        needs
    }

    /// A kernel of this name with no more than a trial needs.
    ///
    /// # Errors
    /// A name that there is not.
    pub fn manifest(&self, kernel: &str) -> Result<Manifest, SubjectError> {
        let components = (PARTS.components)();
        let mut manifest = match (kernel, Placement::from_name(kernel)) {
            ("monolithic", _) => Manifest::standard(Kernel::Monolithic, Placement::Direct, &components),
            (_, Some(placement)) => Manifest::standard(Kernel::Microkernel, placement, &components),
            (layout, None) => Layout::find(layout)?.manifest(&components)?,
        };
        if self.name == "filedisk" {
            // The folder is none: every trial brings its own file.
            manifest.put_disk_in(Path::new(""));
        }
        let needs = self.needs();
        let needed = |name: &String| needs.contains(&name.as_str());
        manifest.entries.retain(|entry| needed(&entry.name));
        for entry in &mut manifest.entries {
            entry.imports.retain(needed);
            entry.threads = 2;
            entry.policy.deaths = DEATHS;
            entry.policy.within_ms = WITHIN_MS;
        }
        manifest.apps = APPS;
        // Two apps that act in turn, on one core: who waits sleeps.
        manifest.wait = WaitName(Wait::Block);
        manifest.patience = PATIENCE;
        Ok(manifest)
    }

    /// What events call its domain in a kernel: by its own name, its domain's or its process's.
    pub fn domain(&self, manifest: &Manifest) -> Vec<String> {
        let own = manifest.entries.iter().find(|entry| entry.name == self.name);
        let names = |entry| [self.name, manifest.domain_of(entry), manifest.process_of(entry)].map(String::from);
        own.into_iter().flat_map(names).collect()
    }
}

/// SHA-256 of the files of all subjects that are modules.
pub fn modules(subjects: &Subjects) -> BTreeMap<String, String> {
    subjects.iter().filter_map(|subject| Some((subject.name.into(), subject.module.clone()?))).collect()
}
