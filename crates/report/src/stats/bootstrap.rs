//! The hierarchical bootstrap: boots are resampled with replacement, then the batches of each drawn boot.
//!
//! After Kalibera & Jones, "Rigorous Benchmarking in Reasonable Time" (ISMM 2013). With few boots the plain
//! percentile interval is too narrow, so its quantiles are widened to what a t interval of as many boots would
//! cover (the expanded percentile interval of Hesterberg, "What Teachers Should Know About the Bootstrap", The
//! American Statistician 2015). With very few boots that means the extremes of all resamples.
//!
//! Resamples run in parallel; each draws from a stream of its own, so a seed gives the same figures on any machine.

use super::{Interval, Random, quantile::percentile};
use rayon::prelude::*;

/// What condenses samples into one number; it may reorder them.
pub type Statistic = fn(&mut [f64]) -> f64;

/// A value with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The statistic of the samples themselves.
    pub value: f64,
    /// Its 95 % interval.
    pub interval: Interval,
    /// Boots (or blocks) that it rests on.
    pub boots: usize,
}

/// The statistic over all batches of all boots, with its interval. `samples[boot][batch]`; boots without a batch are
/// left out. `None` for fewer than two boots: an interval from inside one boot would be a fiction.
pub fn estimate(samples: &[Vec<f64>], statistic: Statistic, resamples: usize, seed: u64) -> Option<Estimate> {
    let boots: Vec<&[f64]> = samples.iter().map(Vec::as_slice).filter(|b| !b.is_empty()).collect();
    let value = statistic(&mut boots.concat());
    interval(boots.len(), value, resamples, seed, |random| {
        let mut pool = Vec::new();
        for _ in 0..boots.len() {
            draw(boots[random.below(boots.len())], random, &mut pool);
        }
        statistic(&mut pool)
    })
}

/// The ratio `a` over `b` of a statistic, boots paired by block: `a[i]` and `b[i]` ran in block `i`, so what disturbed
/// the block disturbed both. Blocks are resampled jointly, then the batches of each side. `None` for fewer than two
/// complete blocks, or where the ratio isn't finite.
pub fn ratio(a: &[Vec<f64>], b: &[Vec<f64>], statistic: Statistic, resamples: usize, seed: u64) -> Option<Estimate> {
    let blocks: Vec<(&[f64], &[f64])> = a
        .iter()
        .zip(b)
        .map(|(a, b)| (a.as_slice(), b.as_slice()))
        .filter(|(a, b)| !a.is_empty() && !b.is_empty())
        .collect();
    let (mut all_a, mut all_b) = (Vec::new(), Vec::new());
    for (a, b) in &blocks {
        all_a.extend_from_slice(a);
        all_b.extend_from_slice(b);
    }
    let value = statistic(&mut all_a) / statistic(&mut all_b);
    interval(blocks.len(), value, resamples, seed, |random| {
        let (mut pool_a, mut pool_b) = (Vec::new(), Vec::new());
        for _ in 0..blocks.len() {
            let (a, b) = blocks[random.below(blocks.len())];
            draw(a, random, &mut pool_a);
            draw(b, random, &mut pool_b);
        }
        statistic(&mut pool_a) / statistic(&mut pool_b)
    })
}

/// The geometric mean of such ratios over several workloads that were measured in the same boots: `a[i]` and `b[i]` of
/// every pair ran in block `i`. Blocks in which a workload has no figure are left out, for all of them alike. `None` as
/// for [`ratio`], and without workloads.
pub fn mean_ratio(pairs: &[Pair<'_>], statistic: Statistic, resamples: usize, seed: u64) -> Option<Estimate> {
    let blocks = pairs.iter().map(|(a, b)| a.len().min(b.len())).min()?;
    let whole = |i: &usize| pairs.iter().all(|(a, b)| !a[*i].is_empty() && !b[*i].is_empty());
    let whole: Vec<usize> = (0..blocks).filter(whole).collect();
    let mean = |of: &mut dyn FnMut(&[Vec<f64>]) -> Vec<f64>| {
        let logs = pairs.iter().map(|(a, b)| (statistic(&mut of(a)) / statistic(&mut of(b))).ln());
        (logs.sum::<f64>() / pairs.len() as f64).exp()
    };
    let value = mean(&mut |of| whole.iter().flat_map(|&i| of[i].iter().copied()).collect());
    interval(whole.len(), value, resamples, seed, |random| {
        let drawn: Vec<usize> = (0..whole.len()).map(|_| whole[random.below(whole.len())]).collect();
        mean(&mut |of| {
            let mut pool = Vec::new();
            drawn.iter().for_each(|&i| draw(&of[i], random, &mut pool));
            pool
        })
    })
}

/// The samples of both sides of a ratio.
pub type Pair<'a> = (&'a [Vec<f64>], &'a [Vec<f64>]);

/// Draws as many batches as the boot has, with replacement.
fn draw(boot: &[f64], random: &mut Random, pool: &mut Vec<f64>) {
    pool.extend((0..boot.len()).map(|_| boot[random.below(boot.len())]));
}

fn interval(
    boots: usize,
    value: f64,
    resamples: usize,
    seed: u64,
    resample: impl Fn(&mut Random) -> f64 + Sync,
) -> Option<Estimate> {
    if boots < 2 || resamples == 0 || !value.is_finite() {
        return None;
    }
    let mut drawn: Vec<f64> =
        (0..resamples).into_par_iter().map(|i| resample(&mut Random::new(seed, i as u64))).collect();
    if drawn.iter().any(|x| !x.is_finite()) {
        return None;
    }
    let tail = expanded_tail(boots);
    let low = percentile(&mut drawn, tail)?.min(value);
    let high = percentile(&mut drawn, 1.0 - tail)?.max(value);
    Some(Estimate { value, interval: Interval { low, high }, boots })
}

/// The share of resamples to cut at each end so that the rest covers 95 % with `n` boots (Hesterberg 2015):
/// `Phi(-sqrt(n / (n - 1)) * t)`, with `t` the 97.5 % quantile of Student's distribution.
pub(super) fn expanded_tail(n: usize) -> f64 {
    // Degrees of freedom 1 to 20; beyond, the normal quantile with the first term of its expansion is closer than
    // one part in a thousand (Abramowitz & Stegun 26.7.5).
    const T: [f64; 20] = [
        12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010, 2.1788, 2.1604,
        2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
    ];
    const Z: f64 = 1.959_964;
    let freedom = (n - 1) as f64;
    let t = T.get(n - 2).copied().unwrap_or(Z + (Z.powi(3) + Z) / (4.0 * freedom));
    normal_tail((n as f64 / freedom).sqrt() * t)
}

/// The upper tail of the normal distribution at `x` >= 0 (Abramowitz & Stegun 26.2.17, absolute error below 7.5e-8).
fn normal_tail(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x);
    let series = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530];
    let density = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    density * series.iter().fold(0.0, |sum, c| (sum + c) * t)
}
