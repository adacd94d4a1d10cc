//! The logs of several machines, put together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::log::{Identity, Log, LogError};
use crate::plan::Shard;
use crate::trial::Record;

/// Why logs cannot be put together. None of them is changed.
#[derive(Debug, Error)]
pub enum MergeError {
    /// One cannot be read, or the result not be written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// No log at all.
    #[error("nothing to merge: name the logs of all shards")]
    Nothing,
    /// They are of different campaigns.
    #[error(
        "{path} is not of the same campaign as {first}: {difference}; merge shards of one build, seed and module file"
    )]
    Differs {
        /// The log.
        path: PathBuf,
        /// The one that it is compared with.
        first: PathBuf,
        /// In what it differs.
        difference: String,
    },
    /// A shard is there twice, or cut otherwise.
    #[error("{path}: shard {shard} {what}; name the log of each shard once")]
    Shard {
        /// The log.
        path: PathBuf,
        /// Its shard.
        shard: Shard,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Shards are missing.
    #[error("shard {0} is missing: name its log as well")]
    Missing(Shard),
    /// The result exists.
    #[error("{0} exists already; name another file with `--log FILE`")]
    Exists(PathBuf),
}

/// Puts the logs of all shards of one campaign into a new log `to`. Gives what is in it.
///
/// # Errors
/// See [`MergeError`].
pub fn merge(logs: &[PathBuf], to: &Path) -> Result<(Identity, Vec<Record>), MergeError> {
    let (first, rest) = logs.split_first().ok_or(MergeError::Nothing)?;
    let (identity, mut records) = Log::read(first)?;
    let mut shards = BTreeSet::from([identity.shard]);
    for path in rest {
        let (other, more) = Log::read(path)?;
        if let Some(difference) = identity.difference(&other) {
            return Err(MergeError::Differs { path: path.clone(), first: first.clone(), difference });
        }
        let refuse = |what| Err(MergeError::Shard { path: path.clone(), shard: other.shard, what });
        if other.shard.of != identity.shard.of {
            return refuse("is of another number of shards");
        }
        if !shards.insert(other.shard) {
            return refuse("is there twice");
        }
        records.extend(more);
    }
    let all = (0..identity.shard.of).map(|index| Shard { index, of: identity.shard.of });
    if let Some(missing) = all.into_iter().find(|shard| !shards.contains(shard)) {
        return Err(MergeError::Missing(missing));
    }
    if to.exists() {
        return Err(MergeError::Exists(to.into()));
    }
    records.sort_by_key(|record| record.trial);
    let identity = Identity { shard: Shard::WHOLE, ..identity };
    let (mut log, _) = Log::open(to, &identity)?;
    records.iter().try_for_each(|record| log.append(record))?;
    Ok((identity, records))
}
