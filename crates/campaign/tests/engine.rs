//! Campaigns without kernels: stopped, killed, shared among machines and put together again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use kd_campaign::engine::EngineError;
use kd_campaign::merge::MergeError;
use kd_campaign::{
    Class, Identity, Log, LogError, Plan, Record, Runner, Shard, Subject, Trial, again, merge, pack, run,
};

const TRIALS: u64 = 60;

fn plan() -> Plan {
    let subject = Subject { name: "disk".into(), kinds: vec!["flip".into(), "drop".into()] };
    Plan { seed: 7, kernels: vec!["monolithic".into(), "process".into()], subjects: vec![subject] }
}

fn identity(shard: Shard) -> Identity {
    Identity::new("b".into(), "c".into(), BTreeMap::from([("disk".into(), "m".into())]), plan(), shard)
}

/// A file that is not there yet.
fn file(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("campaign-{name}-{}.log", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

/// Answers by the trial alone, and counts what it was asked for; a trial that it is to fail at it never makes, and one that it
/// is to stumble over it makes when it is asked again.
#[derive(Clone, Default)]
struct Double {
    made: Arc<AtomicU64>,
    fail_at: Option<u64>,
    stumble_at: Option<u64>,
}

impl Runner for Double {
    fn run(&mut self, trial: &Trial) -> Result<Record, String> {
        if self.fail_at == Some(trial.id) {
            return Err("no memory".into());
        }
        if self.stumble_at.take_if(|id| *id == trial.id).is_some() {
            return Err("no memory for a moment".into());
        }
        self.made.fetch_add(1, Relaxed);
        let class = Class::ALL[trial.id as usize % Class::ALL.len()];
        let hit = if class == Class::Spread { vec!["canary".into()] } else { Vec::new() };
        let detail = format!("{}é", "x".repeat(trial.id as usize * 10));
        Ok(Record { trial: trial.id, class, notice_ns: Some(trial.id), timed: false, hit, detail })
    }
}

fn campaign(
    path: &Path,
    shard: Shard,
    jobs: usize,
    double: &Double,
    stop_after: u64,
) -> Result<Vec<Record>, EngineError> {
    let log = Log::open(path, &identity(shard))?;
    let on_file = log.1.len() as u64;
    let made = AtomicU64::new(0);
    let runners = (0..jobs).map(|_| Box::new(double.clone()) as Box<dyn Runner>).collect();
    run(
        &plan(),
        (TRIALS, shard),
        log,
        runners,
        || made.load(Relaxed) >= stop_after,
        |progress| {
            made.store(progress.made, Relaxed);
            assert!(progress.done <= progress.of && progress.done == on_file + progress.made);
        },
    )
}

fn whole(path: &Path, jobs: usize, double: &Double) -> Vec<Record> {
    campaign(path, Shard::WHOLE, jobs, double, u64::MAX).unwrap()
}

#[test]
fn the_number_of_jobs_changes_nothing() {
    let expected = whole(&file("one"), 1, &Double::default());
    assert_eq!(expected.len() as u64, TRIALS);
    for jobs in [2, 4] {
        let path = file(&format!("jobs-{jobs}"));
        assert_eq!(whole(&path, jobs, &Double::default()), expected);
        let mut on_file = Log::read(&path).unwrap().1;
        on_file.sort_by_key(|record| record.trial);
        assert_eq!(on_file, expected);
    }
}

#[test]
fn a_stopped_campaign_goes_on_without_a_trial_lost_or_repeated() {
    let (path, double) = (file("stopped"), Double::default());
    let first = campaign(&path, Shard::WHOLE, 2, &double, 10).unwrap();
    assert!((10..TRIALS as usize).contains(&first.len()), "{} trials", first.len());
    let all = whole(&path, 2, &double);
    assert_eq!(all, whole(&file("at-once"), 1, &Double::default()));
    assert_eq!(double.made.load(Relaxed), TRIALS, "every trial was made once");
}

#[test]
fn a_line_cut_short_anywhere_is_made_again() {
    let path = file("cut");
    let expected = whole(&path, 1, &Double::default());
    let text = std::fs::read(&path).unwrap();
    let header = text.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for cut in (0..text.len()).step_by(97).chain([header - 1, header, header + 1, text.len() - 1]) {
        std::fs::write(&path, &text[..cut]).unwrap();
        assert_eq!(whole(&path, 1, &Double::default()), expected, "cut at {cut}");
        assert_eq!(Log::read(&path).unwrap().1, expected, "cut at {cut}: the file is whole again");
    }
}

#[test]
fn damage_is_named_and_nothing_is_changed() {
    let path = file("damaged");
    whole(&path, 1, &Double::default());
    let good = std::fs::read(&path).unwrap();
    let line = 1 + good[..good.len() / 2].iter().filter(|&&byte| byte == b'\n').count();
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    std::fs::write(&path, &bad).unwrap();
    match Log::open(&path, &identity(Shard::WHOLE)) {
        Err(LogError::Damaged { line: named, .. }) => assert!(named.abs_diff(line) <= 1, "{named} for {line}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read(&path).unwrap(), bad);
    // A record of another shard is damage, and one twice as well.
    let part = file("damaged-part");
    let (mut log, _) = Log::open(&part, &identity(Shard { index: 0, of: 2 })).unwrap();
    let foreign = Double::default().run(&plan().trial(2).unwrap()).unwrap();
    log.append(&foreign).unwrap();
    assert!(matches!(Log::read(&part), Err(LogError::Damaged { line: 2, .. })), "trial {}", foreign.trial);
    let last = good[..good.len() - 1].iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
    std::fs::write(&path, [&good[..], &good[last..]].concat()).unwrap();
    assert!(matches!(Log::open(&path, &identity(Shard::WHOLE)), Err(LogError::Damaged { .. })));
}

#[test]
fn files_of_others_are_left_alone() {
    let path = file("foreign");
    for text in ["", "hello", "hello\nworld\n"] {
        std::fs::write(&path, text).unwrap();
        let opened = Log::open(&path, &identity(Shard::WHOLE));
        if text.is_empty() {
            assert!(opened.is_ok());
        } else {
            assert!(matches!(opened, Err(LogError::Foreign(_))), "{text}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}

#[test]
fn a_log_is_written_by_one_campaign_at_a_time_and_by_no_other() {
    let path = file("lock");
    let first = Log::open(&path, &identity(Shard::WHOLE)).unwrap();
    assert!(matches!(Log::open(&path, &identity(Shard::WHOLE)), Err(LogError::InUse(_))));
    drop(first);
    let mut others = [(); 6].map(|()| identity(Shard::WHOLE));
    others[0].shard = Shard { index: 0, of: 2 };
    others[1].build = "another".into();
    others[2].plan.seed = 8;
    others[3].plan.kernels.truncate(1);
    others[4].plan.subjects[0].name = "fs".into();
    others[5].plan.subjects[0].kinds.truncate(1);
    for other in others {
        let refused = Log::open(&path, &other).unwrap_err();
        assert!(matches!(refused, LogError::Other { .. }), "{refused}");
        assert!(refused.to_string().contains(" instead of "), "{refused}");
    }
}

#[test]
fn a_trial_that_cannot_be_made_stops_the_campaign_and_loses_nothing() {
    let (path, double) = (file("obstacle"), Double { fail_at: Some(20), ..Double::default() });
    match campaign(&path, Shard::WHOLE, 2, &double, u64::MAX) {
        Err(EngineError::Trial { trial: 20, why }) => assert_eq!(why, "no memory"),
        other => panic!("{other:?}"),
    }
    let on_file = Log::read(&path).unwrap().1;
    assert_eq!(on_file.len() as u64, double.made.load(Relaxed), "what was made is on file");
    assert_eq!(whole(&path, 1, &Double::default()).len() as u64, TRIALS);
}

#[test]
fn a_trial_that_cannot_be_made_is_asked_for_once_more() {
    let double = Double { stumble_at: Some(20), ..Double::default() };
    let records = campaign(&file("stumble"), Shard::WHOLE, 1, &double, u64::MAX).unwrap();
    assert_eq!(records, whole(&file("straight"), 1, &Double::default()));
}

#[test]
fn shards_put_together_are_the_whole_campaign() {
    let of = 3;
    let paths: Vec<PathBuf> = (0..of).map(|index| file(&format!("shard-{index}"))).collect();
    for (path, index) in paths.iter().zip(0..) {
        campaign(path, Shard { index, of }, 2, &Double::default(), u64::MAX).unwrap();
    }
    let to = file("merged");
    let (merged, records) = merge(&paths, &to).unwrap();
    assert_eq!(merged, identity(Shard::WHOLE));
    assert_eq!(records, whole(&file("unsharded"), 1, &Double::default()));
    assert!(matches!(merge(&paths, &to), Err(MergeError::Exists(_))));
    let to = file("merged-not");
    assert!(matches!(merge(&paths[1..], &to), Err(MergeError::Missing(Shard { index: 0, of: 3 }))));
    assert!(matches!(merge(&[paths[0].clone(), paths[0].clone()], &to), Err(MergeError::Shard { .. })));
    let other = file("shard-of-two");
    campaign(&other, Shard { index: 1, of: 2 }, 1, &Double::default(), u64::MAX).unwrap();
    assert!(matches!(merge(&[paths[0].clone(), other, paths[2].clone()], &to), Err(MergeError::Shard { .. })));
    assert!(matches!(merge(&[], &to), Err(MergeError::Nothing)));
    assert!(!to.exists());
}

#[test]
fn shards_of_another_build_seed_module_or_choice_are_refused() {
    let first = file("first");
    campaign(&first, Shard { index: 0, of: 2 }, 1, &Double::default(), u64::MAX).unwrap();
    type Change = fn(&mut Identity);
    let changes: [(&str, Change); 5] = [
        ("build", |other| other.build = "another".into()),
        ("seed", |other| other.plan.seed = 8),
        ("kernels process instead of monolithic,process", |other| drop(other.plan.kernels.remove(0))),
        ("components fs instead of disk", |other| other.plan.subjects[0].name = "fs".into()),
        ("module disk", |other| drop(other.modules.insert("disk".into(), "n".into()))),
    ];
    for (what, change) in changes {
        let mut other = identity(Shard { index: 1, of: 2 });
        change(&mut other);
        let path = file("second");
        drop(Log::open(&path, &other).unwrap());
        let refused = merge(&[first.clone(), path], &file("refused")).unwrap_err();
        assert!(matches!(refused, MergeError::Differs { .. }), "{refused}");
        assert!(refused.to_string().contains(what), "{refused}");
    }
}

#[test]
fn long_words_are_shortened_at_a_letter() {
    let records = whole(&file("long"), 1, &Double::default());
    assert!(records.iter().all(|record| record.detail.chars().count() <= 160));
    assert!(records[3].detail.ends_with('é'));
}

#[test]
fn a_packed_log_is_read_as_it_was_and_not_written_to() {
    let (path, to) = (file("packed"), file("packed-gz"));
    let records = whole(&path, 1, &Double::default());
    let (count, bytes) = pack(&path, &to).unwrap();
    assert_eq!((count, bytes), (records.len(), std::fs::metadata(&to).unwrap().len()));
    assert!(bytes < std::fs::metadata(&path).unwrap().len() / 2, "{bytes} bytes");
    assert_eq!(Log::read(&to).unwrap(), (identity(Shard::WHOLE), records));
    let refused = Log::open(&to, &identity(Shard::WHOLE)).unwrap_err();
    assert!(matches!(refused, LogError::Packed(_)) && refused.to_string().contains("gunzip"), "{refused}");
    assert!(matches!(pack(&path, &to), Err(LogError::Host { .. })), "what is there stays");
    // Half a file is an error, not half a campaign.
    let half = std::fs::read(&to).unwrap();
    std::fs::write(&to, &half[..half.len() / 2]).unwrap();
    assert!(matches!(Log::read(&to), Err(LogError::Host { .. })));
}

#[test]
fn trials_made_again_leave_the_log_alone() {
    let path = file("again");
    let records = whole(&path, 1, &Double::default());
    let text = std::fs::read(&path).unwrap();
    let runners = (0..3).map(|_| Box::new(Double::default()) as Box<dyn Runner>).collect();
    let mut told = 0;
    let made = again(&plan(), vec![40, 3, 17], runners, |done| told = done).unwrap();
    assert_eq!(told, 3);
    assert_eq!(made, [3, 17, 40].map(|trial: usize| records[trial].clone()));
    assert_eq!(std::fs::read(&path).unwrap(), text);
}
