//! Fault models and the injector.
