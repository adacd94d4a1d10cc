//! The border of a loadable module: what its host hands over at entry, and what it gives back.
//!
//! Nothing owned crosses it. The module allocates through the host's table from the domain's arena, borrows the
//! medium, and offers a `&'static` interface object; everything is checked by the version stamp before any code runs.

use core::sync::atomic::AtomicU32;

use crate::device::Device;
use crate::interfaces::block::BlockDevice;
use crate::{InBuf, OutBuf, Result};

/// The version stamp: compiler, target, features, profile and this crate's sources. A module whose stamp differs from its
/// host's may see other layouts than the host, so it is refused.
pub const VERMAGIC: &str =
    if cfg!(debug_assertions) { concat!(env!("KD_VERMAGIC"), ", debug") } else { env!("KD_VERMAGIC") };

/// Memory of a device that only its driver's domain maps.
pub trait Medium: Send + Sync {
    /// Bytes it has.
    fn size(&self) -> u64;
    /// Fills `out` from byte `offset` on as far as the medium goes; returns bytes.
    fn read(&self, offset: u64, out: &mut OutBuf<'_>) -> Result<usize>;
    /// Stores `data` from byte `offset` on as far as the medium goes; returns bytes.
    fn write(&self, offset: u64, data: &mut InBuf<'_>) -> Result<usize>;
}

/// What the host gives a module: plain functions of the domain that loads it.
#[repr(C)]
pub struct HostTable {
    /// Memory from the domain's arena, or null.
    pub allocate: extern "C" fn(size: usize, align: usize) -> *mut u8,
    /// Gives memory of `allocate` back; the same size and alignment, and nobody may use it any more.
    pub deallocate: unsafe extern "C" fn(at: *mut u8, size: usize, align: usize),
    /// The module panicked: never returns. The text is UTF-8 of `len` bytes.
    pub panicked: extern "C" fn(text: *const u8, len: usize) -> !,
    /// A line for the kernel log.
    pub log: extern "C" fn(text: *const u8, len: usize),
    /// Parks the thread while the word holds the value (see `kd_sync`).
    pub wait: fn(word: &AtomicU32, expected: u32, long: bool),
    /// Wakes up to `count` threads parked on the word.
    pub wake: fn(word: &AtomicU32, count: u32),
}

/// What a driver is started with.
pub struct DriverEnv<'a> {
    /// The medium its device has, if any.
    pub medium: Option<&'static dyn Medium>,
    /// Its device, if it is one with a ring.
    pub device: Option<&'static dyn Device>,
    /// Values of its parameters by name, checked against its declaration.
    pub parameters: &'a [(&'a str, u64)],
}

/// What a driver offers.
pub type Driver = &'static dyn BlockDevice;

/// A module's entry, exported as `kd_module_<name>`: called once, after every check.
pub type Entry = fn(host: &'static HostTable, env: &DriverEnv<'_>) -> Result<Driver>;
