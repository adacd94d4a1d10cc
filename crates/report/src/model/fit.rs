//! Fitting the two costs to measured times, by least squares of the relative error.
//!
//! Neither cost may be negative: where the better fit would have it so, it is nothing, and the other is fitted alone.

use super::Load;

/// A load and what it took.
pub type Measured<'a> = (&'a Load, f64);

/// The costs of a crossing and of a byte that fit best; `None` where nothing crosses.
pub fn fit(cases: &[Measured<'_>]) -> Option<(f64, f64)> {
    // Weighted by the measured time, so that errors count as shares of it.
    let rows: Vec<[f64; 3]> = cases
        .iter()
        .filter(|(_, time)| *time > 0.0)
        .map(|(load, time)| [load.crossings / time, load.bytes / time, (time - load.monolithic) / time])
        .collect();
    let sum = |i: usize, j: usize| rows.iter().map(|row| row[i] * row[j]).sum::<f64>();
    let (cc, bb, cb, ct, bt) = (sum(0, 0), sum(1, 1), sum(0, 1), sum(0, 2), sum(1, 2));
    if cc <= 0.0 {
        return None;
    }
    let determinant = cc * bb - cb * cb;
    // Loads whose bytes are in proportion to their crossings cannot tell the two apart.
    if determinant > 1e-9 * cc * bb {
        let (crossing, byte) = ((ct * bb - bt * cb) / determinant, (bt * cc - ct * cb) / determinant);
        if crossing >= 0.0 && byte >= 0.0 {
            return Some((crossing, byte));
        }
        if crossing < 0.0 {
            return Some((0.0, (bt / bb).max(0.0)));
        }
    }
    Some(((ct / cc).max(0.0), 0.0))
}
