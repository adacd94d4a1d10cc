//! The timeline of a restart: requests completed in each millisecond around the moment of the fault, all kernels on one axis.

use super::ink::{Area, Drawn, Ink, Shape};
use super::series::Series;
use crate::schema::{Kernel, Record};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use std::collections::BTreeSet;

/// Size of a timeline in half pixels.
pub const SIZE: (u32, u32) = (880, 360);
const LEFT: i32 = 96;
const RIGHT: i32 = 852;
const TOP: i32 = 60;
const FLOOR: i32 = 290;

/// Whether a record is a point of a timeline.
pub fn is_point(r: &Record) -> bool {
    r.metric == "completed" && moment(r).is_some()
}

/// When it was, in ms from the fault: the number in `at_<ms>`.
fn moment(r: &Record) -> Option<f64> {
    r.statistic.strip_prefix("at_")?.parse().ok().filter(|ms: &f64| ms.is_finite())
}

/// The component that a record is of.
pub fn component(r: &Record) -> &str {
    r.workload.split('/').next().unwrap_or_default()
}

/// One kernel's way through a fault.
pub struct Line {
    /// What is shown.
    pub label: String,
    /// Its colour.
    pub ink: Ink,
    /// Its marker.
    pub shape: Shape,
    /// Moments in ms and rates, in the order of time.
    pub points: Vec<(f64, f64)>,
}

/// The lines of one component's panel. A fault is what every kernel can suffer; where a run took kills alone, they stand for it.
pub fn lines(records: &[&Record]) -> Vec<Line> {
    let faults: BTreeSet<Series> =
        records.iter().filter(|r| r.workload.contains("/null_dereference")).map(|r| Series::of(r)).collect();
    let stands_for = |r: &&&Record| !(r.workload.contains("/kill") && faults.contains(&Series::of(r)));
    let shown: Vec<&Record> = records.iter().filter(stands_for).copied().collect();
    let names: BTreeSet<(Series, &str)> = shown.iter().map(|r| (Series::of(r), r.workload.as_str())).collect();
    let line = |(series, workload): (Series, &str)| {
        let own = shown.iter().filter(|r| r.workload == workload && Series::of(r) == series);
        let mut points: Vec<(f64, f64)> = own.filter_map(|r| Some((moment(r)?, r.value?))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (way, shape) = way(&series, workload);
        let killed = if workload.contains("/kill/") { ", killed" } else { "" };
        Line { label: format!("{}, {way}{killed}", series.label()), ink: ink(&series, way), shape, points }
    };
    names.into_iter().map(line).filter(|line| !line.points.is_empty()).collect()
}

/// How it comes back.
fn way<'a>(series: &Series, workload: &'a str) -> (&'a str, Shape) {
    match workload.rsplit('/').next().unwrap_or_default() {
        "panic_reboot" => ("reboot", Shape::Square),
        "panic_kexec" => ("kexec", Shape::Triangle),
        "cold" => ("cold", Shape::Triangle),
        "warm" => ("warm", Shape::Disc),
        "standby" => ("standby", Shape::Diamond),
        _ if series.kernel == Kernel::Monolithic => ("oops", Shape::Cross),
        other => (other, Shape::Disc),
    }
}

/// One kernel has several lines here, so that its colour alone does not tell them apart.
fn ink(series: &Series, way: &str) -> Ink {
    match (series.kernel, way) {
        (Kernel::Microkernel, "standby") => Ink::Good,
        (Kernel::Microkernel, "cold") => Ink::Other,
        (Kernel::Monolithic, "oops") => Ink::Muted,
        (Kernel::Monolithic, "kexec") => Ink::Fg,
        _ => series.ink(),
    }
}

/// Draws the lines; time on a linear scale, the fault at 0.
pub fn draw(title: &str, lines: &[Line], area: &Area<'_>) -> Drawn {
    paint(title, lines, area).map_err(|e| e.to_string())
}

fn paint(title: &str, lines: &[Line], area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let (from, to) = points().fold((0.0f64, 1.0f64), |(a, b), p| (a.min(p.0), b.max(p.0)));
    let most = points().fold(1.0f64, |most, p| most.max(p.1)) * 1.08;
    let x = |ms: f64| LEFT + ((ms - from) / (to - from) * f64::from(RIGHT - LEFT)).round() as i32;
    let y = |rate: f64| FLOOR - (rate / most * f64::from(FLOOR - TOP)).round() as i32;
    area.draw(&Text::new(title.to_owned(), (0, 8), Ink::Fg.text(28, HPos::Left, VPos::Top)))?;
    let rate_step = step(most);
    for i in 0..=(most / rate_step) as i32 {
        let rate = f64::from(i) * rate_step;
        area.draw(&PathElement::new(vec![(LEFT, y(rate)), (RIGHT, y(rate))], Ink::Grid.line(2)))?;
        let style = Ink::Muted.text(24, HPos::Right, VPos::Center);
        area.draw(&Text::new(format!("{rate}"), (LEFT - 12, y(rate)), style))?;
    }
    let time_step = step(to - from);
    for i in (from / time_step).ceil() as i32..=(to / time_step).floor() as i32 {
        let ms = f64::from(i) * time_step;
        let style = Ink::Muted.text(24, HPos::Center, VPos::Top);
        area.draw(&Text::new(format!("{ms}"), (x(ms), FLOOR + 10), style))?;
    }
    let style = Ink::Muted.text(24, HPos::Right, VPos::Top);
    area.draw(&Text::new("ms from the fault; requests completed in each ms", (RIGHT, FLOOR + 40), style))?;
    area.draw(&PathElement::new(vec![(x(0.0), TOP - 8), (x(0.0), FLOOR)], Ink::Bad.line(3)))?;
    for (number, Line { ink, shape, points, .. }) in lines.iter().enumerate() {
        // A step for each bucket, not a slope between two: nothing was seen in between.
        let stairs = points.windows(2).flat_map(|w| [(x(w[0].0), y(w[0].1)), (x(w[1].0), y(w[0].1))]);
        let last = points.last().map(|p| (x(p.0), y(p.1)));
        area.draw(&PathElement::new(stairs.chain(last).collect::<Vec<_>>(), ink.line(4)))?;
        // The shape, a few times along the line, each line's elsewhere, tells them apart without colour.
        let every = (points.len() / 6).max(1);
        for p in points.iter().skip(number * every / lines.len()).step_by(every) {
            shape.draw(area, (x(p.0), y(p.1)), *ink)?;
        }
    }
    Ok(())
}

/// A step of 1, 2 or 5 times a power of ten that cuts the range into at most eight.
fn step(range: f64) -> f64 {
    let rough = range / 8.0;
    let power = 10f64.powi(rough.log10().floor() as i32);
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|s| s * power).find(|s| *s >= rough).unwrap_or(power * 10.0)
}
