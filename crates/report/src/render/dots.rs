//! The dot panel: one row for each workload, one mark for each series with its interval, on a log scale.
//!
//! Panels are small (440 px) so that a phone shows one and a desktop two beside each other; coordinates are half
//! pixels. A value that isn't positive has no place on a log scale and stands in the table alone.

use super::ink::{Area, Drawn, Ink, Shape};
use super::number::show;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

/// Width of a panel in half pixels.
pub const WIDTH: u32 = 880;
const TOP: i32 = 56;
const BOTTOM: i32 = 52;
const RIGHT: i32 = 40;
const LANE: i32 = 22;

/// One mark.
pub struct Dot {
    /// Index of its row.
    pub row: usize,
    /// Value and interval.
    pub value: f64,
    /// Ends of the interval.
    pub interval: Option<(f64, f64)>,
    /// Its colour, which is also its lane.
    pub ink: Ink,
    /// Its shape.
    pub shape: Shape,
}

/// A panel before it is drawn.
pub struct Panel {
    /// Heading.
    pub title: String,
    /// Names of the rows.
    pub rows: Vec<String>,
    /// The marks.
    pub dots: Vec<Dot>,
    /// Unit of the values.
    pub unit: String,
    /// A value to mark with a line, such as a ratio of 1.
    pub baseline: Option<f64>,
    /// Colours in the order of their lanes within a row.
    pub lanes: Vec<Ink>,
    /// Values that the scale must hold besides the panel's own, so that panels side by side can be compared.
    pub reach: Vec<f64>,
}

impl Panel {
    fn row_height(&self) -> i32 {
        (self.lanes.len() as i32 * LANE + 14).max(44)
    }

    /// Height in half pixels.
    pub fn height(&self) -> u32 {
        (TOP + BOTTOM + self.rows.len() as i32 * self.row_height()) as u32
    }

    /// Draws it at the area's upper left corner.
    pub fn draw(&self, area: &Area<'_>) -> Drawn {
        self.paint(area).map_err(|e| e.to_string())
    }

    fn paint(&self, area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
        let longest = self.rows.iter().map(|r| r.chars().count()).max().unwrap_or(0) as i32;
        let left = (longest * 15 + 24).clamp(120, 380);
        let (width, height) = (WIDTH as i32, self.height() as i32);
        let floor = height - BOTTOM;
        area.draw(&Text::new(self.title.clone(), (0, 8), Ink::Fg.text(28, HPos::Left, VPos::Top)))?;
        let values = self.dots.iter().flat_map(|d| {
            let (low, high) = d.interval.unwrap_or((d.value, d.value));
            [d.value, low, high]
        });
        let scale = Scale::new(values.chain(self.baseline).chain(self.reach.iter().copied()), (left, width - RIGHT));
        let mut last_label = 0;
        for tick in scale.ticks() {
            let x = scale.at(tick);
            area.draw(&PathElement::new(vec![(x, TOP), (x, floor)], Ink::Grid.line(2)))?;
            if x - last_label >= 96 {
                let style = Ink::Muted.text(24, HPos::Center, VPos::Top);
                area.draw(&Text::new(show(tick, &self.unit), (x, floor + 12), style))?;
                last_label = x;
            }
        }
        if let Some(x) = self.baseline.map(|b| scale.at(b)) {
            area.draw(&PathElement::new(vec![(x, TOP), (x, floor)], Ink::Muted.line(3)))?;
        }
        let lanes = &self.lanes;
        for (i, name) in self.rows.iter().enumerate() {
            let top = TOP + i as i32 * self.row_height();
            area.draw(&PathElement::new(vec![(0, top), (width - RIGHT, top)], Ink::Grid.line(1)))?;
            let style = Ink::Fg.text(26, HPos::Left, VPos::Center);
            area.draw(&Text::new(shorten(name), (0, top + self.row_height() / 2), style))?;
        }
        area.draw(&PathElement::new(vec![(0, floor), (width - RIGHT, floor)], Ink::Grid.line(2)))?;
        for dot in self.dots.iter().filter(|d| d.value > 0.0) {
            let lane = lanes.iter().position(|l| *l == dot.ink).unwrap_or(0) as i32;
            let used = lanes.len() as i32 * LANE;
            let y = TOP + dot.row as i32 * self.row_height() + (self.row_height() - used) / 2 + lane * LANE + LANE / 2;
            if let Some((low, high)) = dot.interval {
                let ends = vec![(scale.at(low), y), (scale.at(high), y)];
                area.draw(&PathElement::new(ends, dot.ink.line(4)))?;
            }
            dot.shape.draw(area, (scale.at(dot.value), y), dot.ink)?;
        }
        Ok(())
    }
}

/// A name that fits beside its row.
fn shorten(name: &str) -> String {
    match name.chars().count() {
        0..=26 => name.to_owned(),
        _ => name.chars().take(25).chain(['…']).collect(),
    }
}

/// A log scale with ends at 1, 2 or 5 times a power of ten.
pub struct Scale {
    low: f64,
    high: f64,
    pixels: (i32, i32),
}

impl Scale {
    /// One that holds all of these, over these pixels.
    pub fn new(values: impl Iterator<Item = f64>, pixels: (i32, i32)) -> Self {
        let (low, high) = values
            .filter(|v| *v > 0.0 && v.is_finite())
            .fold((f64::INFINITY, 0.0f64), |(low, high), v| (low.min(v), high.max(v)));
        match low.is_finite() {
            true => Self { low: nice_below(low), high: nice_below(high) * 2.5, pixels },
            false => Self { low: 1.0, high: 10.0, pixels },
        }
    }

    /// Where a value is.
    pub fn at(&self, value: f64) -> i32 {
        let share = (value.max(self.low) / self.low).ln() / (self.high / self.low).ln();
        let (from, to) = self.pixels;
        from + (share.min(1.0) * f64::from(to - from)).round() as i32
    }

    /// Powers of ten over long ranges, else 1, 2 and 5 times each.
    pub fn ticks(&self) -> Vec<f64> {
        let steps: &[f64] = if self.high / self.low > 300.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let all = decades.flat_map(|d| steps.iter().map(move |s| s * 10f64.powi(d)));
        all.filter(|t| *t >= self.low * 0.999 && *t <= self.high * 1.001).collect()
    }
}

/// The greatest of 1, 2 and 5 times a power of ten that is not above `value`.
fn nice_below(value: f64) -> f64 {
    let power = 10f64.powi(value.log10().floor() as i32);
    [5.0, 2.0, 1.0].into_iter().map(|s| s * power).find(|n| *n <= value * 1.000_001).unwrap_or(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_holds_every_value_and_has_ticks() {
        for values in [vec![1.0], vec![0.98, 1.02], vec![3.0, 2e7], vec![4.99, 5.01], vec![], vec![-1.0, 0.0]] {
            let s = Scale::new(values.iter().copied(), (100, 800));
            assert!(s.ticks().len() >= 2, "{values:?}: {:?}", s.ticks());
            assert!(values.iter().filter(|v| **v > 0.0).all(|v| (s.low..=s.high).contains(v)), "{values:?}");
            assert_eq!((s.at(s.low), s.at(s.high), s.at(-5.0)), (100, 800, 100));
        }
    }
}
