//! A function of a victim, as its file has it: where a fault is to happen.

use std::fs;

use kd_nucleus::module::symbols;

use crate::error::InjectError;
use crate::victim::{Region, regions};

/// The function that a Rust panic on a bad index goes through; it takes index, length and location.
const PANIC: &str = "core::panicking::panic_bounds_check";

/// A function of a victim.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its demangled name.
    pub name: String,
    /// Its address in the victim.
    pub address: usize,
    /// Its code.
    pub code: Vec<u8>,
    /// The address of its program's panic on a bad index, if the program has one.
    pub panic: Option<usize>,
    /// Whether it returns through memory: its arguments then come one register later.
    pub returns_in_memory: bool,
}

impl Site {
    /// The function whose demangled name holds `symbol`, of a file loaded at `base`: a driver module.
    ///
    /// # Errors
    /// `NoSymbol`.
    pub fn in_file(file: &[u8], base: usize, symbol: &str) -> Result<Site, InjectError> {
        let missing = || InjectError::NoSymbol(symbol.into());
        let found = symbols::find(file, symbol).ok_or_else(missing)?;
        let code = symbols::code(file, &found).ok_or_else(missing)?.to_vec();
        let panic = symbols::find(file, PANIC).map(|panic| base + panic.address);
        Ok(Site { name: found.name, address: base + found.address, code, panic, returns_in_memory: false })
    }

    /// The same in the program that a process runs: a component that is compiled in.
    ///
    /// # Errors
    /// `NoSymbol`, `Host`.
    pub fn in_program(pid: i32, symbol: &str) -> Result<Site, InjectError> {
        let what = || InjectError::host(format!("a look at process {pid}"));
        let path = fs::read_link(format!("/proc/{pid}/exe")).map_err(what())?;
        let file = fs::read(format!("/proc/{pid}/exe")).map_err(what())?;
        let regions = regions(pid).map_err(what())?;
        let base = base_of(&regions, |mapped| mapped == path.to_string_lossy());
        Site::in_file(&file, base.ok_or_else(|| InjectError::NoSymbol(symbol.into()))?, symbol)
    }

    /// The same for a function whose result is too large for registers.
    pub fn returning_in_memory(self) -> Site {
        Site { returns_in_memory: true, ..self }
    }
}

/// The address of the C library's `abort` in a process, if it has one.
pub(crate) fn abort_of(pid: i32) -> Option<usize> {
    let regions = regions(pid).ok()?;
    let is_libc = |path: &str| path.rsplit('/').next().is_some_and(|name| name.starts_with("libc.so"));
    let path = regions.iter().find(|region| is_libc(&region.path))?.path.clone();
    let base = base_of(&regions, |mapped| mapped == path)?;
    let file = fs::read(format!("/proc/{pid}/root{path}")).ok()?;
    let abort = symbols::find(&file, "abort").filter(|symbol| symbol.name == "abort")?;
    Some(base + abort.address)
}

/// Where a file is mapped from its first byte on.
fn base_of(regions: &[Region], is_it: impl Fn(&str) -> bool) -> Option<usize> {
    regions.iter().find(|region| region.offset == 0 && is_it(&region.path)).map(|region| region.range.start)
}
