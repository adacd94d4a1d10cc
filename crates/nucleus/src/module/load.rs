//! Loading: the host's dynamic linker maps a module's segments, then its entry is called.

use std::ffi::{CStr, CString, c_void};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use kd_api::module::{Driver, DriverEnv, Entry, HostTable};
use kd_machine::memory::Memory;

use super::{ModuleError, ModuleFile, room};

/// A module in this process. It stays as long as the process: its driver may be called from anywhere.
pub struct LoadedModule {
    /// Its driver.
    pub driver: Driver,
    /// The address that its file's addresses count from.
    pub base: usize,
    /// Where its mapped segments lie.
    pub range: Range<usize>,
    /// The patch room's page of code.
    pub patch_code: usize,
    /// The patch room's page of data.
    pub patch_data: usize,
}

/// A module whose segments are mapped, and of which nothing has run but the standard library's constructors.
pub struct MappedModule {
    library: Library,
    entry: Entry,
    path: PathBuf,
    /// Where its mapped segments lie.
    pub range: Range<usize>,
    /// The patch room's page of code.
    pub patch_code: usize,
    /// The patch room's page of data.
    pub patch_data: usize,
}

/// A module's statics as they were before anything of it ran.
pub struct Snapshot(Vec<(usize, Vec<u8>)>);

impl ModuleFile {
    /// Loads an instance of its own, with statics of its own, and starts its driver.
    ///
    /// # Errors
    /// Those of [`ModuleFile::map`]; then `Refused`.
    pub fn load(&self, name: &str, host: &'static HostTable, env: &DriverEnv<'_>) -> Result<LoadedModule, ModuleError> {
        let module = self.map(name, env.parameters)?;
        let driver = module.start(host, env)?;
        let MappedModule { library, range, patch_code, patch_data, .. } = module;
        std::mem::forget(library);
        Ok(LoadedModule { driver, base: range.start, range, patch_code, patch_data })
    }

    /// Maps an instance of its own, with statics of its own; it is unmapped when it is dropped.
    ///
    /// # Errors
    /// Those of [`ModuleFile::check`], before any code of the module runs; then `Load`, `NoEntry`, `Host`.
    pub fn map(&self, name: &str, parameters: &[(impl AsRef<str>, u64)]) -> Result<MappedModule, ModuleError> {
        self.check(name, parameters)?;
        let failed = |source| ModuleError::Host { path: self.path.clone(), source };
        let library = Library::open(self)?;
        let entry_name = format!("kd_module_{name}");
        let no_entry = || ModuleError::NoEntry { path: self.path.clone(), entry: entry_name.clone() };
        let entry = library.symbol(&entry_name).ok_or_else(no_entry)?;
        let base = base_of(entry).ok_or_else(no_entry)?;
        let size = self.memory_size();
        let (patch_code, patch_data) = room::reserve(base, size).map_err(failed)?;
        // SAFETY: `driver!` exports this name for a function of this type alone, and the version stamp, which `check`
        // compared, says that the type is the same here.
        let entry = unsafe { std::mem::transmute::<*mut c_void, Entry>(entry) };
        Ok(MappedModule { library, entry, path: self.path.clone(), range: base..base + size, patch_code, patch_data })
    }

    /// A private copy of what a loader maps. One file loaded twice would be one instance.
    fn copy(&self) -> io::Result<Memory> {
        let bytes = self.loaded_bytes();
        let copy = Memory::new("kd-module", bytes.len())?;
        std::fs::File::from(copy.as_fd().try_clone_to_owned()?).write_all_at(bytes, 0)?;
        Ok(copy)
    }
}

impl MappedModule {
    /// Starts its driver.
    ///
    /// # Errors
    /// `Refused`.
    pub fn start(&self, host: &'static HostTable, env: &DriverEnv<'_>) -> Result<Driver, ModuleError> {
        (self.entry)(host, env).map_err(|errno| ModuleError::Refused { path: self.path.clone(), errno })
    }

