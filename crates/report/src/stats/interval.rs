//! Intervals and what they allow to be said.
//!
//! A verdict is three-valued on purpose: an interval that doesn't clear the tolerance shows no difference, however
//! the point estimate leans.

/// A 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Whether `value` lies inside or on an end.
    pub fn contains(self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// Whether the intervals share a point.
    pub fn overlaps(self, other: Self) -> bool {
        self.low <= other.high && other.low <= self.high
    }
}

/// Wilson's score interval for a share of trials (Wilson, "Probable Inference", JASA 1927). It stays inside 0 to 1 and
/// has a width even for none or all of the trials, where the textbook interval has none.
pub fn wilson(successes: u64, n: u64) -> Interval {
    if n == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    const Z: f64 = 1.959_963_984_540_054;
    let (k, n) = (successes.min(n) as f64, n as f64);
    let share = k / n;
    let scale = 1.0 + Z * Z / n;
    let middle = (share + Z * Z / (2.0 * n)) / scale;
    let half = Z / scale * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    // Rounding must not push an end past the share itself, which it meets at none and all.
    Interval { low: (middle - half).clamp(0.0, share), high: (middle + half).clamp(share, 1.0) }
}

/// The difference of two shares, the first less the second, each a count and its total, with Newcombe's interval, which is
/// made of both Wilson intervals (Newcombe, "Interval Estimation for the Difference Between Independent Proportions",
/// Statistics in Medicine 1998, method 10).
pub fn difference((k, n): (u64, u64), (l, m): (u64, u64)) -> (f64, Interval) {
    let share = |count: u64, total: u64| if total == 0 { 0.0 } else { count.min(total) as f64 / total as f64 };
    let (p, q, a, b) = (share(k, n), share(l, m), wilson(k, n), wilson(l, m));
    let low = p - q - (p - a.low).hypot(b.high - q);
    let high = p - q + (a.high - p).hypot(q - b.low);
    (p - q, Interval { low: low.max(-1.0), high: high.min(1.0) })
}

/// What a ratio of times (this over the base) allows to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The whole interval lies above 1 + tolerance.
    Slower,
    /// The whole interval lies below 1 / (1 + tolerance).
    Faster,
    /// Neither.
    NoDifference,
}

/// The verdict on a ratio's interval; `tolerance` is a share, such as [`TOLERANCE`](super::TOLERANCE). Symmetric:
/// swapping both sides of the ratio swaps `Slower` and `Faster`.
pub fn verdict(ratio: Interval, tolerance: f64) -> Verdict {
    if ratio.low > 1.0 + tolerance {
        Verdict::Slower
    } else if ratio.high < 1.0 / (1.0 + tolerance) {
        Verdict::Faster
    } else {
        Verdict::NoDifference
    }
}

/// Whether it takes more than chance for so many of so many intervals at 95 % to miss what they are of: less likely than 1 in
/// 20, if each misses by itself (a binomial test). Intervals that miss together, as those of one disturbance do, are called
/// too many sooner, not later.
pub fn more_than_chance(missed: usize, of: usize) -> bool {
    const MISSES: f64 = 0.05;
    // How likely exactly so many are, from none on; each from the one before.
    let exactly = std::iter::successors(Some((0, (1.0 - MISSES).powi(of as i32))), |&(k, p)| {
        Some((k + 1, p * (of - k) as f64 / (k + 1) as f64 * MISSES / (1.0 - MISSES)))
    });
    let fewer: f64 = exactly.take(missed).map(|(_, p)| p).sum();
    missed > 0 && 1.0 - fewer < 0.05
}

/// Judges an A/A pair, the same kernel measured against itself.
///
/// # Errors
/// The reason to record with `unstable`, when the interval excludes 1: something other than the kernel changed.
pub fn stability(aa: Interval) -> Result<(), String> {
    if aa.contains(1.0) {
        return Ok(());
    }
    Err(format!(
        "A/A pair differs: the monolithic kernel against itself gave {:.3} to {:.3}, which excludes 1",
        aa.low, aa.high
    ))
}
