//! How the figures of one bench target reach the report that another one makes: a small file beside the executables.
//!
//! The bench that measured writes it; the suite, which the same `cargo bench` starts later, reads it and takes it away.
//! Figures count only if this very run produced them: a file of another command is told by the process that started
//! its bench.

use std::fs;
use std::io;
use std::os::unix::process::parent_id;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The file's content.
#[derive(Serialize, Deserialize)]
struct Handover<T> {
    /// The process that started the bench: cargo.
    parent: u32,
    figures: T,
}

fn path(bench: &str) -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(format!("{bench}.json")))
}

/// Hands over what a bench has measured.
///
/// # Errors
/// The host's, writing the file.
pub fn publish<T: Serialize>(bench: &str, figures: &T) -> io::Result<()> {
    fs::write(path(bench)?, serde_json::to_vec(&Handover { parent: parent_id(), figures })?)
}

/// What a bench of this `cargo bench` has measured, once; nothing if it did not run.
pub fn take<T: DeserializeOwned>(bench: &str) -> Option<T> {
    let path = path(bench).ok()?;
    let bytes = fs::read(&path).ok()?;
    fs::remove_file(&path).ok()?;
    let handover: Handover<T> = serde_json::from_slice(&bytes).ok()?;
    (handover.parent == parent_id()).then_some(handover.figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_taken_once_and_only_from_the_same_command() {
        publish("handover-test", &[1, 2]).expect("the folder is cargo's");
        assert_eq!(take::<Vec<u32>>("handover-test"), Some(vec![1, 2]));
        assert_eq!(take::<Vec<u32>>("handover-test"), None);
        let other = Handover { parent: parent_id() + 1, figures: [3] };
        let path = path("handover-test").expect("known");
        fs::write(&path, serde_json::to_vec(&other).expect("it is plain")).expect("writable");
        assert_eq!(take::<Vec<u32>>("handover-test"), None);
        assert!(!path.exists(), "what nobody wants is taken away too");
    }
}
