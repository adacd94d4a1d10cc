//! Classes by kernel and by kind of fault: bars, tables, differences between kernels.

use std::collections::BTreeMap;

use super::share;
use crate::campaign::{Class, Count, Summary, activated};
use crate::render::html::{Cell, Group, Notes, escape, fold, table};
use crate::stats::difference;

type Classes = BTreeMap<Class, u64>;

/// Classes that are told together in the first table.
const COLUMNS: [(&str, &[Class]); 7] = [
    ("masked", &[Class::Masked]),
    (
        "error, restart or noticed hang",
        &[Class::ErrorReturned, Class::RestartedUnaware, Class::RestartedAware, Class::HangNoticed],
    ),
    ("wrong or lost data", &[Class::WrongData, Class::DataLost]),
    ("app killed", &[Class::AppKilled]),
    ("hang not noticed", &[Class::HangUnnoticed]),
    ("secret read", &[Class::SecretRead]),
    ("reached others", REACHED),
];
/// What went beyond the component and its own app.
pub const REACHED: &[Class] = &[Class::Spread, Class::KernelDead];

fn sum(classes: &Classes, of: &[Class]) -> u64 {
    of.iter().filter_map(|class| classes.get(class)).sum()
}

/// Values in the order in which the campaign first has them.
fn all<'a>(summary: &'a Summary, of: impl Fn(&'a Count) -> &'a str) -> Vec<&'a str> {
    let mut seen: Vec<&str> = summary.cells.iter().map(of).collect();
    seen.sort_unstable();
    seen.dedup();
    seen
}

/// The part of the section.
pub fn section(summary: &Summary) -> String {
    let kinds = all(summary, |cell| &cell.kind);
    let mut out = by_kernel(summary);
    out += "<h3>By kind of fault</h3>";
    out += &legend();
    out += &bars(summary, &kinds);
    out += &inapplicable(summary);
    let caption = "Trials by component, kind of fault, kernel and class";
    out + &fold(caption, false, &counts(summary, caption))
}

fn by_kernel(summary: &Summary) -> String {
    let heads: Vec<String> = ["kernel", "trials", "activated"]
        .into_iter()
        .chain(COLUMNS.map(|(head, _)| head))
        .chain(["reached others, less the first kernel"])
        .map(String::from)
        .collect();
    let mut groups = Vec::new();
    for (head, permanent) in [("All faults", None), ("Transient", Some(false)), ("Permanent", Some(true))] {
        let of = |kernel: &str| summary.count(|c| c.kernel == kernel && permanent.is_none_or(|p| p == c.permanent));
        let base = summary.kernels.first().map(|first| of(first)).unwrap_or_default();
        let row = |kernel: &String| {
            let classes = of(kernel);
            let (trials, n) = (classes.values().sum::<u64>(), activated(&classes));
            let cell = |html| Cell { html, class: "" };
            let mut cells = vec![Cell::text(&trials.to_string()), cell(share(n, trials))];
            cells.extend(COLUMNS.map(|(_, of)| cell(share(sum(&classes, of), n))));
            let first = summary.kernels.first() == Some(kernel);
            cells.push(cell(if first { "–".into() } else { against((&classes, n), (&base, activated(&base))) }));
            (kernel.clone(), cells)
        };
        groups.push(Group { head: head.into(), rows: summary.kernels.iter().map(row).collect() });
    }
    table("What came of activated faults, by kernel", &heads, &groups, &Notes::default())
}

/// The difference of two rates of reaching others, in percentage points.
fn against((classes, n): (&Classes, u64), (base, m): (&Classes, u64)) -> String {
    if n == 0 || m == 0 {
        return "–".into();
    }
    let (at, interval) = difference((sum(classes, REACHED), n), (sum(base, REACHED), m));
    let points = |x: f64| format!("{:+.2}", x * 100.0);
    format!("{}<small>{} to {} points</small>", points(at), points(interval.low), points(interval.high))
}

