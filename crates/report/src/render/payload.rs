//! Several calls under way, and granted buffers, beside single calls and copies.
//!
//! Workloads `batch_...` are the same blocks asked for in different ways; `payload_hops_N/kib_M` is a payload of M KiB
//! through N servers, and `payload_hops_N` has the sizes from which a grant wins.

use std::collections::BTreeSet;

use super::html::{Cell, Group, Notes, escape, fold, table};
use super::number::{cores, show};
use super::series::{all_workloads, pick};
use crate::schema::{Experiment, Record, Results};

/// What each row tells of a way to ask.
const BATCH: [(&str, &str); 2] = [("block_time", "time of a block"), ("batch_ratio", "over a call for each")];
/// What each row tells of a size.
const PAYLOAD: [(&str, &str); 5] = [
    ("copied", "copied"),
    ("granted", "granted"),
    ("granted_ratio", "over copied"),
    ("granted_out", "granted, then copied out"),
    ("granted_out_ratio", "over copied"),
];
/// The sizes from which a grant wins, and what it is then.
const WINS: [(&str, &str); 2] =
    [("grants_win_from", "looked at in place"), ("grants_out_win_from", "copied out for private use")];

fn is_batch(r: &Record) -> bool {
    r.workload.starts_with("batch_") && BATCH.iter().any(|(metric, _)| r.metric == *metric)
}

fn is_payload(r: &Record) -> bool {
    r.workload.starts_with("payload_hops_") && PAYLOAD.iter().chain(&WINS).any(|(metric, _)| r.metric == *metric)
}

/// Whether this part shows a record.
pub fn shows(r: &Record) -> bool {
    r.experiment == Experiment::Primitives && (is_batch(r) || is_payload(r))
}

/// The headings, sentences and tables; nothing where there are no such figures.
pub fn part(results: &Results) -> String {
    batches(&pick(results, Experiment::Primitives, is_batch))
        + &payloads(&pick(results, Experiment::Primitives, is_payload))
}

fn rows(records: &[&Record], columns: &[(&str, &str)], notes: &mut Notes) -> Vec<(String, Vec<Cell>)> {
    let row = |workload: String| {
        let of = |metric: &str| records.iter().find(|r| r.workload == workload && r.metric == metric).copied();
        let cells = columns.iter().map(|(metric, _)| Cell::figure(of(metric), notes)).collect();
        (workload.split_once("/kib_").map_or(workload.clone(), |(_, size)| format!("{size} KiB")), cells)
    };
    all_workloads(records).into_iter().map(row).collect()
}

fn heads(columns: &[(&str, &str)]) -> Vec<String> {
    [""].into_iter().chain(columns.iter().map(|(_, head)| *head)).map(str::to_owned).collect()
}

fn budgets(records: &[&Record]) -> BTreeSet<u32> {
    records.iter().map(|r| r.cores).collect()
}

fn batches(records: &[&Record]) -> String {
    if records.is_empty() {
        return String::new();
    }
    let mut notes = Notes::default();
    let group = |n: u32| {
        let here: Vec<&Record> = records.iter().filter(|r| r.cores == n).copied().collect();
        Group { head: cores(n), rows: rows(&here, &BATCH, &mut notes) }
    };
    let groups: Vec<Group> = budgets(records).into_iter().map(group).collect();
    let caption = "Blocks of 4 KiB from a server in another process: median and 95 % interval";
    let body = table(caption, &heads(&BATCH), &groups, &notes);
    format!("<h3>Several calls under way</h3><p>{ABOUT_BATCH}</p>{}", fold(caption, true, &body))
}

fn payloads(records: &[&Record]) -> String {
    if records.is_empty() {
        return String::new();
    }
    let (mut notes, mut groups, mut sentences) = (Notes::default(), Vec::new(), String::new());
    for n in budgets(records) {
        let chains: BTreeSet<&str> = records.iter().filter(|r| r.cores == n).map(|r| chain(r)).collect();
        for hops in chains {
            let here = |r: &&&Record| r.cores == n && chain(r) == hops;
            let here: Vec<&Record> = records.iter().filter(here).copied().collect();
            let servers = if hops == "1" { "one server" } else { &format!("{hops} servers") };
            let head = format!("{servers}, {}", cores(n));
            let (wins, sizes): (Vec<&Record>, Vec<&Record>) = here.into_iter().partition(|r| !r.workload.contains('/'));
            sentences +=
                &wins.iter().map(|r| format!("<li>{}: {}.</li>", escape(&head), sentence(r))).collect::<String>();
            groups.push(Group { head, rows: rows(&sizes, &PAYLOAD, &mut notes) });
        }
    }
    let caption = "A payload copied through windows, and granted: median and 95 % interval";
    let body = table(caption, &heads(&PAYLOAD), &groups, &notes);
    format!(
        "<h3>Where grants start to win</h3><p>{ABOUT_PAYLOAD}</p><ul>{sentences}</ul>{}",
        fold(caption, true, &body)
    )
}

/// How many servers a payload's record is about.
fn chain(r: &Record) -> &str {
    let rest = r.workload.trim_start_matches("payload_hops_");
    rest.split_once('/').map_or(rest, |(hops, _)| hops)
}

fn sentence(r: &Record) -> String {
    let use_of = WINS.iter().find(|(metric, _)| r.metric == *metric).map_or("", |(_, is)| is);
    match (r.value, r.reason.as_deref()) {
        (Some(bytes), _) => format!("{use_of}, grants win from {} on", show(bytes / 1024.0, "KiB")),
        (None, reason) => format!("{use_of}, grants win {}", escape(reason.unwrap_or("nowhere"))),
    }
}

/// What was asked for.
const ABOUT_BATCH: &str = "Sixteen blocks each time: by a call for each (<code>batch_calls</code>), submitted with so many \
    under way (<code>batch_depth_...</code>), and in requests of so many (<code>batch_vectored_...</code>). The server \
    answers at once; what is saved are switches between two processes, or waiting for each other.";

/// What a payload is, and when a grant wins.
const ABOUT_PAYLOAD: &str = "A reader has so many bytes from a server and looks at all of them once. Copied, they come in \
    pieces of 128 KiB through each server's window; granted, the last server writes them where the reader maps them, \
    and the reader looks at them there, or copies them out first where they must not change under its hands. A grant \
    wins from a size on when there and at every larger size tried the whole interval is more than 5 % below the copy's. \
    Whom a grant trusts is in <a href=\"../../bench/BIAS.md\">bench/BIAS.md</a>.";
