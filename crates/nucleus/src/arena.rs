//! Arenas: each domain's heap, never the C library's.
//!
//! Arenas and the frames of devices lie densely at fixed places in one region, as in Linux's direct map, so that a wild
//! pointer hits what it would hit there: in the monolithic kernel another subsystem's objects, in a domain of its own a
//! hole. A process starts with the C library's heap and moves to an arena once, when it becomes a domain; memory from
//! before is given back to where it came from, told apart by its address.
//!
//! Where domains share a process (see [`crate::pkey`]), each has an arena as well, whose state lies at its own beginning.
//! Memory comes from the arena of the domain that the thread is in, as its stack says, and goes back by its address.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io;
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::*};

use kd_machine::memory::{Memory, anonymous_at};
use talc::{ErrOnOom, Span, Talc, Talck};

use crate::pkey::{self, domain};

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
    /// The process's own.
    own: Heap,
    /// Where that begins; [`NOWHERE`] before there is one.
    begin: AtomicUsize,
    /// Where memory comes from: [`SYSTEM`], [`OWN`] or [`BY_STACK`]. In a process without protected domains, which is
    /// nearly every one, it is all that an allocation asks.
    from: AtomicU8,
}

/// From the C library.
const SYSTEM: u8 = 0;
/// From the process's own arena.
const OWN: u8 = 1;
/// From that of the domain whose stack the thread is on.
const BY_STACK: u8 = 2;
/// The end of all addresses, where no program has memory.
const NOWHERE: usize = usize::MAX - PLACE;

/// An arena's state.
struct Heap {
    arena: Talck<kd_sync::RawMutex, ErrOnOom>,
    allocations: AtomicU64,
}

#[global_allocator]
static ALLOCATOR: DomainAllocator =
    DomainAllocator { own: Heap::new(), begin: AtomicUsize::new(NOWHERE), from: AtomicU8::new(SYSTEM) };

static PHYSICAL: OnceLock<Memory> = OnceLock::new();

/// The memory behind the whole region, as one object: arenas adopted from now on, in this process and those forked from
/// it, are parts of it. A machine needs that only if it has a device without an IOMMU, which reaches all of it; without,
/// an arena is its domain's own.
pub fn physical() -> io::Result<&'static Memory> {
    let memory = Memory::new("kd-physical", PLACES * PLACE)?;
    Ok(PHYSICAL.get_or_init(|| memory))
}

/// Memory that is to be mapped at a place and outlives whoever does so: of its own, or, where there is one, a part of the
/// memory behind the region.
///
/// # Errors
/// More than a place has; the host's.
pub fn lasting(number: usize, name: &str, bytes: usize) -> io::Result<Memory> {
    if bytes > PLACE {
        return Err(io::Error::other(format!("{name} has {bytes} bytes, and a place of the direct map {PLACE}")));
    }
    match PHYSICAL.get() {
        Some(physical) => physical.part(number * PLACE, bytes),
        None => Memory::new(name, bytes),
    }
}

/// The memory of one place, empty.
fn memory_of(number: usize) -> io::Result<std::ptr::NonNull<u8>> {
    let Some(physical) = PHYSICAL.get() else { return Ok(anonymous_at(place(number), PLACE)?.leak()) };
    let part = physical.part(number * PLACE, PLACE)?;
    part.clear()?;
    Ok(part.map_at(place(number))?.leak())
}

impl Heap {
    const fn new() -> Heap {
        Heap { arena: Talc::new(ErrOnOom).lock(), allocations: AtomicU64::new(0) }
    }

    /// # Safety
    /// The span is memory that stays mapped and that nobody else uses.
    unsafe fn claim(&self, span: Span) -> io::Result<()> {
        // SAFETY: by this function's contract.
        let claimed = unsafe { self.arena.lock().claim(span) };
        claimed.map(drop).map_err(|()| io::Error::other("the arena is too small to be one"))
    }
}

/// Makes this process a domain whose heap is the arena at a place. Once, and before it starts threads.
pub fn adopt(number: usize) -> io::Result<()> {
    let at = memory_of(number)?;
    // SAFETY: fresh zero pages of `PLACE` bytes that stay mapped for ever and that nobody else knows of.
    unsafe { ALLOCATOR.own.claim(Span::from_base_size(at.as_ptr(), PLACE)) }?;
    ALLOCATOR.begin.store(place(number), Release);
    ALLOCATOR.from.store(OWN, Release);
    Ok(())
}

