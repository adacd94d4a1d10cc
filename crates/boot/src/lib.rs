//! Manifests: which components a kernel boots, how they are wired, and where they are placed.
