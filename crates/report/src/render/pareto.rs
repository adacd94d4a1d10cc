//! The Pareto chart: what it costs on a log scale to the right, what it keeps inside upwards, a named dot for each choice.

use super::dots::Scale;
use super::ink::{Area, Drawn, Ink, Shape};
use super::number::show;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

/// Size of a chart in half pixels.
pub const SIZE: (u32, u32) = (880, 600);
const LEFT: i32 = 100;
const RIGHT: i32 = 840;
const TOP: i32 = 90;
const FLOOR: i32 = 470;
/// Where those stand whose height nobody measured.
const UNKNOWN: i32 = FLOOR + 26;
const TEXT: u32 = 24;
/// Half pixels of a letter at that size, roughly.
const LETTER: i32 = 13;

/// One choice.
pub struct Dot {
    /// What it is called.
    pub name: String,
    /// What it costs, and the ends of that.
    pub cost: f64,
    /// See `cost`.
    pub cost_ends: Option<(f64, f64)>,
    /// The share that it keeps inside, with the ends of that; `None` where nobody tried.
    pub inside: Option<(f64, (f64, f64))>,
    /// Its colour.
    pub ink: Ink,
}

/// A box on the chart: left, top, right, bottom.
type Box4 = (i32, i32, i32, i32);

fn overlap(a: Box4, b: Box4) -> bool {
    a.0 < b.2 && b.0 < a.2 && a.1 < b.3 && b.1 < a.3
}

/// Draws the chart; `reach` are values that its scale must hold, so that charts beside each other can be compared.
pub fn draw(title: &str, dots: &[Dot], reach: &[f64], area: &Area<'_>) -> Drawn {
    paint(title, dots, reach, area).map_err(|e| e.to_string())
}

fn paint(title: &str, dots: &[Dot], reach: &[f64], area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let values = dots.iter().map(|d| d.cost).chain(reach.iter().copied()).chain([1.0]);
    let scale = Scale::new(values, (LEFT, RIGHT));
    let height = |share: f64| FLOOR - (share * f64::from(FLOOR - TOP)).round() as i32;
    let place = |d: &Dot| (scale.at(d.cost), d.inside.map_or(UNKNOWN, |(share, _)| height(share)));
    area.draw(&Text::new(title.to_owned(), (0, 8), Ink::Fg.text(28, HPos::Left, VPos::Top)))?;
    let heading = "driver faults that stayed inside";
    area.draw(&Text::new(heading, (0, 48), Ink::Muted.text(TEXT, HPos::Left, VPos::Top)))?;
    for percent in [0, 25, 50, 75, 100] {
        let y = height(f64::from(percent) / 100.0);
        area.draw(&PathElement::new(vec![(LEFT, y), (RIGHT, y)], Ink::Grid.line(2)))?;
        area.draw(&Text::new(
            format!("{percent} %"),
            (LEFT - 12, y),
            Ink::Muted.text(TEXT, HPos::Right, VPos::Center),
        ))?;
    }
    let mut last = 0;
    for tick in scale.ticks() {
        let x = scale.at(tick);
        area.draw(&PathElement::new(vec![(x, TOP), (x, FLOOR)], Ink::Grid.line(1)))?;
        if x - last >= 80 {
            let style = Ink::Muted.text(TEXT, HPos::Center, VPos::Top);
            area.draw(&Text::new(show(tick, "ratio"), (x, UNKNOWN + 22), style))?;
            last = x;
        }
    }
    let style = Ink::Muted.text(TEXT, HPos::Right, VPos::Top);
    area.draw(&Text::new("over the monolithic kernel", (RIGHT, UNKNOWN + 56), style))?;
    if dots.iter().any(|d| d.inside.is_none()) {
        let style = Ink::Muted.text(20, HPos::Right, VPos::Center);
        area.draw(&Text::new("not tried", (LEFT - 12, UNKNOWN), style))?;
    }
    let front: Vec<(i32, i32)> = front(dots).into_iter().map(place).collect();
    area.draw(&PathElement::new(front, Ink::Muted.line(2)))?;
    // Names keep off dots and the lines through them.
    let mut taken: Vec<Box4> = dots.iter().map(|d| around(place(d))).collect();
    for d in dots {
        let (x, y) = place(d);
        if let Some((low, high)) = d.cost_ends {
            taken.push((scale.at(low), y - 4, scale.at(high), y + 4));
            area.draw(&PathElement::new(vec![(scale.at(low), y), (scale.at(high), y)], d.ink.line(4)))?;
        }
        if let Some((_, (low, high))) = d.inside {
            taken.push((x - 3, height(high), x + 3, height(low)));
            area.draw(&PathElement::new(vec![(x, height(low)), (x, height(high))], d.ink.line(2)))?;
        }
        Shape::Disc.draw(area, (x, y), d.ink)?;
    }
    for d in dots {
        let (at, to) = label(place(d), d.name.chars().count() as i32 * LETTER, &taken);
        taken.push(to);
        let (x, y) = place(d);
        let middle = (at.0 + (to.2 - to.0) / 2, at.1);
        // A name that had to go far is tied to its dot.
        if (middle.1 - y).abs() > 40 {
            area.draw(&PathElement::new(vec![(x, y), (middle.0.clamp(at.0, to.2), middle.1)], Ink::Grid.line(2)))?;
        }
        area.draw(&Text::new(d.name.clone(), at, d.ink.text(TEXT, HPos::Left, VPos::Center)))?;
    }
    Ok(())
}

