//! Full disclosure: everything that `meta` says, and the one line of it that stands under each section.

use super::html::{Cell, Group, Notes, escape, table};
use super::number::cores;
use crate::schema::{Meta, Mode, Results};

/// The machine in one line, plain text.
pub fn machine(meta: &Meta) -> String {
    format!("{}, {}, governor {}, {}", meta.cpu, cores(meta.cores), meta.governor, meta.host_kernel)
}

/// `key: value` pairs on lines of their own.
fn pairs<V: std::fmt::Display>(map: &std::collections::BTreeMap<String, V>) -> String {
    map.iter().map(|(k, v)| format!("<div>{}: {}</div>", escape(k), escape(&v.to_string()))).collect()
}

/// The table.
pub fn section(results: &Results) -> String {
    let m = &results.meta;
    let text = |head: &str, value: String| (head.to_owned(), vec![Cell::text(&value)]);
    let html = |head: &str, html: String| (head.to_owned(), vec![Cell { html, class: "wide" }]);
    let mode = match m.mode {
        Mode::Quick => "quick",
        Mode::Full => "full",
        Mode::Long => "long",
    };
    let stolen = m.stolen_percent.map_or("not known".into(), |s| format!("{s:.2} %"));
    let rows = vec![
        text("command", m.command_line.clone()),
        text("commit", m.commit.clone()),
        text("date", m.date.clone()),
        text("mode, boots, seed", format!("{mode}, {} boots, seed {}", m.boots, m.seed)),
        text("duration", format!("{:.1} s", m.duration_seconds)),
        html("time budgets (s)", pairs(&m.budgets)),
        text("CPU", m.cpu.clone()),
        text("CPU features", m.cpu_features.join(", ")),
        text("cores", m.cores.to_string()),
        html("mitigations", pairs(&m.mitigations)),
        text("host kernel", m.host_kernel.clone()),
        text("file system of the host's disk", m.host_file_system.clone().unwrap_or("none used".into())),
        text("governor", m.governor.clone()),
        text("clock source", m.clock_source.clone()),
        text("stolen time", stolen),
        html("driver modules (SHA-256)", pairs(&m.modules)),
        text("schema version", m.schema_version.to_string()),
    ];
    let heads = ["what".to_owned(), "value".to_owned()];
    table("Circumstances of the run", &heads, &[Group { head: String::new(), rows }], &Notes::default())
}
