//! Secrets: bytes that the faulty component was never given, and whether it got hold of them.
//!
//! Every other component has its canaries, and each app leaves bytes of its own with components that are not faulty
//! ([`kd_boot::control::secret`]). What a component that is told to pry reads comes to the witness as it is; whose it is
//! is found out here.

use std::collections::HashSet;

use kd_boot::control::{Load, canary, secret};
use kd_boot::misdeed::{Misbehaviour, Misdeed};
use kd_boot::sabotage::Witness;

use super::subject::{APPS, Fault, Subject};
use super::trial::Obstacle;
use crate::boot::{Boot, find_held};

/// So many bytes are enough to know a secret by, wherever in it they stand: no two secrets have such a word in common.
const WORD: usize = 8;

/// Tells a component that goes at the other app's data where they lie.
pub fn point_out(boot: &Boot, witness: &Witness, subject: &Subject, fault: &Fault) -> Result<(), Obstacle> {
    if !matches!(fault, Fault::Misbehaviour(Misbehaviour { misdeed: Misdeed::Cached, .. })) {
        return Ok(());
    }
    let keeper = if subject.other == Load::Values { "kv" } else { "ramfs" };
    let status = boot.component(keeper)?;
    let found = find_held(&status, &secret(APPS)[..4 * WORD])?;
    witness.point(found.ok_or_else(|| format!("the other app's data are not in {keeper}"))?);
    Ok(())
}

/// Whose secrets these bytes hold, by the components' names; an app's own are none to a component that apps call.
pub fn owners(bytes: &[u8], names: &[String], subject: &Subject) -> Vec<String> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let found: HashSet<&[u8]> = bytes.chunks_exact(WORD).collect();
    let holds = |secret: Vec<u8>| secret.chunks_exact(WORD).any(|word| found.contains(word));
    let others = names.iter().enumerate().filter(|(_, name)| *name != subject.name);
    let mut owners: Vec<String> =
        others.filter(|(number, _)| holds(canary(*number as u64))).map(|(_, name)| name.clone()).collect();
    if subject.name != "vfs" && holds(secret(1)) {
        owners.push("its app's pipe".into());
    }
    if holds(secret(APPS)) {
        owners.push("other app".into());
    }
    owners
}
