//! A disk in memory, as a driver module.
