//! The answer: one sentence each on latency, programs, isolation, restart and crashes, computed from the facts.
//!
//! Each can come out either way, names its core budget, and says so when the run is unstable or has no figures.

use super::crash;
use super::edges::busiest;
use super::facts::{
    Containment, Latency, Overhead, Return, containment, latency, overhead, ratios, returned, still_works,
};
use super::faults::is_outcome;
use super::number::{cores, show, show_interval};
use super::series::{Series, pick};
use crate::schema::{Entry, Experiment, Kernel, Record, Results, Status};
use crate::stats::Interval;

/// The sentences, plain text.
pub struct Answer {
    /// What a protection boundary costs on each system call.
    pub latency: String,
    /// What that comes to in whole programs.
    pub programs: String,
    /// What it keeps in.
    pub isolation: String,
    /// What it brings back.
    pub restart: String,
    /// What a power failure leaves, of whichever kernel.
    pub crash: String,
}

/// Computes them.
pub fn answer(results: &Results) -> Answer {
    Answer {
        latency: latency_sentence(results),
        programs: programs_sentence(results),
        isolation: isolation_sentence(results),
        restart: restart_sentence(results),
        crash: crash::sentence(results),
    }
}

/// Why an experiment has nothing to say: the first reason given, or that it didn't run.
pub fn nothing(results: &Results, experiment: Experiment, rests_on: impl Fn(&Record) -> bool) -> String {
    let own = pick(results, experiment, |_| true);
    match own.iter().filter(|r| r.value.is_none() && rests_on(r)).find_map(|r| r.reason.as_deref()) {
        Some(reason) => format!("No verdict: the figures it rests on are unavailable ({reason})."),
        None if own.is_empty() => "No verdict: the experiment was not part of this run.".into(),
        None => "No verdict: this run has no figures for both kernels.".into(),
    }
}

/// The verdict on one core budget: it holds only if it is the same by both entries.
fn word(entries: &[&Latency]) -> &'static str {
    let one = |l: &&Latency| match (l.judged(), l.slower, l.faster) {
        (0, ..) if l.unstable > 0 => "given no verdict, because the run is unstable",
        (0, ..) => "given no verdict, for lack of figures",
        (_, 0, 0) => "not shown to differ from the monolith",
        (_, _, 0) => "slower than the monolith",
        (_, 0, _) => "faster than the monolith",
        _ => "slower than the monolith on some workloads and faster on others",
    };
    let mut words: Vec<&str> = entries.iter().filter(|l| l.entry != Entry::Once).map(one).collect();
    words.dedup();
    match words[..] {
        [only] => only,
        [] => "given no verdict, for lack of figures",
        _ => "judged differently by the two entries",
    }
}

/// The figures behind the word.
fn detail(l: &Latency) -> String {
    let name = match l.entry {
        Entry::Once => "message counted as the trap",
        entry => entry.word(),
    };
    let mean = l.mean.map_or("none".into(), |m| show(m, "ratio"));
    let some = |n: usize, what: &str| if n > 0 { format!(", {n} {what}") } else { String::new() };
    let (faster, unstable) = (some(l.faster, "faster"), some(l.unstable, "unstable and left out"));
    let gone = some(l.unavailable, "unavailable");
    format!("{name} {mean}, {} of {} workloads slower{faster}{unstable}{gone}", l.slower, l.judged())
}

/// A series as the subject of a sentence.
fn noun(series: &Series) -> String {
    match series.kernel {
        Kernel::Monolithic => "monolith".into(),
        _ => series.label(),
    }
}

fn latency_sentence(results: &Results) -> String {
    let facts = latency(results);
    let (Some(series), false) = (ratios(results).0, facts.is_empty()) else {
        return nothing(results, Experiment::Latency, |r| r.metric == "latency_ratio");
    };
    let budget = |n: u32| {
        let entries: Vec<&Latency> = facts.iter().filter(|l| l.cores == n).collect();
        let details: Vec<String> = entries.iter().filter(|l| l.judged() > 0).map(|l| detail(l)).collect();
        if details.is_empty() {
            return format!("on {}, {}", cores(n), word(&entries));
        }
        format!("on {}, {} (geometric mean by {})", cores(n), word(&entries), details.join("; "))
    };
    let mut budgets: Vec<u32> = facts.iter().map(|l| l.cores).collect();
    budgets.dedup();
    let parts: Vec<String> = budgets.into_iter().map(budget).collect();
    format!("The {} is, {}.", series.label(), parts.join("; "))
}

fn programs_sentence(results: &Results) -> String {
    let facts = overhead(results);
    let Some(first) = facts.first() else {
        return nothing(results, Experiment::Macro, |r| r.metric == "latency_ratio");
    };
    let budget = |n: u32| {
        let own: Vec<&Overhead> = facts.iter().filter(|o| o.cores == n).collect();
        let ratio = |x: f64| show(x, "ratio");
        let part = |o: &&Overhead| match o.user {
            0 => format!("{} ({} to {})", ratio(o.mean), ratio(o.range.0), ratio(o.range.1)),
            user => format!("{} with {user} % user computation", ratio(o.mean)),
        };
        let programs = own.iter().map(|o| o.judged).max().unwrap_or(0);
        let s = if programs == 1 { "" } else { "s" };
        let parts: Vec<String> = own.iter().map(part).collect();
        format!("on {} and over {programs} program{s}, {}", cores(n), parts.join(", "))
    };
    let mut budgets: Vec<u32> = facts.iter().map(|o| o.cores).collect();
    budgets.dedup();
    let parts: Vec<String> = budgets.into_iter().map(budget).collect();
    let edge = busiest(results, "macro").map_or(String::new(), |(component, share)| {
        format!(" Of its messages, {} go to {component}, more than to any other component.", show(share, "share"))
    });
    let label = first.series.label();
    format!("Geometric mean of the {label}'s time over the monolith's: {}.{edge}", parts.join("; "))
}

