//! The experiments: each boots kernels, asks its question, and returns records. None of them draws a conclusion.

pub mod faults;
pub mod latency;
pub mod macros;
mod placements;
pub mod primitives;
pub mod records;
pub mod restart;

/// How a run goes about its experiments.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Fewer boots and shorter budgets.
    pub quick: bool,
    /// From which every random choice of the run follows.
    pub seed: u64,
    /// Cores the run may use; experiments on two cores are unavailable with one.
    pub cores: Vec<usize>,
}

/// Told how far an experiment is (0 to 1) and what it does.
pub type Progress<'a> = &'a mut dyn FnMut(f64, &str);

/// Puts items in random order (Fisher and Yates).
fn shuffle<T>(items: &mut [T], random: &mut kd_report::stats::Random) {
    for last in (1..items.len()).rev() {
        items.swap(last, random.below(last + 1));
    }
}
