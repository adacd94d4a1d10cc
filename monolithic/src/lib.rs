//! The direct-call kernel core.
