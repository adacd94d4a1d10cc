//! What a driver module links: its entry, panic fence and allocator.
