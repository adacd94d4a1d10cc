//! The subsystems both kernels run: vfs, ramfs, pipe, proc.
