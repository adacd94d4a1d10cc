//! What one fault can reach: who was hit that was not faulty, and where wild pointers went.

use std::collections::BTreeSet;

use super::share;
use crate::campaign::Summary;
use crate::render::html::{Cell, Group, Notes, table};

/// The part of the section.
pub fn section(summary: &Summary) -> String {
    let mut out = String::from("<h3>What one fault can reach</h3>");
    out += &map(summary);
    if summary.wild.iter().any(|wild| wild.pointers > 0) {
        let heads = ["kernel", "wild pointers that hit a page which the component could write"].map(String::from);
        let row = |wild: &crate::campaign::Wild| {
            (wild.kernel.clone(), vec![Cell { html: share(wild.mapped, wild.pointers), class: "" }])
        };
        let groups = [Group { head: String::new(), rows: summary.wild.iter().map(row).collect() }];
        out += &table("Where spoiled addresses pointed", &heads, &groups, &Notes::default());
    }
    out
}

/// Faulty components down with whom they hit, kernels across.
fn map(summary: &Summary) -> String {
    let subjects: BTreeSet<&String> = summary.reach.iter().map(|reach| &reach.subject).collect();
    let heads: Vec<String> = std::iter::once(&String::from("hit")).chain(&summary.kernels).cloned().collect();
    let mut groups = Vec::new();
    for subject in subjects {
        let of = |kernel: &String| summary.reach.iter().find(|r| r.kernel == *kernel && r.subject == *subject);
        let hit: BTreeSet<&String> = summary.kernels.iter().filter_map(of).flat_map(|reach| reach.hit.keys()).collect();
        let cell = |kernel: &String, name: &String| match of(kernel) {
            None => Cell { html: "–".into(), class: "none" },
            Some(reach) => {
                let count = reach.hit.get(name).copied().unwrap_or(0);
                Cell { html: share(count, reach.activated), class: if count > 0 { "bad" } else { "good" } }
            }
        };
        let mut rows: Vec<(String, Vec<Cell>)> = hit
            .into_iter()
            .map(|name| (name.clone(), summary.kernels.iter().map(|kernel| cell(kernel, name)).collect()))
            .collect();
        if rows.is_empty() {
            let cells = summary.kernels.iter().map(|kernel| cell(kernel, &String::new())).collect();
            rows.push(("nobody".into(), cells));
        }
        groups.push(Group { head: format!("Fault in {subject}"), rows });
    }
    table("Who was hit, or read, that was not faulty, by activated faults", &heads, &groups, &Notes::default())
}
