//! Order statistics: quantiles by linear interpolation (type 7 of Hyndman & Fan 1996, what R and numpy do).
//!
//! They take the samples by `&mut` because they sort them; samples must be numbers, not NaN.

/// The quantile `q` (0 to 1) of the samples; `None` where there are none.
pub fn percentile(samples: &mut [f64], q: f64) -> Option<f64> {
    if samples.is_empty() {
        return None;
    }
    let rank = q.clamp(0.0, 1.0) * (samples.len() - 1) as f64;
    let below = rank as usize;
    let (_, &mut low, above) = samples.select_nth_unstable_by(below, f64::total_cmp);
    let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
    let weight = rank - below as f64;
    Some(if weight == 0.0 { low } else { low + (high - low) * weight })
}

/// The median; NaN where there are no samples, which no record may hold.
pub fn median(samples: &mut [f64]) -> f64 {
    percentile(samples, 0.5).unwrap_or(f64::NAN)
}

/// The tenth percentile; NaN where there are no samples.
pub fn p10(samples: &mut [f64]) -> f64 {
    percentile(samples, 0.1).unwrap_or(f64::NAN)
}

/// The ninetieth percentile; NaN where there are no samples.
pub fn p90(samples: &mut [f64]) -> f64 {
    percentile(samples, 0.9).unwrap_or(f64::NAN)
}

/// The ninety-ninth percentile; NaN where there are no samples. Meaningless for batches and for few samples.
pub fn p99(samples: &mut [f64]) -> f64 {
    percentile(samples, 0.99).unwrap_or(f64::NAN)
}

/// The geometric mean of ratios, the only mean that doesn't depend on which side is the base (Fleming & Wallace
/// 1986). `None` where there are none, or where one isn't positive.
pub fn geometric_mean(ratios: &[f64]) -> Option<f64> {
    let positive = !ratios.is_empty() && ratios.iter().all(|r| *r > 0.0);
    positive.then(|| (ratios.iter().map(|r| r.ln()).sum::<f64>() / ratios.len() as f64).exp())
}
