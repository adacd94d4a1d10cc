//! Statistics against literal published values, and against synthetic data whose truth is known.

use super::*;
use proptest::prelude::*;

/// A normal number by Box and Muller.
fn normal(random: &mut Random) -> f64 {
    let (u, v) = (1.0 - random.unit(), random.unit());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// `boots` boots of `batches` batches around `centre`: 5 % between boots, 2 % between batches.
fn boots(random: &mut Random, centre: f64, boots: usize, batches: usize) -> Vec<Vec<f64>> {
    let mut boot = |_| {
        let shift = 1.0 + 0.05 * normal(random);
        (0..batches).map(|_| centre * (shift + 0.02 * normal(random))).collect()
    };
    (0..boots).map(&mut boot).collect()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 5e-4
}

#[test]
fn quantiles_at_the_edges() {
    assert_eq!(percentile(&mut [], 0.5), None);
    assert_eq!(percentile(&mut [7.0], 0.25), Some(7.0));
    assert_eq!(percentile(&mut [2.0, 1.0], 0.5), Some(1.5));
    // R: quantile(c(1, 2, 3, 4), c(0, .25, .75, 1)) gives 1.00 1.75 3.25 4.00.
    let of = |q| percentile(&mut [3.0, 1.0, 4.0, 2.0], q);
    assert_eq!([of(0.0), of(0.25), of(0.75), of(1.0)], [Some(1.0), Some(1.75), Some(3.25), Some(4.0)]);
    assert_eq!((of(-1.0), of(2.0)), (Some(1.0), Some(4.0)));
    assert!(median(&mut []).is_nan());
}

#[test]
fn wilson_matches_published_values() {
    // Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I, method 3.
    for (k, n, low, high) in
        [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
    {
        let i = wilson(k, n);
        assert!(close(i.low, low) && close(i.high, high), "{k}/{n}: {i:?}");
    }
    assert_eq!(wilson(12, 12).high, 1.0);
    assert_eq!(wilson(0, 0), Interval { low: 0.0, high: 1.0 });
}

#[test]
fn expanded_tail_matches_the_exact_formula() {
    // R: pnorm(-sqrt(n / (n - 1)) * qt(.975, n - 1)); 2.5 % in the limit.
    for (n, tail) in [(5, 0.000954), (10, 0.008551), (15, 0.013207), (20, 0.015881)] {
        assert!((bootstrap::expanded_tail(n) - tail).abs() < 5e-6, "{n}: {}", bootstrap::expanded_tail(n));
    }
    assert!((0.0245..0.025).contains(&bootstrap::expanded_tail(1000)));
}

#[test]
fn intervals_cover_the_truth_when_boots_differ() {
    for (n, least) in [(5, 180), (10, 180)] {
        let covered = (0..200)
            .filter(|trial| {
                let data = boots(&mut Random::new(11, *trial), 100.0, n, 8);
                estimate(&data, median, 400, *trial).expect("enough boots").interval.contains(100.0)
            })
            .count();
        // 95 % of 200 is 190, with a standard deviation of 3.1; batches taken for replicates would cover about half.
        assert!(covered >= least, "{n} boots: {covered} of 200");
        assert!(covered < 200, "an interval that always covers is too wide to be of use");
    }
}

#[test]
fn a_planted_slowdown_is_seen_and_an_aa_pair_shows_none() {
    let mut seen = 0;
    let mut false_alarms = 0;
    for trial in 0..50 {
        let random = &mut Random::new(5, trial);
        // What disturbs a block disturbs both of its boots, as in a run.
        let (mut a, mut b, mut slow) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..10 {
            let block = 1.0 + 0.1 * normal(random);
            let mut boot = |centre: f64| {
                let shift = block * (1.0 + 0.01 * normal(random));
                (0..10).map(|_| centre * shift * (1.0 + 0.01 * normal(random))).collect::<Vec<f64>>()
            };
            a.push(boot(100.0));
            b.push(boot(100.0));
            slow.push(boot(110.0));
        }
        let aa = ratio(&a, &b, median, 500, trial).expect("enough blocks").interval;
        false_alarms += usize::from(verdict(aa, TOLERANCE) != Verdict::NoDifference);
        let planted = ratio(&slow, &b, median, 500, trial).expect("enough blocks").interval;
        seen += usize::from(verdict(planted, 0.0) == Verdict::Slower);
    }
    assert_eq!(false_alarms, 0);
    assert!(seen >= 48, "seen in {seen} of 50 runs");
}

#[test]
fn one_boot_has_no_interval() {
    assert_eq!(estimate(&[vec![1.0, 2.0, 3.0]], median, 100, 0), None);
    assert_eq!(estimate(&[vec![1.0], vec![]], median, 100, 0), None);
    assert_eq!(ratio(&[vec![1.0], vec![1.0]], &[vec![1.0], vec![]], median, 100, 0), None);
    assert_eq!(ratio(&[vec![1.0], vec![1.0]], &[vec![0.0], vec![0.0]], median, 100, 0), None);
}

#[test]
fn a_seed_gives_the_same_interval_on_any_number_of_threads() {
    let data = boots(&mut Random::new(3, 0), 50.0, 6, 9);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a small pool");
        pool.install(|| estimate(&data, median, 300, 42))
    };
    assert_eq!(on(1), on(4));
    assert_ne!(on(1), estimate(&data, median, 300, 43));
}

#[test]
fn stability_is_an_aa_interval_that_holds_one() {
    assert_eq!(stability(Interval { low: 0.98, high: 1.01 }), Ok(()));
    let reason = stability(Interval { low: 1.02, high: 1.07 }).expect_err("excludes 1");
    assert!(reason.contains("1.020 to 1.070"), "{reason}");
}

#[test]
fn geometric_mean_ignores_the_base() {
    assert!(close(geometric_mean(&[2.0, 8.0]).expect("positive"), 4.0));
    assert_eq!(geometric_mean(&[]), None);
    assert_eq!(geometric_mean(&[1.0, 0.0]), None);
}

proptest! {
    #[test]
    fn wilson_holds_the_share_and_stays_in_range(n in 1u64..10_000, part in 0.0..=1.0f64) {
        let k = (n as f64 * part) as u64;
        let i = wilson(k, n);
        prop_assert!(0.0 <= i.low && i.high <= 1.0 && i.contains(k as f64 / n as f64));
    }

    #[test]
    fn verdicts_swap_with_the_sides(low in 0.2..5.0f64, width in 1.0..2.0f64, tolerance in 0.0..0.3f64) {
        let forward = verdict(Interval { low, high: low * width }, tolerance);
        let back = verdict(Interval { low: 1.0 / (low * width), high: 1.0 / low }, tolerance);
        let swapped = match back {
            Verdict::Slower => Verdict::Faster,
            Verdict::Faster => Verdict::Slower,
            Verdict::NoDifference => Verdict::NoDifference,
        };
        prop_assert_eq!(forward, swapped);
    }

    #[test]
    fn percentile_agrees_with_sorting(mut data in prop::collection::vec(-1e6..1e6f64, 1..40), q in 0.0..=1.0f64) {
        let mut sorted = data.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = q * (sorted.len() - 1) as f64;
        let (low, high) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
        let got = percentile(&mut data, q).expect("not empty");
        prop_assert!(low <= got && got <= high);
    }
}

#[test]
fn the_mean_ratio_is_the_geometric_one_over_whole_blocks() {
    let base = vec![vec![10.0], vec![10.0], vec![10.0]];
    let (double, eightfold) = (vec![vec![20.0]; 3], vec![vec![80.0]; 3]);
    let mean = mean_ratio(&[(&double, &base), (&eightfold, &base)], median, 200, 1).expect("three blocks");
    assert!((mean.value - 4.0).abs() < 1e-9 && mean.boots == 3, "{mean:?}");
    assert!((mean.interval.low - 4.0).abs() < 1e-9 && (mean.interval.high - 4.0).abs() < 1e-9, "{mean:?}");
    // A block in which one workload failed counts for none of them.
    let failed = vec![vec![20.0], vec![], vec![2000.0]];
    let mean = mean_ratio(&[(&failed, &base), (&eightfold, &base)], median, 200, 1).expect("two blocks");
    assert_eq!(mean.boots, 2);
    assert!(mean.interval.low < mean.interval.high, "{mean:?}");
    assert!(mean_ratio(&[(&failed[..2], &base)], median, 200, 1).is_none(), "one block is none");
    assert!(mean_ratio(&[], median, 200, 1).is_none());
}

/// Against the binomial distribution's tables.
#[test]
fn a_few_of_many_intervals_miss_by_chance() {
    assert!(!more_than_chance(0, 96) && !more_than_chance(1, 96) && !more_than_chance(0, 0));
    // Of 20: none 0.358, one 0.377, two 0.189; so that three or more are 0.075 and four or more 0.016.
    assert!(!more_than_chance(3, 20) && more_than_chance(4, 20));
    // Of 96: eight or more are 0.108, ten or more 0.022.
    assert!(!more_than_chance(8, 96) && more_than_chance(10, 96) && more_than_chance(96, 96));
}
