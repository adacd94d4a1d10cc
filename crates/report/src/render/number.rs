//! Numbers as a person reads them: three significant digits, times in the unit that suits them.
//!
//! A value and its interval share one scale, so that they can be compared at a glance.

use crate::schema::{Record, Status};

/// Nanoseconds in a unit of time; `None` for units of something else.
pub fn nanoseconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1.0,
        "us" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return None,
    })
}

/// The factor and the suffix with which values around `value` are shown.
fn scale(value: f64, unit: &str) -> (f64, String) {
    let Some(base) = nanoseconds(unit) else {
        return match unit {
            "ratio" => (1.0, "×".into()),
            "share" => (100.0, " %".into()),
            "" | "count" | "bool" => (1.0, String::new()),
            "bytes" => (1.0, " B".into()),
            "1/s" => match value.abs() {
                x if x < 1e3 => (1.0, " /s".into()),
                x if x < 1e6 => (1e-3, " k/s".into()),
                _ => (1e-6, " M/s".into()),
            },
            other => (1.0, format!(" {other}")),
        };
    };
    let (per, suffix) = match (value * base).abs() {
        x if x < 1e3 => (1.0, " ns"),
        x if x < 1e6 => (1e3, " µs"),
        x if x < 1e9 => (1e6, " ms"),
        _ => (1e9, " s"),
    };
    (base / per, suffix.into())
}

/// Three significant digits, whole numbers in full.
fn digits(x: f64) -> String {
    let decimals = match x.abs() {
        a if a >= 100.0 || x.fract() == 0.0 => 0,
        a if a >= 10.0 => 1,
        a if a >= 1.0 => 2,
        _ => 3,
    };
    let plain = format!("{x:.decimals$}");
    let (whole, fraction) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let (sign, whole) = whole.split_at(usize::from(whole.starts_with('-')));
    if whole.len() < 5 {
        return plain;
    }
    // A thin space between groups of three; it doesn't break a line.
    let mut grouped = String::new();
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(c);
    }
    format!("{sign}{grouped}{fraction}")
}

/// A value with its unit.
pub fn show(value: f64, unit: &str) -> String {
    let (factor, suffix) = scale(value, unit);
    format!("{}{suffix}", digits(value * factor))
}

/// The interval of a record on the scale of its value, without unit: `11.9 to 12.4`.
pub fn show_interval(record: &Record) -> Option<String> {
    let (factor, _) = scale(record.value?, &record.unit);
    Some(format!("{} to {}", digits(record.ci_low? * factor), digits(record.ci_high? * factor)))
}

/// One line for text tables: value, interval, and a word where it isn't reliable.
pub fn line(record: &Record) -> String {
    let Some(value) = record.value else {
        return format!("n/a ({})", record.reason.as_deref().unwrap_or("no reason given"));
    };
    let interval = show_interval(record).map(|i| format!(" [{i}]")).unwrap_or_default();
    let flag = if record.status == Status::Unstable { " unstable" } else { "" };
    format!("{}{interval}{flag}", show(value, &record.unit))
}

/// `1 core`, `2 cores`.
pub fn cores(n: u32) -> String {
    format!("{n} core{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_take_the_unit_that_suits_them() {
        assert_eq!(show(2.0, "ns"), "2 ns");
        assert_eq!(show(1234.5, "ns"), "1.23 µs");
        assert_eq!(show(15_000.0, "us"), "15 ms");
        assert_eq!(show(0.456, "us"), "456 ns");
        assert_eq!(show(-3.25, "ns"), "-3.25 ns");
    }

    #[test]
    fn other_units_are_kept() {
        assert_eq!(show(1.07, "ratio"), "1.07×");
        assert_eq!(show(0.75, "share"), "75 %");
        assert_eq!(show(65536.0, "bytes"), "65\u{202f}536 B");
        assert_eq!(show(-65536.0, "count"), "-65\u{202f}536");
        assert_eq!(show(3.5, "1/ms"), "3.50 1/ms");
        assert_eq!([42.0, 1234.0, 2_500_000.0].map(|x| show(x, "1/s")), ["42 /s", "1.23 k/s", "2.50 M/s"]);
    }
}