/// Makes an empty arena at a place, for a domain of this process.
pub fn found(number: usize) -> io::Result<()> {
    let at = memory_of(number)?.cast::<Heap>();
    // SAFETY: fresh zero pages of `PLACE` bytes, aligned to pages, that stay mapped for ever and that nobody else knows
    // of: the state comes first, and all the rest is the arena.
    unsafe {
        at.write(Heap::new());
        at.as_ref().claim(Span::new(at.add(1).cast().as_ptr(), at.cast::<u8>().add(PLACE).as_ptr()))?;
    }
    ALLOCATOR.from.store(BY_STACK, Release);
    Ok(())
}

/// Makes a domain's arena empty again and gives the host back what it took. Nobody may be in the domain.
pub fn refound(number: usize) -> io::Result<()> {
    let at = place(number) as *mut Heap;
    match PHYSICAL.get() {
        Some(physical) => physical.part(number * PLACE, PLACE)?.clear()?,
        // SAFETY: private pages that `found` mapped become zeros; the domain that used them is no more.
        None => match unsafe { libc::madvise(at.cast(), PLACE, libc::MADV_DONTNEED) } {
            0 => {}
            _ => return Err(io::Error::last_os_error()),
        },
    }
    // SAFETY: as in `found`; the pages are zeros again.
    unsafe {
        at.write(Heap::new());
        (*at).claim(Span::new(at.add(1).cast(), at.cast::<u8>().add(PLACE)))
    }
}

/// Allocations so far from the arena of the domain that the caller is in: zero between two readings proves that a path
/// does not allocate.
pub fn allocations() -> u64 {
    ALLOCATOR.here().map_or(0, |heap| heap.allocations.load(Relaxed))
}

impl DomainAllocator {
    /// The arena that memory comes from now; none before this process has one.
    #[inline]
    fn here(&self) -> Option<&Heap> {
        if self.from.load(Relaxed) == OWN { Some(&self.own) } else { self.elsewhere() }
    }

    #[cold]
    fn elsewhere(&self) -> Option<&Heap> {
        let domain = match self.from.load(Relaxed) {
            BY_STACK => pkey::thread::here(),
            _ => pkey::COMMON,
        };
        if domain >= pkey::FIRST {
            return Some(Self::founded(domain::place(domain)));
        }
        (self.begin.load(Relaxed) != NOWHERE).then_some(&self.own)
    }

    /// The arena that a block lies in; none if it is the C library's.
    #[inline]
    fn of(&self, at: *mut u8) -> Option<&Heap> {
        let offset = (at as usize).wrapping_sub(self.begin.load(Relaxed));
        if offset < PLACE { Some(&self.own) } else { Self::of_domain(at) }
    }

    #[cold]
    fn of_domain(at: *mut u8) -> Option<&'static Heap> {
        let number = (at as usize).wrapping_sub(DIRECT_MAP) / PLACE;
        (number < PLACES).then(|| Self::founded(number))
    }

    #[inline]
    fn founded(number: usize) -> &'static Heap {
        // SAFETY: a thread on a domain's stack, or a block from its arena, says that `found` wrote the state there. It
        // is used through atomics and a lock alone.
        unsafe { &*(place(number) as *const Heap) }
    }
}

// SAFETY: every block comes from the arena or from `System` and goes back to the one whose address range it lies in;
// both keep the contract of `GlobalAlloc` themselves.
unsafe impl GlobalAlloc for DomainAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(heap) = self.here() else {
            // SAFETY: passed on.
            return unsafe { System.alloc(layout) };
        };
        heap.allocations.fetch_add(1, Relaxed);
        // SAFETY: passed on.
        unsafe { heap.arena.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if self.here().is_none() {
            // Large blocks come as pages that are zeros already, and that nobody touches before they are used.
            // SAFETY: passed on.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: passed on.
        let at = unsafe { self.alloc(layout) };
        if !at.is_null() {
            // SAFETY: a fresh block of this size.
            unsafe { at.write_bytes(0, layout.size()) };
        }
        at
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        match self.of(at) {
            // SAFETY: passed on; the address says which arena it came from.
            Some(heap) => unsafe { heap.arena.dealloc(at, layout) },
            // SAFETY: passed on; only arenas lie in the region.
            None => unsafe { System.dealloc(at, layout) },
        }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if let Some(heap) = self.of(at) {
            // SAFETY: passed on.
            return unsafe { heap.arena.realloc(at, layout, new_size) };
        }
        if self.here().is_none() {
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
