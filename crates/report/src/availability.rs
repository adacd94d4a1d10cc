//! What failures come to in a year: a sum over measured times, and nothing else.
//!
//! A component fails, on average, after so much time of work, and is then down until the first good answer. The share of time
//! that it is down is the textbook's: time to repair over time to failure and repair together. What a kernel cannot show by
//! itself, the time that a platform takes to start one, is an input, from a data file with its sources.

use serde::Deserialize;

/// The data file.
const FILE: &str = include_str!("../data/platforms.json");
/// Seconds of a year.
const YEAR: f64 = 365.25 * 86_400.0;

/// How often a component fails: a name, and the seconds of work before each failure.
pub const RATES: [(&str, f64); 3] = [("an hour", 3_600.0), ("a day", 86_400.0), ("a month", YEAR / 12.0)];

/// One failure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outage {
    /// Seconds until the first good answer.
    pub seconds: f64,
    /// Calls that failed for good.
    pub calls_failed: f64,
}

/// A year of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yearly {
    /// Minutes without an answer.
    pub minutes: f64,
    /// Calls that failed for good.
    pub calls_failed: f64,
}

impl Outage {
    /// One after which nothing answers until a machine is up: what the kernel needs, and before that the platform. Every call
    /// that falls due meanwhile fails, `rate` of them in a second, with those that the fault itself failed.
    pub fn of_reboot(kernel: Outage, platform: f64, rate: f64) -> Outage {
        let seconds = kernel.seconds + platform;
        Outage { seconds, calls_failed: kernel.calls_failed + rate * seconds }
    }

    /// A year in which each failure comes after so many seconds of work.
    pub fn yearly(self, work: f64) -> Yearly {
        let failures = YEAR / (work + self.seconds);
        Yearly { minutes: failures * self.seconds / 60.0, calls_failed: failures * self.calls_failed }
    }
}

/// How long a platform takes, as somebody published it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Platform {
    /// What it is.
    pub name: String,
    /// Seconds as published.
    pub seconds: f64,
    /// Of what.
    pub measures: String,
    /// Where it stands.
    pub source: String,
}

/// All platforms, the quickest first.
pub fn platforms() -> Vec<Platform> {
    #[derive(Deserialize)]
    struct File {
        platforms: Vec<Platform>,
    }
    let File { mut platforms } = serde_json::from_str(FILE).expect("a test reads it");
    platforms.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    platforms
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: f64 = RATES[1].1;

    #[test]
    fn a_short_outage_each_day_is_so_many_in_a_year() {
        let yearly = Outage { seconds: 0.001, calls_failed: 2.0 }.yearly(DAY);
        assert!((yearly.minutes - 365.25 * 0.001 / 60.0).abs() < 1e-7, "{yearly:?}");
        assert!((yearly.calls_failed - 730.5).abs() < 1e-3, "{yearly:?}");
    }

    #[test]
    fn who_is_as_long_down_as_up_is_down_half_of_the_year() {
        let yearly = Outage { seconds: DAY, calls_failed: 1.0 }.yearly(DAY);
        assert!((yearly.minutes - YEAR / 120.0).abs() < 1e-6 && (yearly.calls_failed - 365.25 / 2.0).abs() < 1e-6);
    }

    #[test]
    fn a_reboot_fails_what_falls_due_until_it_is_over() {
        let kernel = Outage { seconds: 0.5, calls_failed: 1.0 };
        let outage = Outage::of_reboot(kernel, 9.5, 100.0);
        assert_eq!(outage, Outage { seconds: 10.0, calls_failed: 1_001.0 });
        assert_eq!(Outage::of_reboot(kernel, 0.0, 0.0), kernel);
    }

    #[test]
    fn no_outage_costs_nothing() {
        let never = Outage { seconds: 0.0, calls_failed: 0.0 };
        assert!(RATES.iter().all(|(_, work)| never.yearly(*work) == Yearly { minutes: 0.0, calls_failed: 0.0 }));
    }

    #[test]
    fn each_platform_has_a_time_and_a_source() {
        let platforms = platforms();
        assert!(!platforms.is_empty());
        for Platform { name, seconds, measures, source } in platforms {
            assert!(seconds > 0.0 && seconds.is_finite(), "{name}");
            assert!(!name.is_empty() && !measures.is_empty() && source.len() > 10, "{name}");
        }
    }
}