fn legend() -> String {
    let shown = Class::ALL.into_iter().filter(|class| class.is_activated());
    let item = |class: Class| format!("<li><span class=\"swatch c-{}\"></span>{}</li>", class.name(), class.title());
    format!("<ul class=\"legend\">{}</ul>", shown.map(item).collect::<String>())
}

/// A bar for each kind of fault and kernel: activated faults by class.
fn bars(summary: &Summary, kinds: &[&str]) -> String {
    let heads = ["kernel", "activated", "outcome"].map(String::from);
    let mut groups = Vec::new();
    for kind in kinds {
        let row = |kernel: &String| {
            let classes = summary.count(|cell| cell.kernel == *kernel && cell.kind == *kind);
            let (trials, n) = (classes.values().sum::<u64>(), activated(&classes));
            let cells = vec![Cell::text(&format!("{n} of {trials}")), Cell { html: bar(&classes, n), class: "wide" }];
            (kernel.clone(), cells)
        };
        groups.push(Group { head: kind.replace('_', " "), rows: summary.kernels.iter().map(row).collect() });
    }
    table("Outcomes of activated faults by kind and kernel", &heads, &groups, &Notes::default())
}

/// Why a kernel has no counterpart of a kind of fault.
fn inapplicable(summary: &Summary) -> String {
    let mut reasons: BTreeMap<(&str, &str), BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for one in &summary.inapplicable {
        let kernels = reasons.entry((&one.kind, &one.reason)).or_default();
        kernels.entry(&one.kernel).or_default().push(&one.subject);
    }
    let items = reasons.iter().map(|((kind, reason), kernels)| {
        let each: Vec<String> =
            kernels.iter().map(|(kernel, subjects)| format!("{kernel} ({})", subjects.join(", "))).collect();
        format!("<li>{}: {}. {}.</li>", escape(&kind.replace('_', " ")), escape(reason), escape(&each.join("; ")))
    });
    let items: String = items.collect();
    if items.is_empty() {
        return items;
    }
    fold("Faults that a kernel has no counterpart of", false, &format!("<ul>{items}</ul>"))
}

fn bar(classes: &Classes, n: u64) -> String {
    if n == 0 {
        let applies = classes.keys().any(|class| *class != Class::NotApplicable);
        return if applies { "none was activated" } else { "not applicable" }.into();
    }
    let parts = || classes.iter().filter(|(class, count)| class.is_activated() && **count > 0);
    let words: Vec<String> = parts().map(|(class, count)| format!("{} {count}", class.title())).collect();
    let part = |(class, count): (&Class, &u64)| {
        let width = *count as f64 / n as f64 * 100.0;
        format!("<span class=\"c-{}\" style=\"width:{width:.2}%\"></span>", class.name())
    };
    let words = escape(&words.join(", "));
    format!(
        "<div class=\"stack\" role=\"img\" aria-label=\"{words}\" title=\"{words}\">{}</div>",
        parts().map(part).collect::<String>()
    )
}

/// Every cell with its counts.
fn counts(summary: &Summary, caption: &str) -> String {
    let classes: Vec<Class> = Class::ALL
        .into_iter()
        .filter(|class| summary.cells.iter().any(|cell| cell.classes.contains_key(class)))
        .collect();
    let heads: Vec<String> =
        std::iter::once("kernel").chain(classes.iter().map(|class| class.title())).map(String::from).collect();
    let mut groups: BTreeMap<String, Vec<(String, Vec<Cell>)>> = BTreeMap::new();
    for cell in &summary.cells {
        let lasting = if cell.permanent { ", permanent" } else { "" };
        let head = format!("{}: {}{lasting}", cell.subject, cell.kind.replace('_', " "));
        let count = |class| Cell::text(&cell.classes.get(class).copied().unwrap_or(0).to_string());
        groups.entry(head).or_default().push((cell.kernel.clone(), classes.iter().map(count).collect()));
    }
    let groups: Vec<Group> = groups.into_iter().map(|(head, rows)| Group { head, rows }).collect();
    table(caption, &heads, &groups, &Notes::default())
}