    /// The pages of its segments that it writes: its statics. Relocated constants are not among them.
    ///
    /// # Errors
    /// The host's, if it does not tell what is mapped.
    pub fn statics(&self) -> io::Result<Vec<Range<usize>>> {
        let maps = std::fs::read_to_string("/proc/self/maps")?;
        let end = self.range.end.next_multiple_of(room::PAGE);
        let written = |line: &str| {
            let (range, access) = line.split_once(' ')?;
            let (from, to) = range.split_once('-')?;
            let (from, to) = (usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?);
            // Anonymous memory behind the segments may have become one mapping with the last of them.
            let range = from.max(self.range.start)..to.min(end);
            (access.starts_with("rw") && !range.is_empty()).then_some(range)
        };
        Ok(maps.lines().filter_map(written).collect())
    }

    /// What its statics hold now, to be put back by [`MappedModule::restore`].
    ///
    /// # Errors
    /// As [`MappedModule::statics`].
    pub fn snapshot(&self) -> io::Result<Snapshot> {
        // SAFETY: mapped pages of this module, of which nothing runs that could write them.
        let copy = |range: Range<usize>| unsafe { std::slice::from_raw_parts(range.start as *const u8, range.len()) };
        Ok(Snapshot(self.statics()?.into_iter().map(|range| (range.start, copy(range).to_vec())).collect()))
    }

    /// Makes its statics what they were.
    ///
    /// # Safety
    /// Nothing of the module runs, nor will anything use what it made of itself since the snapshot, which was taken of
    /// this module; the caller may write its statics.
    pub(crate) unsafe fn restore(&self, snapshot: &Snapshot) {
        for (start, bytes) in &snapshot.0 {
            // SAFETY: the pages that the snapshot was taken of; by this function's contract nobody uses them.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), *start as *mut u8, bytes.len()) };
        }
    }
}

/// A library of the dynamic linker; closed when dropped.
struct Library(*mut c_void);

// SAFETY: a handle of the linker's, which any thread may name to it.
unsafe impl Send for Library {}
// SAFETY: as above; sharing it reads nothing.
unsafe impl Sync for Library {}

impl Library {
    fn open(file: &ModuleFile) -> Result<Library, ModuleError> {
        let copy = file.copy().map_err(|source| ModuleError::Host { path: file.path.clone(), source })?;
        let path = unique_path(copy.as_fd().as_raw_fd());
        // SAFETY: a valid C string. Constructors of the library run: those of the standard library, since `driver!`
        // makes none and drivers have no `unsafe` to make one with.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            return Err(ModuleError::Load { path: file.path.clone(), why: last_error() });
        }
        Ok(Library(handle))
    }

    fn symbol(&self, name: &str) -> Option<*mut c_void> {
        let name = CString::new(name).ok()?;
        // SAFETY: the handle is open, the name a valid C string.
        let at = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        (!at.is_null()).then_some(at)
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: the handle is open; it is dropped only when no driver of it started, so nobody refers into it.
        unsafe { libc::dlclose(self.0) };
    }
}

/// A path to a descriptor that no load of this process used before: the dynamic linker takes a path that it knows for
/// the library that it knows. The load's number is written in the ways to spell a separator.
fn unique_path(fd: i32) -> CString {
    static LOADS: AtomicUsize = AtomicUsize::new(1);
    let number = format!("{:b}", LOADS.fetch_add(1, Relaxed)).replace('0', "/").replace('1', "./");
    CString::new(format!("/proc/self/fd/{number}{fd}")).expect("has no NUL")
}

/// Where the library that holds an address begins.
fn base_of(at: *mut c_void) -> Option<usize> {
    // SAFETY: all-zero is a valid `Dl_info`.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is live and writable.
    (unsafe { libc::dladdr(at, &raw mut info) } != 0).then_some(info.dli_fbase as usize)
}

fn last_error() -> String {
    // SAFETY: the text belongs to the linker and is copied before this thread calls it again.
    unsafe {
        let text = libc::dlerror();
        if text.is_null() { "no reason given".into() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
    }
}
