//! The campaign section: thousands of faults in real code, each tried on every kernel, and what came of them.
//!
//! Rates are shares of activated faults, each with its count and Wilson's interval. A class or a kind of fault without a
//! trial has no row.
//!
//! | file | what |
//! | --- | --- |
//! | [`outcomes`] | classes by kernel and by kind of fault, differences between kernels |
//! | [`notice`] | the survival curve of faults that nobody has noticed yet |
//! | [`reach`] | who was hit that was not faulty |
//! | [`examples`] | single trials told in full, and the figure of others |

mod examples;
mod notice;
mod outcomes;
mod reach;

use super::html::escape;
use super::ink::{Ink, Shape};
use super::number::show;
use super::series::{Series, all_series, pick};
use crate::ReportError;
use crate::campaign::{Class, Recheck, Summary, activated};
use crate::schema::{Experiment, Record, Results};
use crate::stats::{Interval, wilson};

/// How a kernel is drawn: by its place among the kernels of the campaign.
fn look(kernel: &str, summary: &Summary) -> (Ink, Shape) {
    let ink = match kernel {
        "monolithic" => Ink::Mono,
        "thread" => Ink::Thread,
        "process" => Ink::Process,
        _ => Ink::Other,
    };
    let shapes = [Shape::Disc, Shape::Triangle, Shape::Square, Shape::Diamond, Shape::Cross];
    let place = summary.kernels.iter().position(|name| name == kernel).unwrap_or(0);
    (ink, shapes[place % shapes.len()])
}

/// A share of `n` with its interval, as a cell shows it; the count stands beside it.
fn share(count: u64, n: u64) -> String {
    if n == 0 {
        return "–".into();
    }
    let Interval { low, high } = wilson(count, n);
    let percent = |x: f64| show(x * 100.0, "").trim_end_matches(".00").to_owned();
    let at = count as f64 / n as f64;
    format!("{} %<small>{} to {} %</small><small>{count} of {n}</small>", percent(at), percent(low), percent(high))
}

/// Whether a record is one of those that sum a campaign up: the section says the same from the summary.
pub fn shows(r: &Record) -> bool {
    r.experiment == Experiment::Campaign && r.statistic == "rate"
}

/// The same in a few words from the records, for the text table.
pub fn brief(results: &Results) -> Option<String> {
    let records = pick(results, Experiment::Campaign, |r| shows(r) && r.value.is_some());
    let reached = |series: Series| {
        let own = || records.iter().filter(|r| Series::of(r) == series);
        let bad = own().filter(|r| outcomes::REACHED.iter().any(|class| class.name() == r.metric));
        let count: u64 = bad.map(|r| super::faults::count(r)).sum();
        format!("{} {count} of {}", series.label(), own().find_map(|r| r.n).unwrap_or(0))
    };
    let each: Vec<String> = all_series(&records).into_iter().map(reached).collect();
    (!each.is_empty()).then(|| format!("reached others: {}", each.join(", ")))
}

/// Faults that reached somebody else, in one sentence for each kernel: for the head of the section and the page's answer.
pub fn line(summary: &Summary) -> String {
    let reached = |kernel: &String| {
        let classes = summary.count(|cell| cell.kernel == *kernel);
        let bad = outcomes::REACHED.iter().filter_map(|class| classes.get(class)).sum::<u64>();
        format!("{kernel} {bad} of {}", activated(&classes))
    };
    let each: Vec<String> = summary.kernels.iter().map(reached).collect();
    let read = |kernel: &String| {
        let of = summary.count(|cell| cell.kernel == *kernel);
        format!("{kernel} {}", of.get(&Class::SecretRead).copied().unwrap_or(0))
    };
    let read: Vec<String> = summary.kernels.iter().map(read).collect();
    format!(
        "{} trials; activated faults that reached another component or app, or ended the kernel: {}. Secrets of others that \
         the faulty component read: {}.",
        show(summary.trials as f64, "count"),
        each.join(", "),
        read.join(", ")
    )
}

/// The section without its heading.
pub fn section(summary: Option<&Summary>) -> Result<String, ReportError> {
    let Some(summary) = summary else {
        return Ok(
            "<p class=\"empty\">No campaign was part of this run: <code>cargo debate campaign</code> makes one.</p>"
                .into(),
        );
    };
    let mut out = format!("<p>{}</p>", escape(&line(summary)));
    for (kernel, why) in &summary.unavailable {
        out += &format!("<p class=\"empty\">{}: unavailable here ({}).</p>", escape(kernel), escape(why));
    }
    out += &outcomes::section(summary);
    out += &notice::section(summary)?;
    out += &reach::section(summary);
    out += &examples::section(summary);
    out += &summary.recheck.as_ref().map(again).unwrap_or_default();
    out += &disclosure(summary);
    Ok(out)
}

/// What came of trials that were made once more: those that came out otherwise are named.
fn again(recheck: &Recheck) -> String {
    let Recheck { trials, otherwise } = recheck;
    let count = otherwise.len() as u64;
    let mut out = format!(
        "<h3>The same again</h3><p>{} trials, chosen by chance, were made once more. Other outcomes: {}.",
        show(*trials as f64, "count"),
        share(count, *trials),
    );
    if count > 0 {
        let (timed, varying) = (
            otherwise.iter().filter(|other| other.timed).count(),
            otherwise.iter().filter(|other| !other.timed && other.varies()).count(),
        );
        out += &format!(
            " In {timed} of these a limit of time was reached; {varying} more came out now one way, now another when made many \
             times under the same load: their outcome hangs on who ran when. Left unexplained: {}.",
            count as usize - timed - varying,
        );
    }
    out += "</p>";
    if count > 0 {
        let items = otherwise.iter().map(|other| format!("<li>{}</li>", escape(&other.to_string())));
        out += &format!("<ul>{}</ul>", items.collect::<String>());
    }
    out
}

/// What made the campaign: it may be older than the rest of the page.
fn disclosure(summary: &Summary) -> String {
    let rate = summary.trials_in_seconds as f64 / summary.seconds.max(1e-9);
    let text = escape(&format!(
        "Campaign of {}: seed {}, commit {}, {}, {} trials a second. A trial again: cargo debate campaign --seed {} --replay NUMBER.",
        summary.date,
        summary.seed,
        summary.commit,
        summary.machine,
        show(rate.round(), "count"),
        summary.seed,
    ));
    format!("<p class=\"method\">{text}</p>")
}

/// What was done, in a paragraph.
pub const METHOD: &str = "Faults are drawn from the seed and the component's file alone, so that all kernels get the same ones: \
    single instructions changed in the text of the running component, bits of its memory flipped, resources kept, answers, \
    completions and messages falsified, memory and handles of others used, DMA led astray. A changed instruction that is never executed counts as not activated and stays out of every rate. \
    The judge sits outside: two apps with known data, one of which never uses the faulty component, marks in every other \
    component's memory, a probe of every interface, secrets that the component was never given, a check of the disk afterwards. A trial is called by the worst that it \
    showed. A permanent fault is there again after a restart, a transient one is not. Intervals are Wilson's, those of \
    differences Newcombe's. The mix of faults is ours: shares over all of them are no forecast for a real driver.";
