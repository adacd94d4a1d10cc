//! Locks and wait queues for no_std code; parking goes through a hook that the core installs.
