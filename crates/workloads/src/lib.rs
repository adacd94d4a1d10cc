//! What apps run.
