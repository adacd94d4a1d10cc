//! The module's allocator: it asks the host's table.
//!
//! A module has a global allocator of its own, since a host's does not reach into it. Before entry (and in a driver's
//! own unit tests, which have no host) memory is the C library's. A block must go back to where it came from, so entry
//! refuses while such a block lives.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::*};

use kd_api::module::HostTable;
use kd_api::{Errno, Result};

struct HostAllocator {
    host: AtomicPtr<HostTable>,
    /// Blocks of the C library that live.
    own: AtomicUsize,
}

#[global_allocator]
static ALLOCATOR: HostAllocator = HostAllocator { host: AtomicPtr::new(null_mut()), own: AtomicUsize::new(0) };

/// From now on memory is the host's. `EBUSY` if the module holds memory already, or was entered before.
pub(crate) fn install(host: &'static HostTable) -> Result<()> {
    if ALLOCATOR.own.load(Acquire) != 0 {
        return Err(Errno::EBUSY);
    }
    let host = std::ptr::from_ref(host).cast_mut();
    ALLOCATOR.host.compare_exchange(null_mut(), host, Release, Relaxed).map(|_| ()).map_err(|_| Errno::EBUSY)
}

impl HostAllocator {
    fn host(&self) -> Option<&'static HostTable> {
        // SAFETY: null, or `install` stored a `&'static` here.
        unsafe { self.host.load(Acquire).as_ref() }
    }
}

// SAFETY: each block comes from the host or from `System`, and both keep this contract. It goes back to the one it came
// from: the host is set once, and only while no block of `System` lives.
unsafe impl GlobalAlloc for HostAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.host() {
            Some(host) => (host.allocate)(layout.size(), layout.align()),
            None => {
                self.own.fetch_add(1, Relaxed);
                // SAFETY: passed on.
                unsafe { System.alloc(layout) }
            }
        }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        match self.host() {
            // SAFETY: once there is a host, every block came from it, with this layout.
            Some(host) => unsafe { (host.deallocate)(at, layout.size(), layout.align()) },
            None => {
                self.own.fetch_sub(1, Relaxed);
                // SAFETY: passed on.
                unsafe { System.dealloc(at, layout) }
            }
        }
    }
}
