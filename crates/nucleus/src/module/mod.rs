//! Driver modules: found, checked, loaded; the same file in every kernel.
//!
//! A [`ModuleFile`] is read whole and checked (name, licence, parameters, version stamp) before any of its code runs.
//! Each load is an instance of its own, with statics of its own. Beside a module's text the loader always leaves a
//! [patch room](room), as Linux does for its tracer and for live patches.
//!
//! `unsafe` stands in `border`, `load` and `room`.

mod border;
mod error;
mod file;
mod info;
mod load;
pub mod room;
pub mod symbols;

pub use border::border_text;
pub use error::ModuleError;
pub use file::{ModuleFile, sha256};
pub use info::{ModInfo, Parameter};
pub use load::{LoadedModule, MappedModule, Snapshot};
