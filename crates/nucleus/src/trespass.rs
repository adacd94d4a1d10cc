//! Loads and stores at any address, for components that are told to fail: a fault may look at memory that is not its own, or
//! write there, and then the processor does it. What stops it is what stands around the component, or nothing does.
//!
//! Nothing here is called in a boot that was not told to fail. To the compiler each access is machine code that it does not
//! look into, as [`copy_shared`] is, so that a fault spoils what it hits and nothing that the compiler derived.

use std::alloc::{Layout, alloc, dealloc};

use kd_api::window::copy_shared;

/// Fills `to` from an address, or faults.
pub fn load(address: usize, to: &mut [u8]) {
    // SAFETY: none, on purpose, for the source: this is the fault that its caller was told to be, an access that the
    // component has no right to. `to` is its own. If the page is there bytes come, whatever they mean; if not, the process takes
    // the fault as it would take that of any broken code.
    unsafe { copy_shared(to.as_mut_ptr(), address as *const u8, to.len()) }
}

/// Writes to an address, or faults.
pub fn store(address: usize, from: &[u8]) {
    // SAFETY: as for `load`: whoever owns what lies there is the victim of a fault, which this boot was made to have.
    unsafe { copy_shared(address as *mut u8, from.as_ptr(), from.len()) }
}

/// What the heap hands out as `to.len()` fresh bytes, before anybody writes to them: what their last owner left.
pub fn recycled(to: &mut [u8]) {
    let Ok(layout) = Layout::from_size_align(to.len().max(1), 8) else { return };
    // SAFETY: a block of this size, given back with the same layout. It is read before it was written, which is the fault;
    // the compiler does not see that it is, since the bytes go through machine code.
    unsafe {
        let block = alloc(layout);
        if !block.is_null() {
            copy_shared(to.as_mut_ptr(), block, to.len());
            dealloc(block, layout);
        }
    }
}
