//! Single trials told in full, and the published figure that campaigns of this kind are compared with.

use crate::campaign::{Example, Summary};
use crate::render::html::{escape, fold};

/// The best published evidence: of others, with its source, beside ours and never mixed with it.
const PUBLISHED: &str = "<h3>Beside a published figure</h3><p>MINIX 3: 3,400,000 faults of seven kinds, injected at the level of machine \
    code into four Ethernet drivers; the operating system never crashed, and hung once (Herder et al., \u{201c}Fault Isolation for \
    Device Drivers\u{201d}, DSN 2009, doi:10.1109/DSN.2009.5270357). The differences: those were network drivers on real hardware, whose \
    clients expect loss; ours are storage drivers, file systems and core services on virtual hardware. That campaign asked whether the \
    operating system survived; ours also asks for every acknowledged byte. It had one kernel; ours has several, with the same faults.</p>";

/// The part of the section.
pub fn section(summary: &Summary) -> String {
    let mut out = String::new();
    if !summary.examples.is_empty() {
        out += &fold(
            "Worked examples: one trial for each outcome",
            false,
            &summary.examples.iter().map(example).collect::<String>(),
        );
    }
    out + PUBLISHED
}

fn example(example: &Example) -> String {
    let place = if example.function.is_empty() {
        String::new()
    } else {
        format!(" in <code>{}</code>", escape(&example.function))
    };
    format!(
        "<h4>{}: {} in {} ({}), trial {}</h4><p>{}{place}</p><pre>- {}\n+ {}</pre>",
        example.class.title(),
        escape(&example.kind.replace('_', " ")),
        escape(&example.subject),
        escape(&example.kernel),
        example.trial,
        escape(&example.story),
        escape(&example.before),
        escape(&example.after),
    )
}
