//! Curves over a parameter, a line for each series: the overhead over the user share, or a time over a scale.

use super::dots::Scale;
use super::ink::{Area, Drawn, Ink};
use super::number::show;
use super::series::Series;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use std::collections::BTreeMap;

/// Size of a curve in half pixels.
pub const SIZE: (u32, u32) = (880, 440);
const LEFT: i32 = 110;
const RIGHT: i32 = 840;
/// The last point of a scale, whose label is wider than it.
const LAST: i32 = RIGHT - 30;
const TOP: i32 = 60;
const FLOOR: i32 = 370;

/// Where it is, value, ends of the interval.
type Point = (u64, f64, Option<(f64, f64)>);
/// The lines of a picture, each with its points in any order.
pub type Lines = BTreeMap<Series, Vec<Point>>;

/// What lies along the bottom.
pub enum Axis {
    /// Percent, from 0 to 100.
    Share(&'static str),
    /// Any number, on a log scale that ends with the points.
    Scale(&'static str),
}

impl Axis {
    fn caption(&self) -> &'static str {
        let (Axis::Share(caption) | Axis::Scale(caption)) = self;
        caption
    }

    fn label(&self, at: u64) -> String {
        match self {
            Axis::Share(_) => format!("{at} %"),
            Axis::Scale(_) => show(at as f64, "count"),
        }
    }

    /// Where a point is, among others from the first to the last.
    fn place(&self, at: u64, (first, last): (u64, u64)) -> i32 {
        let ln = |x: u64| (x.max(1) as f64).ln();
        match self {
            Axis::Share(_) => LEFT + (RIGHT - LEFT) * at.min(100) as i32 / 100,
            Axis::Scale(_) if first == last => (LEFT + LAST) / 2,
            Axis::Scale(_) => {
                let share = (ln(at) - ln(first)) / (ln(last) - ln(first));
                LEFT + 30 + (share * f64::from(LAST - LEFT - 30)).round() as i32
            }
        }
    }
}

/// A picture before it is drawn.
pub struct Curve<'a> {
    /// Heading.
    pub title: &'a str,
    /// Unit of the values.
    pub unit: &'a str,
    /// A value to mark with a line, such as a ratio of 1.
    pub baseline: Option<f64>,
    /// What lies along the bottom.
    pub axis: Axis,
    /// The lines.
    pub lines: &'a Lines,
}

impl Curve<'_> {
    /// Draws it.
    pub fn draw(&self, area: &Area<'_>) -> Drawn {
        self.paint(area).map_err(|e| e.to_string())
    }

    fn paint(&self, area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
        let points = || self.lines.values().flatten();
        let ends = |p: &Point| p.2.unwrap_or((p.1, p.1));
        let values = points().flat_map(|p| [p.1, ends(p).0, ends(p).1]).chain(self.baseline);
        // The scale grows upwards.
        let scale = Scale::new(values, (0, FLOOR - TOP));
        let y = |value: f64| FLOOR - scale.at(value);
        let mut places: Vec<u64> = points().map(|p| p.0).collect();
        places.sort_unstable();
        places.dedup();
        let range = (places.first().copied().unwrap_or(0), places.last().copied().unwrap_or(0));
        let x = |at: u64| self.axis.place(at, range);
        area.draw(&Text::new(self.title.to_owned(), (0, 8), Ink::Fg.text(28, HPos::Left, VPos::Top)))?;
        let mut last_label = i32::MAX;
        for tick in scale.ticks() {
            area.draw(&PathElement::new(vec![(LEFT, y(tick)), (RIGHT, y(tick))], Ink::Grid.line(2)))?;
            if last_label.saturating_sub(y(tick)) >= 34 {
                let style = Ink::Muted.text(24, HPos::Right, VPos::Center);
                area.draw(&Text::new(show(tick, self.unit), (LEFT - 12, y(tick)), style))?;
                last_label = y(tick);
            }
        }
        if let Some(baseline) = self.baseline.map(y) {
            area.draw(&PathElement::new(vec![(LEFT, baseline), (RIGHT, baseline)], Ink::Muted.line(3)))?;
        }
        for at in places {
            let style = Ink::Muted.text(24, HPos::Center, VPos::Top);
            area.draw(&Text::new(self.axis.label(at), (x(at), FLOOR + 10), style))?;
        }
        let style = Ink::Muted.text(24, HPos::Right, VPos::Top);
        area.draw(&Text::new(self.axis.caption(), (RIGHT, FLOOR + 40), style))?;
        for (series, line) in self.lines {
            let mut line = line.clone();
            line.sort_by_key(|p| p.0);
            let path: Vec<_> = line.iter().map(|p| (x(p.0), y(p.1))).collect();
            area.draw(&PathElement::new(path, series.ink().line(3)))?;
            for p in &line {
                let (low, high) = ends(p);
                area.draw(&PathElement::new(vec![(x(p.0), y(low)), (x(p.0), y(high))], series.ink().line(4)))?;
                series.shape().draw(area, (x(p.0), y(p.1)), series.ink())?;
            }
        }
        Ok(())
    }
}
