//! From samples to estimates with honest intervals.
//!
//! The unit of replication is the boot: two boots of one kernel differ by more than their own batches do, so an
//! interval from inside one boot says nothing. [`estimate`] and [`ratio`] therefore resample boots, then batches
//! (Kalibera & Jones, "Rigorous Benchmarking in Reasonable Time", ISMM 2013); [`wilson`] bounds a share of trials.
//! All intervals are at 95 %. What a figure means (slower, unstable) is decided here as well, once.

mod bootstrap;
mod interval;
mod quantile;
mod random;
#[cfg(test)]
mod tests;

pub use bootstrap::{Estimate, Pair, Statistic, estimate, mean_ratio, ratio};
pub use interval::{Interval, Verdict, difference, more_than_chance, stability, verdict, wilson};
pub use quantile::{geometric_mean, median, p10, p90, p99, percentile};
pub use random::Random;

/// Differences of less than this share are not called differences: code placement alone moves a hot loop by
/// several percent (Mytkowicz et al., "Producing Wrong Data Without Doing Anything Obviously Wrong!", ASPLOS 2009).
pub const TOLERANCE: f64 = 0.05;
