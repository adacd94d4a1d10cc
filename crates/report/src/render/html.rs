//! HTML by hand: escaping, and the one table that every section uses.
//!
//! Whatever comes from a record goes through [`escape`]; what these functions return is markup and isn't escaped again.

use super::number::{show, show_interval};
use crate::schema::{Record, Status};
use std::fmt::Write;

/// Text made safe for elements and quoted attributes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Footnotes of one table: the same reason gets the same letter.
#[derive(Default)]
pub struct Notes(Vec<String>);

impl Notes {
    fn mark(&mut self, reason: &str) -> String {
        let at = self.0.iter().position(|r| r == reason).unwrap_or_else(|| {
            self.0.push(reason.to_owned());
            self.0.len() - 1
        });
        // Letters, then pairs of letters: a table with more than 26 different reasons is rare, not wrong.
        let letter = |i: usize| char::from(b'a' + (i % 26) as u8);
        match at / 26 {
            0 => letter(at).to_string(),
            n => format!("{}{}", letter(n - 1), letter(at)),
        }
    }

    fn list(&self) -> String {
        let item = |r: &String| format!("<li>{}</li>", escape(r));
        match self.0.is_empty() {
            true => String::new(),
            false => format!("<ol class=\"notes\">{}</ol>", self.0.iter().map(item).collect::<String>()),
        }
    }
}

/// A table cell: markup, and the class that colours it.
#[derive(Default)]
pub struct Cell {
    /// What stands in it.
    pub html: String,
    /// Class of the style sheet, or nothing.
    pub class: &'static str,
}

impl Cell {
    /// A cell of plain text.
    pub fn text(text: &str) -> Self {
        Self { html: escape(text), class: "" }
    }

    /// The cell of a figure: value, interval, and a footnote where it is unavailable or unstable.
    pub fn figure(record: Option<&Record>, notes: &mut Notes) -> Self {
        let Some(r) = record else { return Self { html: "–".into(), class: "none" } };
        let reason = r.reason.as_deref().map(|reason| format!("<sup>{}</sup>", notes.mark(reason)));
        let reason = reason.unwrap_or_default();
        let Some(value) = r.value else { return Self { html: format!("n/a{reason}"), class: "none" } };
        let unstable = if r.status == Status::Unstable { "<b>unstable</b> " } else { "" };
        let interval = show_interval(r).map(|i| format!("<small>{i}</small>")).unwrap_or_default();
        Self { html: format!("{unstable}{}{reason}{interval}", escape(&show(value, &r.unit))), class: "" }
    }
}

/// Rows under one heading (no heading where it is empty).
#[derive(Default)]
pub struct Group {
    /// Heading of the group, plain text.
    pub head: String,
    /// Rows: head (plain text) and cells.
    pub rows: Vec<(String, Vec<Cell>)>,
}

/// A table that scrolls inside its own container. Caption and column heads are plain text.
pub fn table(caption: &str, heads: &[String], groups: &[Group], notes: &Notes) -> String {
    let mut out = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table><caption>{0}</caption><thead><tr>",
        escape(caption)
    );
    for head in heads {
        let _ = write!(out, "<th scope=\"col\">{}</th>", escape(head));
    }
    out.push_str("</tr></thead>");
    for group in groups.iter().filter(|g| !g.rows.is_empty()) {
        out.push_str("<tbody>");
        if !group.head.is_empty() {
            let _ = write!(
                out,
                "<tr class=\"group\"><th scope=\"rowgroup\" colspan=\"{}\">{}</th></tr>",
                heads.len(),
                escape(&group.head)
            );
        }
        for (head, cells) in &group.rows {
            let _ = write!(out, "<tr><th scope=\"row\">{}</th>", escape(head));
            for cell in cells {
                let _ = match cell.class {
                    "" => write!(out, "<td>{}</td>", cell.html),
                    class => write!(out, "<td class=\"{class}\">{}</td>", cell.html),
                };
            }
            out.push_str("</tr>");
        }
        out.push_str("</tbody>");
    }
    out.push_str("</table></div>");
    out + &notes.list()
}

/// A part that is folded until it is asked for; needs no script.
pub fn fold(summary: &str, open: bool, body: &str) -> String {
    let open = if open { " open" } else { "" };
    format!("<details{open}><summary>{}</summary>{body}</details>", escape(summary))
}
