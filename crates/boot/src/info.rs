//! What a kernel knows of itself, for its components: one page of figures that the root writes and all its processes
//! map, and beside it what the manifest says, which every process of a boot inherits.
//!
//! The page carries figures for people. Nothing in a kernel relies on it, so a domain that scribbles on it spoils what
//! `/proc` shows and nothing else.

use std::fmt::Write;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

use kd_api::interfaces::kernel::{ComponentInfo, KernelInfo};
use kd_api::{Errno, OutBuf, Result};
use kd_machine::clock;
use kd_machine::memory::{Memory, Words};
use serde::{Deserialize, Serialize};

use crate::start::Prepared;
use crate::{Manifest, log};

const WORDS: usize = 4;
const DOMAIN: usize = 0;
const RESTARTS: usize = 1;
const CROSSINGS: usize = 2;
/// In the word for crossings: nobody counts them.
const UNCOUNTED: u64 = u64::MAX;

/// One boot, as its processes see it.
pub struct Info {
    figures: Words,
    memory: Memory,
    fixed: Fixed,
}

/// What does not change.
#[derive(Clone, Serialize, Deserialize)]
pub struct Fixed {
    booted: u64,
    command_line: String,
    /// Of each its name, interface, placement and module.
    components: Vec<ComponentInfo>,
}

static INFO: OnceLock<Arc<Info>> = OnceLock::new();

/// Notes what this boot is made of, once, in the root and before it forks anything.
///
/// # Errors
/// The host's, if it has no page to share.
pub fn open(manifest: &Manifest, prepared: &[Prepared]) -> io::Result<()> {
    let memory = Memory::new("kd-info", (prepared.len() * WORDS * 8).max(8))?;
    // Nobody but these can ask for it, and it takes some milliseconds.
    let asked = prepared.iter().any(Prepared::imports_kernel);
    let hash = |prepared: &Prepared| if asked { prepared.module_hash() } else { None };
    let component = |prepared: &Prepared| ComponentInfo {
        name: prepared.entry.name.clone(),
        interface: prepared.component.interface.name.into(),
        placement: prepared.placement.name().into(),
        module: hash(prepared).unwrap_or_default(),
        domain: 0,
        restarts: 0,
        crossings: None,
        resident: 0,
    };
    let components: Vec<_> = prepared.iter().map(component).collect();
    let fixed = Fixed { booted: clock::now(), command_line: command_line(manifest), components };
    adopt(fixed, memory)?;
    if let Some(info) = get() {
        (0..info.fixed.components.len()).for_each(|number| info.word(number, CROSSINGS).store(UNCOUNTED, Relaxed));
    }
    Ok(())
}

/// Takes over what a boot knows of itself, in a process that inherited nothing of it.
///
/// # Errors
/// The host's, if it cannot map the page.
pub fn adopt(fixed: Fixed, memory: Memory) -> io::Result<()> {
    let figures = Words::new(memory.map()?);
    // A root has one boot; a second one would find the first.
    let _ = INFO.set(Arc::new(Info { figures, memory, fixed }));
    Ok(())
}

/// This boot, if it is open.
pub fn get() -> Option<&'static Arc<Info>> {
    INFO.get()
}

/// What a kernel's command line would have said.
fn command_line(manifest: &Manifest) -> String {
    let Manifest { kernel, placement, wait, panic_on_oops, cores, .. } = manifest;
    let mut line = format!("kernel={} placement={} wait={}", kernel.name(), placement.name(), wait.0.name());
    let cores: Vec<String> = cores.iter().map(ToString::to_string).collect();
    if !cores.is_empty() {
        // A text never refuses.
        let _ = write!(line, " cpus={}", cores.join(","));
    }
    if *panic_on_oops {
        line.push_str(" panic_on_oops=1");
    }
    line.push('\n');
    line
}

impl Info {
    /// What does not change, and where the rest is: to be handed on.
    pub fn parts(&self) -> (&Fixed, &Memory) {
        (&self.fixed, &self.memory)
    }

    fn word(&self, number: usize, word: usize) -> &std::sync::atomic::AtomicU64 {
        self.figures.get(number * WORDS + word)
    }

    /// A component runs in this process, after so many restarts; 0 when it does not run.
    pub fn set_domain(&self, number: usize, pid: i32, restarts: u32) {
        self.word(number, DOMAIN).store(pid as u64, Relaxed);
        self.word(number, RESTARTS).store(restarts.into(), Relaxed);
    }

    /// How often a component was started anew.
    pub fn restarts(&self, number: usize) -> u32 {
        self.word(number, RESTARTS).load(Relaxed) as u32
    }

    /// So many messages of a component's clients were taken up.
    pub fn set_crossings(&self, number: usize, crossings: u64) {
        self.word(number, CROSSINGS).store(crossings, Relaxed);
    }
}

/// The memory that a process has, as the host counts it; 0 if it is gone.
fn resident(pid: u32) -> u64 {
    const PAGE: u64 = 4096;
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * PAGE
}

impl KernelInfo for Info {
    fn component(&self, number: u32) -> Result<ComponentInfo> {
        let number = number as usize;
        let fixed = self.fixed.components.get(number).ok_or(Errno::ENOENT)?;
        let word = |word| self.word(number, word).load(Relaxed);
        let domain = word(DOMAIN) as u32;
        let crossings = Some(word(CROSSINGS)).filter(|count| *count != UNCOUNTED);
        Ok(ComponentInfo {
            domain,
            restarts: self.restarts(number),
            crossings,
            resident: resident(domain),
            ..fixed.clone()
        })
    }

    fn uptime(&self) -> Result<u64> {
        Ok(clock::now().saturating_sub(self.fixed.booted))
    }

    fn command_line(&self, out: &mut OutBuf<'_>) -> Result<usize> {
        Ok(out.write(self.fixed.command_line.as_bytes()))
    }

    fn log(&self, out: &mut OutBuf<'_>) -> Result<usize> {
        let before = out.written();
        for line in log::read() {
            let at = line.at.saturating_sub(self.fixed.booted) as f64 / 1e9;
            out.write(format!("[{at:12.6}] {}\n", line.text).as_bytes());
        }
        Ok(out.written() - before)
    }
}
