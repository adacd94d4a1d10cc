//! What a fault reaches.

use kd_report::schema::Kernel;
use kd_report::summary_table;

use super::{answer, page, sample, table_of, with};

#[test]
fn isolation_comes_out_either_way() {
    let isolation = |records: Vec<kd_report::Record>, name: &str| {
        let html = page(&with(records), name);
        answer(&html, "Isolation").to_owned()
    };
    let more = isolation(sample::faults(12), "more");
    assert!(more.starts_with("The microkernel contained more: on 2 cores"), "{more}");
    assert!(more.contains("88 of 100"), "{more}");
    let same = isolation(sample::faults(0), "same");
    assert!(same.starts_with("No difference is shown"), "{same}");
    let mut swapped = sample::faults(12);
    swapped.retain(|r| r.placement != "thread");
    for r in &mut swapped {
        r.kernel = if r.kernel == Kernel::Monolithic { Kernel::Microkernel } else { Kernel::Monolithic };
    }
    let less = isolation(swapped, "less");
    assert!(less.starts_with("The monolith contained more"), "{less}");
}

#[test]
fn power_failures_come_out_either_way() {
    let sound = with(sample::crash(0));
    let html = page(&sound, "sound");
    let sentence = answer(&html, "Crashes");
    assert!(sentence.starts_with("No power failure that was tried cost"), "{sentence}");
    assert!(sentence.ends_with("none of 9000 states failed (sample); 2 of 2 planted mistakes found."), "{sentence}");
    assert!(html.contains("✓ found</b> in state 210") && !html.contains("class=\"bad\""));
    assert!(summary_table(&sound).contains("\nPower failures: none of 9000 states failed (sample); 2 of 2"));

    let torn = with(sample::crash(3));
    let html = page(&torn, "torn");
    let (_, sentence) = html.split_once("<dt>Crashes</dt><dd class=\"bad\">").expect("it is shown in red");
    assert!(sentence.starts_with("The journalling file system lost or tore"), "{sentence}");
    let again = "cargo debate crashcheck --seed 12 --state 345";
    assert!(sentence.contains(&format!("3 of 9000 states failed (sample); again: {again}; 1 of 2 planted")));
    assert!(html.contains(&format!("<li><code>{again}</code></li>")) && html.contains("<td class=\"bad\">3</td>"));
    assert!(html.contains("<td class=\"bad\">n/a<sup>a</sup></td>") && html.contains("not found in 20000 states"));
    assert!(summary_table(&torn).contains(again));
}

#[test]
fn the_matrix_reads_without_colour() {
    let html = page(&with(sample::faults(12)), "matrix");
    for words in ["✗ spread</b> 12/12", "! app killed</b> 12/12", "✓ contained</b> 11/12", "75.8 to 100 %"] {
        assert!(html.contains(words), "{words}");
    }
}

/// The sample's faults, with what `process` contained of one fault turned into lost data.
fn with_lost_data() -> Vec<kd_report::Record> {
    let mut records = sample::faults(12);
    let is_it = |r: &&mut kd_report::Record| {
        r.placement == "process" && r.workload == "ramdisk/abort" && r.metric == "contained"
    };
    for r in records.iter_mut().filter(is_it) {
        r.metric = "data_lost".into();
    }
    records
}

#[test]
fn lost_data_is_neither_contained_nor_without_effect() {
    let html = page(&with(with_lost_data()), "lost");
    assert!(html.contains("<td class=\"hurt\"><div><b>! data lost</b> 11/12"), "a class of its own in the grid");
    assert!(html.contains("! the calling app was killed, or data is gone and it was told"));
    let sentence = answer(&html, "Isolation");
    assert!(sentence.contains("77 of 100 (68 to 84 %)"), "{sentence}");
    assert!(sentence.contains("and lost the component&#39;s own data in 11 more; the monolith 0 of 108"), "{sentence}");
    let none = page(&with(sample::faults(12)), "none-lost");
    assert!(!answer(&none, "Isolation").contains("own data"));
}

#[test]
fn wrong_data_is_named_wherever_it_passed_and_nowhere_else() {
    let sentence = |records: Vec<kd_report::Record>, name: &str| {
        let html = page(&with(records), name);
        answer(&html, "Isolation").to_owned()
    };
    let all = sentence(sample::faults(12), "silent");
    let expected = "Wrong data passed unnoticed: 24 of 108 in the monolith on 2 cores, 12 of 100 in the microkernel \
                    (process) on 2 cores, 24 of 103 in the microkernel (thread) on 2 cores.";
    assert!(all.ends_with(expected), "{all}");
    let mut one = sample::faults(12);
    one.retain(|r| r.metric != "silent_wrong_data" || r.kernel == Kernel::Monolithic);
    let one = sentence(one, "silent-one");
    assert!(one.ends_with("Wrong data passed unnoticed: 24 of 108 in the monolith on 2 cores."), "{one}");
    let mut none = sample::faults(12);
    none.retain(|r| r.metric != "silent_wrong_data");
    assert!(!sentence(none, "silent-none").contains("Wrong data"));
}

#[test]
fn what_still_works_is_a_table_of_its_own() {
    let caption = "What still works after the oops, for an app that starts afterwards";
    let html = page(&with(sample::restart(1_300.0)), "works");
    let works = table_of(&html, caption);
    assert_eq!(works.matches("<th scope=\"col\">").count(), 2, "one cause, on the monolith");
    assert!(works.contains("<th scope=\"col\">monolithic, ramdisk/null dereference</th>"), "{works}");
    assert_eq!(works.matches("<td class=\"good\"><b>✓ works</b> 5/5</td>").count(), 2);
    assert_eq!(works.matches("<td class=\"bad\"><b>✗ hangs or fails</b> 0/5</td>").count(), 1);
    assert!(
        !table_of(&html, "What the app saw: median with 95 % interval, and totals over all trials").contains("works")
    );

    let mut records = sample::restart(1_300.0);
    let mut probes = records.iter_mut().filter(|r| r.metric == "still_works");
    probes.next().expect("a first probe").value = Some(0.4);
    let second = probes.next().expect("a second probe");
    *second = sample::unavailable(second.clone(), "no app could be started");
    let html = page(&with(records), "works-partly");
    let works = table_of(&html, caption);
    assert!(works.contains("<td class=\"hurt\"><b>! works at times</b> 2/5</td>"), "{works}");
    assert!(works.contains("n/a<sup>a</sup>") && html.contains("<li>no app could be started</li>"), "{works}");

    let none = sample::restart(1_300.0).into_iter().filter(|r| r.metric != "still_works").collect();
    assert!(!page(&with(none), "works-none").contains(caption));
}
