//! The mechanisms both kernel cores link: processes, shared memory, channels, arenas, module loading.