fn around((x, y): (i32, i32)) -> Box4 {
    (x - 12, y - 12, x + 12, y + 12)
}

/// Where a name of this width goes beside its dot: the nearest place that nothing is at. Its middle left, and its box.
fn label((x, y): (i32, i32), width: i32, taken: &[Box4]) -> ((i32, i32), Box4) {
    let steps = [0, -30, 30, -60, 60, -90, 90, -120, 120, -150, 150];
    let sides = [x + 18, x - 18 - width, x - width / 2];
    let choices =
        steps.iter().flat_map(|dy| sides.map(|left| (left.clamp(LEFT, (RIGHT + 30 - width).max(LEFT)), y + dy)));
    let room = |&(left, middle): &(i32, i32)| (left - 4, middle - 14, left + width + 4, middle + 14);
    let free = |at: &(i32, i32)| {
        let own = room(at);
        own.1 >= TOP - 30 && own.3 <= UNKNOWN + 14 && !taken.iter().any(|other| overlap(own, *other))
    };
    let at = choices.clone().find(free).unwrap_or((x + 18, y));
    (at, room(&at))
}

/// The dots that no other one beats in both, from the cheapest on.
fn front(dots: &[Dot]) -> Vec<&Dot> {
    let mut tried: Vec<(&Dot, f64)> = dots.iter().filter_map(|d| Some((d, d.inside?.0))).collect();
    tried.sort_by(|a, b| a.0.cost.total_cmp(&b.0.cost));
    let mut best = f64::NEG_INFINITY;
    tried.retain(|(_, inside)| {
        let better = *inside > best;
        best = best.max(*inside);
        better
    });
    tried.into_iter().map(|(d, _)| d).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(name: &str, cost: f64, inside: Option<f64>) -> Dot {
        let inside = inside.map(|share| (share, (share, share)));
        Dot { name: name.into(), cost, cost_ends: None, inside, ink: Ink::Other }
    }

    #[test]
    fn the_front_leaves_out_what_is_beaten_and_what_nobody_tried() {
        let dots = [
            dot("dear", 9.0, Some(0.9)),
            dot("cheap", 1.0, Some(0.1)),
            dot("beaten", 5.0, Some(0.1)),
            dot("between", 3.0, Some(0.8)),
            dot("unknown", 2.0, None),
        ];
        let names: Vec<&str> = front(&dots).into_iter().map(|d| d.name.as_str()).collect();
        assert_eq!(names, ["cheap", "between", "dear"]);
    }

    #[test]
    fn names_of_neighbours_do_not_cover_each_other() {
        let mut taken: Vec<Box4> = Vec::new();
        for i in 0..5 {
            let at = (400 + 6 * i, 120);
            taken.push(around(at));
        }
        for i in 0..5 {
            let (_, own) = label((400 + 6 * i, 120), 200, &taken);
            assert!(!taken.iter().any(|other| overlap(own, *other)), "{i}: {own:?} in {taken:?}");
            taken.push(own);
        }
    }
}
