//! The results file: it fits its JSON Schema, comes back as it went, and anything else is refused with one clear error.

mod sample;

use kd_report::schema::{Experiment, Kernel, Status};
use kd_report::{RESULTS_SCHEMA, Record, ReportError, Results, check, missing_experiments};
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

/// A name, the text of the file, and whether the error is the right one.
type Refusal = (&'static str, String, fn(&ReportError) -> bool);
/// How to break a record, and how the rule starts that it then breaks.
type Breach = (fn(&mut Record), &'static str);

/// A folder of its own that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kd-report-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary folder can be written");
        Self(path)
    }

    fn file(&self, text: &str) -> PathBuf {
        let path = self.0.join("results.json");
        fs::write(&path, text).expect("the temporary folder can be written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn sample_json() -> Value {
    serde_json::to_value(sample::results()).expect("serialises")
}

fn is_valid(value: &Value) -> bool {
    let schema = serde_json::from_str(RESULTS_SCHEMA).expect("the schema is JSON");
    jsonschema::validator_for(&schema).expect("the schema is a schema").is_valid(value)
}

#[test]
fn the_sample_fits_the_schema_and_the_rules() {
    assert!(is_valid(&sample_json()));
    assert_eq!(check(&sample::results()), Ok(()));
    assert_eq!(missing_experiments(&sample::results()), []);
}

#[test]
fn the_schema_refuses_what_breaks_it() {
    let broken: [(&str, Value); 8] = [
        ("/records/0/kernel", json!("hybrid")),
        ("/records/0/value", Value::Null),
        ("/records/0/reason", json!("ok needs none")),
        ("/records/0/status", json!("unavailable")),
        ("/records/0/cores", json!("two")),
        ("/meta/schema_version", json!(2)),
        ("/meta/date", json!("yesterday")),
        ("/meta/modules/ramdisk", json!("not a hash")),
    ];
    for (pointer, value) in broken {
        let mut results = sample_json();
        *results.pointer_mut(pointer).expect("the sample has it") = value;
        assert!(!is_valid(&results), "{pointer}");
    }
}

#[test]
fn every_field_of_a_record_is_required_and_written() {
    let results = sample_json();
    let record = results["records"][0].as_object().expect("an object");
    assert_eq!(record.len(), 16);
    for field in record.keys() {
        let mut without = results.clone();
        without["records"][0].as_object_mut().expect("an object").remove(field);
        assert!(!is_valid(&without), "{field}");
    }
}

#[test]
fn what_is_written_is_read_and_nothing_else_is_left() {
    let folder = Folder::new("round");
    let path = folder.0.join("made/for/it/results.json");
    sample::results().write(&path).expect("written");
    assert!(Results::read(&path).expect("read") == sample::results());
    let names: Vec<_> = fs::read_dir(path.parent().expect("a folder")).expect("listed").collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn what_is_no_results_file_is_refused_by_name_and_with_a_remedy() {
    let folder = Folder::new("refuse");
    let whole = sample_json().to_string();
    let mut old = sample_json();
    old["meta"] = json!({ "schema_version": 0 });
    let mut odd = sample_json();
    odd["records"][0]["value"] = Value::Null;
    let cases: [Refusal; 7] = [
        ("truncated", whole[..whole.len() / 2].into(), |e| matches!(e, ReportError::Truncated { .. })),
        ("empty", String::new(), |e| matches!(e, ReportError::Truncated { .. })),
        ("old", old.to_string(), |e| matches!(e, ReportError::Version { found: 0, .. })),
        ("other JSON", "[1, 2]".into(), |e| matches!(e, ReportError::Foreign { .. })),
        ("text", "# not JSON".into(), |e| matches!(e, ReportError::Foreign { .. })),
        ("not even text", "\u{0}\u{1}".into(), |e| matches!(e, ReportError::Foreign { .. })),
        ("inconsistent", odd.to_string(), |e| matches!(e, ReportError::Foreign { .. })),
    ];
    for (name, text, expected) in cases {
        let path = folder.file(&text);
        let error = Results::read(&path).expect_err(name);
        assert!(expected(&error), "{name}: {error:?}");
        let message = error.to_string();
        assert!(message.contains(&path.display().to_string()) && message.contains("cargo bench"), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
    let missing = Results::read(&folder.0.join("none.json")).expect_err("there is none");
    assert!(matches!(missing, ReportError::Read { .. }));
}

#[test]
fn a_failed_write_leaves_the_old_file() {
    let folder = Folder::new("keep");
    let path = folder.file("old");
    let mut results = sample::results();
    results.records[0].value = Some(f64::NAN);
    assert!(matches!(results.write(&path), Err(ReportError::Inconsistent(_))));
    assert_eq!(fs::read_to_string(&path).expect("still there"), "old");
    // A file where a folder should be.
    let error = sample::results().write(&path.join("results.json")).expect_err("no folder");
    assert!(matches!(error, ReportError::Write { .. }) && error.to_string().contains("--out"), "{error}");
}

#[test]
fn check_names_the_broken_rule() {
    let cases: [Breach; 6] = [
        (|r| r.value = None, "a value"),
        (|r| r.status = Status::Unavailable, "a value"),
        (|r| r.status = Status::Unstable, "a reason"),
        (|r| r.ci_low = None, "an interval"),
        (|r| r.ci_low = r.ci_high, "an interval"),
        (|r| r.ci_high = Some(f64::INFINITY), "numbers"),
    ];
    for (i, (breaks, rule)) in cases.into_iter().enumerate() {
        let mut results = sample::results();
        breaks(&mut results.records[3]);
        let broken = check(&results).expect_err(rule);
        assert!(broken.index == 3 && broken.rule.starts_with(rule), "case {i}: {broken}");
    }
}

#[test]
fn a_missing_experiment_is_named() {
    let mut results = sample::results();
    results.records.retain(|r| r.experiment != Experiment::Faults && r.kernel != Kernel::Limit);
    assert_eq!(missing_experiments(&results), [Experiment::Faults]);
}
