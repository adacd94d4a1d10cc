//! What the experiment `scaling` rests on: a disk made ready once, and apps that begin and end together.

use std::time::Duration;

use kd_boot::board::Field;
use kd_boot::control::{Entry, Task};
use kernel_debate::app::probe::Probed;
use kernel_debate::app::together::{Part, STEPS};
use kernel_debate::boot::{Boot, RunningApp};
use kernel_debate::experiments::latency::Configuration;
use kernel_debate::experiments::scaling::image::Image;

use super::{MONOLITHIC, PROCESS};

const LIMIT: Duration = Duration::from_secs(20);

fn process() -> Configuration {
    let is = |one: &Configuration| one.apps_apart() && one.wait == Some("adaptive");
    Configuration::all().into_iter().find(is).expect("it is measured")
}

/// What a kernel with a copy of the image says of these files: nothing, for one that is there and empty.
fn texts(image: &Image, configuration: Configuration, paths: &[&str]) -> Vec<Result<String, String>> {
    let boot = Boot::new(&image.manifest(configuration)).expect("it boots");
    let task = Task::Text(paths.iter().map(|path| (*path).into()).collect());
    let mut app = boot.start(1, configuration.apps_apart(), task).expect("it starts");
    paths.iter().map(|_| app.line_within(LIMIT).expect("it answers").expect("with a line")).collect()
}

#[test]
fn every_boot_finds_what_was_made_ready_and_changes_only_its_own_copy() {
    let image = Image::make(512 << 20, &["disk_dir_stat/files_100".into(), "disk_file_write/mib_1".into()])
        .expect("it is made");
    let paths =
        ["/mnt/disk_dir_stat_100-1/f0000099", "/mnt/disk_dir_stat_100-1/f0000100", "/mnt/disk_dir_stat_10-1/f0000000"];
    let gone = Err("ENOENT".to_owned());
    let expected = [Ok(String::new()), gone.clone(), gone];
    for configuration in [Configuration::MONOLITHIC, process()] {
        assert_eq!(texts(&image, configuration, &paths), expected, "{configuration:?}");
        // It makes ten files more, and writes into the large one.
        let boot = Boot::new(&image.manifest(configuration)).expect("it boots");
        let workloads = ["disk_dir_stat/files_10", "disk_file_write/mib_1"].map(str::to_owned);
        let mut app = boot.start(1, configuration.apps_apart(), Task::Probe(workloads.to_vec())).expect("it starts");
        for workload in workloads {
            let probed: Probed = app.line_within(LIMIT).expect("it answers").expect("with a line");
            assert_eq!((probed.workload, probed.wrong), (workload, None), "{configuration:?}");
        }
    }
    assert_eq!(texts(&image, Configuration::MONOLITHIC, &paths), expected);
}

#[test]
fn apps_work_from_a_common_beginning_to_a_common_end() {
    for config in [MONOLITHIC, PROCESS] {
        let boot = config.boot(2);
        let workloads = vec!["read_4k".to_owned(), "no_such_work".into(), "open_close".into()];
        let task = |_| Task::Together { workloads: workloads.clone(), entry: Entry::Trap };
        let mut apps: Vec<RunningApp> = (1..=2).map(|app| config.start(&boot, app, task(app))).collect();
        for (turn, workload) in workloads.iter().enumerate() {
            let begin = STEPS * turn as u64 + 1;
            let all = |apps: &[RunningApp], step| {
                let is = |app: &RunningApp| app.wait_until(LIMIT, |board| board.get(Field::Running) >= step);
                assert!(apps.iter().all(is), "{config:?}, {workload}: step {step}");
            };
            all(&apps, begin);
            assert!(
                apps.iter().all(|app| app.board.get(Field::Running) == begin),
                "nobody is done before it has begun"
            );
            apps.iter().for_each(|app| app.board.set(Field::Stop, begin));
            apps.iter().for_each(|app| app.board.set(Field::Stop, begin + 1));
            all(&apps, begin + 1);
            apps.iter().for_each(|app| app.board.set(Field::Stop, begin + 2));
            for app in &mut apps {
                let part: Part = app.line_within(LIMIT).expect("it answers").expect("with a line");
                let worked = part.operations > 0 && part.nanos > 0;
                assert_eq!(
                    (worked, part.failed.is_none()),
                    if turn == 1 { (false, false) } else { (true, true) },
                    "{part:?}"
                );
            }
        }
        for app in &mut apps {
            assert!(app.line_within::<Part>(LIMIT).expect("it ends").is_none());
        }
    }
}
