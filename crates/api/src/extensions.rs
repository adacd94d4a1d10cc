//! Everything that was added to the kernels the short way: three files and one line here.
//!
//! A name below stands for `crates/api/src/interfaces/<name>.rs` (the interface),
//! `crates/subsystems/src/<name>.rs` (its component) and `crates/workloads/src/<name>.rs` (its workloads). The three
//! crates ask for the names and declare what they find there; nothing else needs to know of a newcomer.
//! `CONTRIBUTING.md` shows the way step by step.

/// Calls the macro `$each` with the names of all extensions, one identifier after the other.
#[macro_export]
macro_rules! extensions {
    ($each:ident) => {
        $each! {
            kv
        }
    };
}
