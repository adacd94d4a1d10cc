//! Loading: the host's dynamic linker maps a module's segments, then its entry is called.

use std::ffi::{CStr, CString, c_void};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
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

impl ModuleFile {
    /// Loads an instance of its own, with statics of its own, and starts its driver.
    ///
    /// # Errors
    /// Those of [`ModuleFile::check`], before any code of the module runs; then `Load`, `NoEntry`, `Refused`, `Host`.
    pub fn load(&self, name: &str, host: &'static HostTable, env: &DriverEnv<'_>) -> Result<LoadedModule, ModuleError> {
        self.check(name, env.parameters)?;
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
        let driver = entry(host, env).map_err(|errno| ModuleError::Refused { path: self.path.clone(), errno })?;
        std::mem::forget(library);
        Ok(LoadedModule { driver, base, range: base..base + size, patch_code, patch_data })
    }

    /// A private copy of what a loader maps. One file loaded twice would be one instance.
    fn copy(&self) -> io::Result<Memory> {
        let bytes = self.loaded_bytes();
        let copy = Memory::new("kd-module", bytes.len())?;
        std::fs::File::from(copy.as_fd().try_clone_to_owned()?).write_all_at(bytes, 0)?;
        Ok(copy)
    }
}

/// A library of the dynamic linker; closed when dropped.
struct Library(*mut c_void);

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
