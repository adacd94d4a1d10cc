//! Arenas: each domain's heap, never the C library's.
//!
//! Arenas and the frames of devices lie densely at fixed places in one region, as in Linux's direct map, so that a wild
//! pointer hits what it would hit there: in the monolithic kernel another subsystem's objects, in a domain of its own a
//! hole. A process starts with the C library's heap and moves to an arena once, when it becomes a domain; memory from
//! before is given back to where it came from, told apart by its address.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io;
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};

use kd_machine::memory::{Memory, anonymous_at};
use talc::{ErrOnOom, Span, Talc, Talck};

/// Where the region begins.
pub const DIRECT_MAP: usize = 0x2000_0000_0000;
/// Bytes of one place in it: an arena or a device's frames.
pub const PLACE: usize = 64 << 20;
/// Places in it: the lower half for arenas and disks, the upper end for what devices with rings are lent.
pub const PLACES: usize = 128;

/// The address of a place.
pub const fn place(number: usize) -> usize {
    DIRECT_MAP + number * PLACE
}

/// The allocator of every program that links the nucleus.
pub struct DomainAllocator {
    arena: Talck<kd_sync::RawMutex, ErrOnOom>,
    adopted: AtomicBool,
    allocations: AtomicU64,
}

#[global_allocator]
static ALLOCATOR: DomainAllocator = DomainAllocator {
    arena: Talc::new(ErrOnOom).lock(),
    adopted: AtomicBool::new(false),
    allocations: AtomicU64::new(0),
};

static PHYSICAL: OnceLock<Memory> = OnceLock::new();

/// The memory behind the whole region, as one object: arenas adopted from now on, in this process and those forked from
/// it, are parts of it. A machine needs that only if it has a device without an IOMMU, which reaches all of it; without,
/// an arena is its domain's own.
pub fn physical() -> io::Result<&'static Memory> {
    let memory = Memory::new("kd-physical", PLACES * PLACE)?;
    Ok(PHYSICAL.get_or_init(|| memory))
}

/// The memory of one place, empty.
fn memory_of(number: usize) -> io::Result<std::ptr::NonNull<u8>> {
    let Some(physical) = PHYSICAL.get() else { return Ok(anonymous_at(place(number), PLACE)?.leak()) };
    let part = physical.part(number * PLACE, PLACE)?;
    part.clear()?;
    Ok(part.map_at(place(number))?.leak())
}

/// Makes this process a domain whose heap is the arena at a place. Once, and before it starts threads.
pub fn adopt(number: usize) -> io::Result<()> {
    let at = memory_of(number)?;
    // SAFETY: fresh zero pages of `PLACE` bytes that stay mapped for ever and that nobody else knows of.
    let claimed = unsafe { ALLOCATOR.arena.lock().claim(Span::from_base_size(at.as_ptr(), PLACE)) };
    claimed.map_err(|()| io::Error::other("the arena is too small to be one"))?;
    ALLOCATOR.adopted.store(true, Release);
    Ok(())
}

/// Allocations from the arena so far: zero between two readings proves that a path does not allocate.
pub fn allocations() -> u64 {
    ALLOCATOR.allocations.load(Relaxed)
}

fn is_arena(at: *mut u8) -> bool {
    (DIRECT_MAP..DIRECT_MAP + PLACES * PLACE).contains(&(at as usize))
}

// SAFETY: every block comes from the arena or from `System` and goes back to the one whose address range it lies in;
// both keep the contract of `GlobalAlloc` themselves.
unsafe impl GlobalAlloc for DomainAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !self.adopted.load(Relaxed) {
            // SAFETY: passed on.
            return unsafe { System.alloc(layout) };
        }
        self.allocations.fetch_add(1, Relaxed);
        // SAFETY: passed on.
        unsafe { self.arena.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if is_arena(at) {
            // SAFETY: passed on; the address says that it came from the arena.
            unsafe { self.arena.dealloc(at, layout) }
        } else {
            // SAFETY: passed on; only arenas lie in the region.
            unsafe { System.dealloc(at, layout) }
        }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if is_arena(at) {
            // SAFETY: passed on.
            return unsafe { self.arena.realloc(at, layout, new_size) };
        }
        if !self.adopted.load(Relaxed) {
            // SAFETY: passed on.
            return unsafe { System.realloc(at, layout, new_size) };
        }
        // SAFETY: the caller's size is valid for this alignment.
        let new = unsafe { self.alloc(Layout::from_size_align_unchecked(new_size, layout.align())) };
        if !new.is_null() {
            // SAFETY: both blocks are live, distinct, and at least this long; the old one is the caller's to free.
            unsafe {
                std::ptr::copy_nonoverlapping(at, new, layout.size().min(new_size));
                self.dealloc(at, layout);
            }
        }
        new
    }
}

/// `HostTable::allocate` of a domain: a module's memory is the arena's.
pub extern "C" fn module_allocate(size: usize, align: usize) -> *mut u8 {
    match Layout::from_size_align(size, align) {
        // SAFETY: a module asks for no empty blocks: its own `GlobalAlloc` is never asked for any.
        Ok(layout) if size > 0 => unsafe { ALLOCATOR.alloc(layout) },
        _ => null_mut(),
    }
}

/// `HostTable::deallocate` of a domain.
///
/// # Safety
/// `at` comes from [`module_allocate`] with the same size and alignment, and nobody uses it any more.
pub unsafe extern "C" fn module_deallocate(at: *mut u8, size: usize, align: usize) {
    if let Ok(layout) = Layout::from_size_align(size, align) {
        // SAFETY: by this function's contract.
        unsafe { ALLOCATOR.dealloc(at, layout) }
    }
}
