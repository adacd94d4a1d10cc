//! A block device that stores nothing, as a driver module.
