//! Time to notice, as a survival curve: the share of faults that nobody has noticed yet.
//!
//! Faults that nobody ever noticed keep the curve from reaching zero (Kaplan & Meier's estimate, JASA 1958, where all
//! that is censored is censored at the end).

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::look;
use crate::ReportError;
use crate::campaign::{Notice, Summary};
use crate::render::ink::{Area, Drawn, Ink, Place, legend, picture};
use crate::render::number::show;

const SIZE: (u32, u32) = (1100, 440);
const LEFT: i32 = 100;
const RIGHT: i32 = 1060;
const TOP: i32 = 60;
const FLOOR: i32 = 360;

/// The part of the section.
pub fn section(summary: &Summary) -> Result<String, ReportError> {
    let shown: Vec<&Notice> = summary.notice.iter().filter(|notice| notice.faults > 0).collect();
    if shown.iter().all(|notice| notice.noticed.is_empty()) {
        return Ok(String::new());
    }
    let entries: Vec<_> = shown
        .iter()
        .map(|notice| {
            let (ink, shape) = look(&notice.kernel, summary);
            let noticed: u64 = notice.noticed.iter().map(|(_, n)| n).sum();
            (format!("{} ({noticed} of {} noticed)", notice.kernel, notice.faults), ink, shape)
        })
        .collect();
    let title = "Faults that nobody has noticed yet";
    let desc = "A falling line for each kernel: the share of faults with an effect that were not yet noticed, over the time \
                since the fault's first execution on a log scale.";
    let drawn = picture(("campaign-notice", title, desc), SIZE, Place::Page, |area| {
        draw(title, &shown, summary, area).map_err(|error| error.to_string())
    })?;
    Ok(format!("<h3>Time to notice</h3>{}<div class=\"panels\" style=\"--columns:1\">{drawn}</div>", legend(&entries)?))
}

fn draw(title: &str, shown: &[&Notice], summary: &Summary, area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let times = || shown.iter().flat_map(|notice| &notice.noticed).map(|(ns, _)| (*ns).max(1) as f64);
    let from = times().fold(f64::INFINITY, f64::min).log10().floor();
    let to = times().fold(1.0, f64::max).log10().ceil().max(from + 1.0);
    let x = |ns: f64| LEFT + ((ns.log10() - from) / (to - from) * f64::from(RIGHT - LEFT)).round() as i32;
    let y = |share: f64| FLOOR - (share * f64::from(FLOOR - TOP)).round() as i32;
    area.draw(&Text::new(title.to_owned(), (0, 8), Ink::Fg.text(28, HPos::Left, VPos::Top)))?;
    for quarter in 0..=4 {
        let share = f64::from(quarter) / 4.0;
        area.draw(&PathElement::new(vec![(LEFT, y(share)), (RIGHT, y(share))], Ink::Grid.line(2)))?;
        let style = Ink::Muted.text(24, HPos::Right, VPos::Center);
        area.draw(&Text::new(format!("{} %", quarter * 25), (LEFT - 12, y(share)), style))?;
    }
    for power in from as i32..=to as i32 {
        let ns = 10f64.powi(power);
        let style = Ink::Muted.text(24, HPos::Center, VPos::Top);
        area.draw(&Text::new(show(ns, "ns"), (x(ns), FLOOR + 10), style))?;
    }
    let style = Ink::Muted.text(24, HPos::Right, VPos::Top);
    area.draw(&Text::new("since the fault's first execution", (RIGHT, FLOOR + 42), style))?;
    for notice in shown {
        line(notice, summary, area, &x, &y)?;
    }
    Ok(())
}

fn line(notice: &Notice, summary: &Summary, area: &Area<'_>, x: &dyn Fn(f64) -> i32, y: &dyn Fn(f64) -> i32) -> Drawn {
    let (ink, shape) = look(&notice.kernel, summary);
    let faults = notice.faults as f64;
    let mut left = faults;
    let mut stairs = vec![(LEFT, y(1.0))];
    let mut marks = Vec::new();
    for &(ns, noticed) in &notice.noticed {
        let at = x((ns.max(1)) as f64);
        stairs.push((at, y(left / faults)));
        left -= noticed as f64;
        stairs.push((at, y(left / faults)));
        marks.push((at, y(left / faults)));
    }
    stairs.push((RIGHT, y(left / faults)));
    area.draw(&PathElement::new(stairs, ink.line(4))).map_err(|error| error.to_string())?;
    // The shape, a few times along the line, tells lines of one colour apart.
    let every = (marks.len() / 5).max(1);
    marks.iter().step_by(every).try_for_each(|&at| shape.draw(area, at, ink))
}
