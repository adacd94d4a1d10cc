//! What can be wrong with a layout: each names its file and its entry, and says what to do.

use crate::order::OrderError;
use crate::policy::PolicyError;

/// Why there is no layout, or none that boots.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// None of this name is shipped.
    #[error(
        "there is no placement `{name}`: use {known}, one of these with a boundary (coarse/thread), or a file that ends in .json"
    )]
    Name {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The file cannot be read.
    #[error("cannot read {file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// What the host said.
        source: std::io::Error,
    },
    /// The file is no layout.
    #[error("{file} is no placement: {source}; its form is that of crates/boot/placements/placement.schema.json")]
    Form {
        /// The file.
        file: String,
        /// What is wrong, and at which line.
        source: serde_json::Error,
    },
    /// A boundary that there is not, or not there.
    #[error("{file}: {entry}: the boundary cannot be `{word}`: use {known}")]
    Word {
        /// The file.
        file: String,
        /// Which entry of it.
        entry: String,
        /// The word.
        word: String,
        /// What may stand there.
        known: String,
    },
    /// Domains, and nothing between them.
    #[error(
        "{file}: `domains`: nothing stands between components whose boundary is `direct`: drop the domains, or choose another boundary"
    )]
    NoBoundary {
        /// The file.
        file: String,
    },
    /// A component that the kernel does not have.
    #[error("{file}: {entry}: there is no component `{component}`; there are: {known}")]
    Unknown {
        /// The file.
        file: String,
        /// Which entry of it.
        entry: String,
        /// The name.
        component: String,
        /// Those that there are.
        known: String,
    },
    /// A component, kind or domain that is named twice.
    #[error("{file}: {entry}: `{name}` is named before: name it once")]
    Twice {
        /// The file.
        file: String,
        /// The second entry that names it.
        entry: String,
        /// The name.
        name: String,
    },
    /// A policy that makes no sense.
    #[error("{file}: {entry}: {source}")]
    Policy {
        /// The file.
        file: String,
        /// Which policy of it.
        entry: String,
        /// What is wrong.
        source: PolicyError,
    },
    /// A policy for what cannot be restarted by itself.
    #[error(
        "{file}: `policies`: `{component}` has no process of its own to restart: drop its policy, or place it `process`"
    )]
    NoProcess {
        /// The file.
        file: String,
        /// The component.
        component: String,
    },
    /// Imports that do not fit together.
    #[error("{file}: {entry}: {source}")]
    Order {
        /// The file.
        file: String,
        /// Which entry of it.
        entry: &'static str,
        /// What is wrong.
        source: OrderError,
    },
}