/// The column that stands for a kernel, by the rule of [`representative`](super::series::representative).
fn best(columns: &[Containment], kernel: Kernel) -> Option<&Containment> {
    let rank =
        |c: &&Containment| ["process", "pkey", "thread"].iter().position(|p| *p == c.series.placement).unwrap_or(9);
    columns.iter().filter(|c| c.series.kernel == kernel && c.activated > 0).min_by_key(rank)
}

fn share(c: &Containment) -> String {
    let Interval { low, high } = c.interval();
    let percent = |x: f64| format!("{:.0}", x * 100.0);
    format!("{} of {} ({} to {} %)", c.contained, c.activated, percent(low), percent(high))
}

/// Where wrong data went through unnoticed, for every column: no boundary looks at what it carries.
fn passed_on(columns: &[Containment]) -> String {
    let through =
        |c: &Containment| format!("{} of {} in the {} on {}", c.silent, c.activated, noun(&c.series), cores(c.cores));
    let places: Vec<String> = columns.iter().filter(|c| c.silent > 0).map(through).collect();
    match places.is_empty() {
        true => String::new(),
        false => format!(" Wrong data passed unnoticed: {}.", places.join(", ")),
    }
}

fn isolation_sentence(results: &Results) -> String {
    let columns = containment(results);
    let (Some(micro), Some(mono)) = (best(&columns, Kernel::Microkernel), best(&columns, Kernel::Monolithic)) else {
        return nothing(results, Experiment::Faults, is_outcome);
    };
    let (a, b) = (micro.interval(), mono.interval());
    let verdict = match (micro.unstable || mono.unstable, a.overlaps(b)) {
        (true, _) => "No verdict, the figures are unstable",
        (_, true) => "No difference is shown",
        _ if a.low > b.high => "The microkernel contained more",
        _ => "The monolith contained more",
    };
    let budget = match micro.cores == mono.cores {
        true => format!("on {}", cores(micro.cores)),
        false => format!("on {} and {}", cores(micro.cores), cores(mono.cores)),
    };
    let lost = |c: &Containment| match c.lost {
        0 => String::new(),
        n => format!(", and lost the component's own data in {n} more"),
    };
    format!(
        "{verdict}: {budget} the {} kept {} activated faults inside the faulty component{}; the {} {}{}.{}",
        noun(&micro.series),
        share(micro),
        lost(micro),
        noun(&mono.series),
        share(mono),
        lost(mono),
        passed_on(&columns)
    )
}

/// What one kernel needed, in words.
fn came_back(r: &Return<'_>) -> String {
    let time = show(r.answer.value.unwrap_or(0.0), &r.answer.unit);
    let interval = show_interval(r.answer).map(|i| format!(" [{i}]")).unwrap_or_default();
    let count = |n: Option<f64>, what: &str| n.map(|n| format!(", {} {what}", show(n, "count"))).unwrap_or_default();
    format!(
        "the {} gave a good answer {time}{interval} after {} on {}{}{}",
        noun(&r.series),
        r.workload.replace('_', " "),
        cores(r.cores),
        count(r.failed, "calls failed"),
        count(r.lost, "acknowledged bytes lost"),
    )
}

fn restart_sentence(results: &Results) -> String {
    let (Some(micro), Some(mono)) = (returned(results, Kernel::Microkernel), returned(results, Kernel::Monolithic))
    else {
        return nothing(results, Experiment::Restart, |r| r.metric == "first_answer_time");
    };
    let ends = |r: &Return<'_>| r.answer.ci_low.zip(r.answer.ci_high).map(|(low, high)| Interval { low, high });
    let verdict = match (ends(&micro), ends(&mono)) {
        _ if [&micro, &mono].iter().any(|r| r.answer.status == Status::Unstable) => {
            "No verdict, the figures are unstable"
        }
        _ if micro.answer.unit != mono.answer.unit => "No verdict, the figures have different units",
        (Some(a), Some(b)) if a.high < b.low => "The microkernel was back sooner",
        (Some(a), Some(b)) if b.high < a.low => "The monolith was back sooner",
        (Some(_), Some(_)) => "No difference in time is shown",
        _ => "No verdict, the figures have no intervals",
    };
    let (worked, tried) = still_works(results, Kernel::Monolithic);
    let oops = if tried > 0 {
        format!("; short of that, {worked} of {tried} probes still worked in it")
    } else {
        String::new()
    };
    format!("{verdict}: {}; {} (its reboot is a lower bound){oops}.", came_back(&micro), came_back(&mono))
}
