//! The picture for the README: latency ratios on the left, containment of faults on the right, on a white card.
//!
//! It stands alone, so its colours are literals; the card keeps it readable on a dark page.

use super::dots::WIDTH;
use super::facts::{Containment, containment, ratios};
use super::figures::panel;
use super::ink::{Area, Drawn, Ink, Place, Shape, picture};
use super::number::cores;
use crate::schema::{Entry, Record, Results};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use std::collections::BTreeSet;

const PAD: i32 = 40;
const HEAD: i32 = 110;
const BAR_ROW: i32 = 92;

/// The picture as an SVG document. A run without ratios or faults gives a picture that says so.
pub fn headline_svg(results: &Results) -> String {
    let (series, records) = ratios(results);
    let name = series.map_or("microkernel".into(), |s| s.label());
    let columns = containment(results);
    // One panel for each core budget; entries differ by shape.
    let budget = records.iter().filter(|r| r.value.is_some()).map(|r| r.cores).collect::<BTreeSet<_>>();
    let panels: Vec<_> = budget.iter().map(|n| ratio_panel(*n, &records)).collect();
    let tallest = panels.iter().map(|p| p.height() as i32).max().unwrap_or(80);
    let bars = 70 + columns.len() as i32 * BAR_ROW;
    let width = 2 * PAD + panels.len().max(1) as i32 * (WIDTH as i32 + PAD) - PAD;
    let height = HEAD + tallest + 40 + bars + PAD;
    let draw = |area: &Area<'_>| {
        let text = |words: &str, at: (i32, i32), ink: Ink, size: u32| {
            let style = ink.text(size, HPos::Left, VPos::Top);
            area.draw(&Text::new(words.to_owned(), at, style)).map_err(|e| e.to_string())
        };
        let card = Rectangle::new([(0, 0), (width, height)], Ink::Bg.fill());
        area.draw(&card).map_err(|e| e.to_string())?;
        text(&format!("Time of a system call: {name} over monolithic"), (PAD, 24), Ink::Fg, 32)?;
        for (i, (shape, words)) in
            [(Shape::Square, "by trap"), (Shape::Disc, "by call"), (Shape::Diamond, "message counted as trap")]
                .iter()
                .enumerate()
        {
            let x = PAD + 12 + i as i32 * 170;
            shape.draw(area, (x, 84), entry_ink(i))?;
            text(words, (x + 20, 72), Ink::Fg, 24)?;
        }
        if panels.is_empty() {
            text("no figures in this run", (PAD, HEAD + 20), Ink::Muted, 26)?;
        }
        for (i, panel) in panels.iter().enumerate() {
            let left = PAD + i as i32 * (WIDTH as i32 + PAD);
            let own = area.clone().shrink((left, HEAD), (WIDTH, panel.height()));
            panel.draw(&own)?;
        }
        let top = HEAD + tallest + 40;
        text("Faults that stayed inside the faulty component", (PAD, top), Ink::Fg, 32)?;
        for (i, c) in columns.iter().enumerate() {
            bar(area, c, top + 64 + i as i32 * BAR_ROW, width)?;
        }
        match columns.is_empty() {
            true => text("no figures in this run", (PAD, top + 50), Ink::Muted, 26),
            false => Ok(()),
        }
    };
    let title = "Latency ratios and containment of faults";
    let desc = "Left to right: how long a system call takes over the monolith, on a log scale, for each core budget; \
                below: the share of faults that harmed nobody else, with its 95 % interval.";
    let size = (width as u32, height as u32);
    picture(("headline", title, desc), size, Place::Alone, draw)
        .expect("drawing into a string can't fail: there is neither a file nor a font behind it")
}

fn entry_ink(i: usize) -> Ink {
    [Ink::Process, Ink::Mono, Ink::Thread][i]
}

/// The ratios of one core budget, entries told apart by shape and colour.
fn ratio_panel(n: u32, records: &[&Record]) -> super::dots::Panel {
    let here: Vec<&Record> = records.iter().filter(|r| r.cores == n && r.value.is_some()).copied().collect();
    let mut panel = panel(cores(n), &here, Some(1.0));
    let look = |r: &Record| match r.entry {
        Entry::Call => (Shape::Disc, entry_ink(1)),
        Entry::Once => (Shape::Diamond, entry_ink(2)),
        Entry::Trap | Entry::None => (Shape::Square, entry_ink(0)),
    };
    for (dot, r) in panel.dots.iter_mut().zip(&here) {
        let (shape, ink) = look(r);
        (dot.ink, dot.shape) = (ink, shape);
    }
    panel.lanes = panel.dots.iter().map(|d| d.ink).collect::<BTreeSet<_>>().into_iter().collect();
    panel.reach = records.iter().flat_map(|r| [r.value, r.ci_low, r.ci_high]).flatten().collect();
    panel
}

/// One bar: the share, its interval as a line, counts in words.
fn bar(area: &Area<'_>, c: &Containment, top: i32, width: i32) -> Drawn {
    let label = format!("{}, {}: {} of {}", c.series.label(), cores(c.cores), c.contained, c.activated);
    let ink = c.series.ink();
    let x = |share: f64| PAD + (share * f64::from(width - 2 * PAD)).round() as i32;
    let share = c.contained as f64 / c.activated.max(1) as f64;
    let i = c.interval();
    let y = top + 52;
    let drawn = area
        .draw(&Text::new(label, (PAD, top), Ink::Fg.text(26, HPos::Left, VPos::Top)))
        .and_then(|()| area.draw(&Rectangle::new([(PAD, y - 14), (x(1.0), y + 14)], Ink::Grid.fill())))
        .and_then(|()| area.draw(&Rectangle::new([(PAD, y - 14), (x(share), y + 14)], ink.fill())))
        .and_then(|()| area.draw(&PathElement::new(vec![(x(i.low), y), (x(i.high), y)], Ink::Fg.line(4))));
    drawn.map_err(|e| e.to_string())
}
