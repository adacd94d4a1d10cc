//! From plotters' SVG to SVG that follows the page: colours become CSS variables, the picture gets a title.
//!
//! plotters knows fixed colours alone. Each [`Ink`] is drawn as a colour that nothing else uses, then replaced: by
//! `var(--name)` inside the page (light and dark), by a literal in a picture that stands alone.

use super::html::escape;
use crate::ReportError;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// A colour by its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Ink {
    Fg,
    Muted,
    Grid,
    Bg,
    Mono,
    Thread,
    Process,
    Other,
    Linux,
    Limit,
    Good,
    Bad,
}

/// Role, name of the CSS variable, colour in a picture that stands alone (on white).
const INKS: [(Ink, &str, &str); 12] = [
    (Ink::Fg, "fg", "#1c2128"),
    (Ink::Muted, "muted", "#59636e"),
    (Ink::Grid, "grid", "#d5dae0"),
    (Ink::Bg, "bg", "#ffffff"),
    (Ink::Mono, "mono", "#1d5fae"),
    (Ink::Thread, "thread", "#23794a"),
    (Ink::Process, "process", "#b4470b"),
    (Ink::Other, "other", "#a02c78"),
    (Ink::Linux, "linux", "#6a4fa3"),
    (Ink::Limit, "limit", "#59636e"),
    (Ink::Good, "good", "#23794a"),
    (Ink::Bad, "bad", "#b3261e"),
];

impl Ink {
    /// The stand-in that plotters draws: its red and green channels are 1 and 2, which no other colour here has.
    pub fn rgb(self) -> RGBColor {
        RGBColor(1, 2, self as u8)
    }

    /// Filled with it.
    pub fn fill(self) -> ShapeStyle {
        self.rgb().filled()
    }

    /// A line of that width.
    pub fn line(self, width: u32) -> ShapeStyle {
        self.rgb().stroke_width(width)
    }

    /// Text of that size, anchored.
    pub fn text(self, size: u32, h: HPos, v: VPos) -> TextStyle<'static> {
        // plotters writes size / 1.24 as font size.
        let size = f64::from(size) * 1.24;
        TextStyle { font: ("sans-serif", size).into_font(), color: self.rgb().to_backend_color(), pos: Pos::new(h, v) }
    }

    /// The value of an attribute in the page.
    pub fn css(self) -> String {
        format!("var(--{})", INKS[self as usize].1)
    }
}

/// A marker by its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Shape {
    Disc,
    Triangle,
    Square,
    Cross,
    Diamond,
}

impl Shape {
    /// Draws the marker around a point, in pixels.
    pub fn draw(self, area: &Area<'_>, (x, y): (i32, i32), ink: Ink) -> Drawn {
        let at = |points: &[(i32, i32)]| points.iter().map(|(dx, dy)| (x + dx, y + dy)).collect::<Vec<_>>();
        let shown = match self {
            Self::Disc => area.draw(&Circle::new((x, y), 8, ink.fill())),
            Self::Triangle => area.draw(&Polygon::new(at(&[(0, -10), (10, 8), (-10, 8)]), ink.fill())),
            Self::Square => area.draw(&Rectangle::new([(x - 7, y - 7), (x + 7, y + 7)], ink.fill())),
            Self::Diamond => area.draw(&Polygon::new(at(&[(0, -11), (11, 0), (0, 11), (-11, 0)]), ink.fill())),
            Self::Cross => area
                .draw(&PathElement::new(at(&[(-8, -8), (8, 8)]), ink.line(5)))
                .and_then(|()| area.draw(&PathElement::new(at(&[(-8, 8), (8, -8)]), ink.line(5)))),
        };
        shown.map_err(|e| e.to_string())
    }
}

/// Where charts are drawn.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// Whether the drawing succeeded.
pub type Drawn = Result<(), String>;

/// Where a picture will stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the page, with its colours.
    Page,
    /// In a file of its own, on a white card.
    Alone,
}

/// Draws a picture of `size` units. `id` must be unique in the page; `title` and `desc` are for those who can't see it.
pub fn picture(
    (id, title, desc): (&str, &str, &str),
    size: (u32, u32),
    place: Place,
    draw: impl FnOnce(&Area<'_>) -> Drawn,
) -> Result<String, ReportError> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let drawn = draw(&area).and_then(|()| area.present().map_err(|e| e.to_string()));
        drawn.map_err(|detail| ReportError::Chart { what: title.to_owned(), detail })?;
    }
    for (ink, name, literal) in INKS {
        let stand_in = format!("=\"#0102{:02X}\"", ink as u8);
        let colour = match place {
            Place::Page => format!("=\"var(--{name})\""),
            Place::Alone => format!("=\"{literal}\""),
        };
        svg = svg.replace(&stand_in, &colour);
    }
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    let (w, h) = size;
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\
         <title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>{body}",
        escape(title),
        escape(desc),
    ))
}

/// The legend of a chart: each marker with its name, as HTML so that it wraps.
pub fn legend(entries: &[(String, Ink, Shape)]) -> Result<String, ReportError> {
    let mut out = String::from("<ul class=\"legend\">");
    for (label, ink, shape) in entries {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, (24, 24)).into_drawing_area();
            let drawn = shape.draw(&area, (12, 12), *ink).and_then(|()| area.present().map_err(|e| e.to_string()));
            drawn.map_err(|detail| ReportError::Chart { what: label.clone(), detail })?;
        }
        let svg = svg.replace(&format!("\"#0102{:02X}\"", *ink as u8), &format!("\"{}\"", ink.css()));
        let svg = svg.replacen("<svg ", "<svg aria-hidden=\"true\" ", 1);
        out += &format!("<li>{svg}{}</li>", escape(label));
    }
    Ok(out + "</ul>")
}
