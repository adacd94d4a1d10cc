//! The overhead curve: ratio to the monolith over the share of user computation, on a log scale.

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
const TOP: i32 = 60;
const FLOOR: i32 = 370;

/// Share in percent, ratio, ends of its interval.
type Point = (u32, f64, Option<(f64, f64)>);
/// The lines of a picture, each with its points in any order.
pub type Lines = BTreeMap<Series, Vec<Point>>;

/// Draws the lines.
pub fn draw(title: &str, lines: &Lines, area: &Area<'_>) -> Drawn {
    paint(title, lines, area).map_err(|e| e.to_string())
}

fn paint(title: &str, lines: &Lines, area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let points = || lines.values().flatten();
    let ends = |p: &Point| p.2.unwrap_or((p.1, p.1));
    let values = points().flat_map(|p| [p.1, ends(p).0, ends(p).1]).chain([1.0]);
    // The scale grows upwards.
    let scale = Scale::new(values, (0, FLOOR - TOP));
    let y = |ratio: f64| FLOOR - scale.at(ratio);
    let x = |share: u32| LEFT + (RIGHT - LEFT) * share.min(100) as i32 / 100;
    area.draw(&Text::new(title.to_owned(), (0, 8), Ink::Fg.text(28, HPos::Left, VPos::Top)))?;
    let mut last_label = i32::MAX;
    for tick in scale.ticks() {
        area.draw(&PathElement::new(vec![(LEFT, y(tick)), (RIGHT, y(tick))], Ink::Grid.line(2)))?;
        if last_label.saturating_sub(y(tick)) >= 34 {
            let style = Ink::Muted.text(24, HPos::Right, VPos::Center);
            area.draw(&Text::new(show(tick, "ratio"), (LEFT - 12, y(tick)), style))?;
            last_label = y(tick);
        }
    }
    area.draw(&PathElement::new(vec![(LEFT, y(1.0)), (RIGHT, y(1.0))], Ink::Muted.line(3)))?;
    let mut shares: Vec<u32> = points().map(|p| p.0).collect();
    shares.sort_unstable();
    shares.dedup();
    for share in shares {
        let style = Ink::Muted.text(24, HPos::Center, VPos::Top);
        area.draw(&Text::new(format!("{share} %"), (x(share), FLOOR + 10), style))?;
    }
    let style = Ink::Muted.text(24, HPos::Right, VPos::Top);
    area.draw(&Text::new("user computation, share of the monolith's time", (RIGHT, FLOOR + 40), style))?;
    for (series, line) in lines {
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
