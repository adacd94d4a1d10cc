//! Driver modules that are replaced while the kernel runs: in the microkernel under load, in the monolith as on Linux.

use std::path::PathBuf;
use std::time::Duration;

use kd_api::interfaces::vfs::open;
use kd_boot::board::Field;
use kd_boot::control::{Entry, Event, Task, What};
use kd_boot::devices::Order;
use kd_boot::policy::{Policy, Way};
use kd_boot::script::{Call, Data, Outcome};
use kd_boot::version::Upgrade;
use kd_nucleus::module::ModuleFile;
use kernel_debate::boot::{Boot, RunningApp};

use crate::restarts::{goes_on, load, until};
use crate::{COARSE, Config, MONOLITHIC, OURS, PROCESS, outcome};

const LIMIT: Duration = Duration::from_secs(20);

fn upgrade(component: &str, parameters: &[(&str, u64)]) -> Upgrade {
    let parameters = parameters.iter().map(|(name, value)| ((*name).into(), *value)).collect();
    Upgrade { component: component.into(), file: None, parameters }
}

/// What the machine says of an upgrade that was begun.
fn verdict(boot: &Boot) -> Vec<What> {
    let mut whats = Vec::new();
    let over = |event: &Event| matches!(event.what, What::Upgraded(_) | What::NotUpgraded(_));
    until("an end of the upgrade", || {
        let events = boot.events().expect("the root lives");
        let done = events.iter().any(over);
        whats.extend(events.into_iter().map(|event| event.what));
        done
    });
    whats
}

/// Every round was good, and everything that was acknowledged is there.
fn finish(app: &RunningApp) {
    app.stop();
    assert!(app.wait_until(LIMIT, |board| board.get(Field::Audited) == 1));
    let bad = [Field::Failed, Field::Wrong, Field::Unknown, Field::Lost, Field::Corrupted];
    assert_eq!(bad.map(|field| app.board.get(field)), [0; 5]);
}

#[test]
fn a_module_is_replaced_under_load_and_no_call_notices() {
    for (driver, workload, parameter) in
        [("ramdisk", "ram0_write_4k", ("max_kb", 64)), ("vdisk", "disk_append_fsync", ("depth", 32))]
    {
        for way in Way::ALL {
            let mut manifest = PROCESS.manifest(1);
            for entry in manifest.entries.iter_mut().filter(|entry| entry.name == driver) {
                entry.policy = Policy { way, ..Policy::default() };
            }
            let boot = Boot::new(&manifest).expect("boots");
            let app = load(&boot, 1, workload);
            for _ in 0..3 {
                let before = boot.component(driver).expect("it runs");
                boot.upgrade(&upgrade(driver, &[parameter])).expect("it begins");
                let whats = verdict(&boot);
                assert!(matches!(&whats[..], [What::Upgraded(_)]), "{driver}, {way:?}: {whats:?}");
                let now = boot.component(driver).expect("it runs");
                assert!(now.pid != before.pid && now.restarts == 0, "another process, and no restart");
                // Nothing was sent twice: what the old one had in hand it finished.
                assert_eq!(now.counters, [0; 3], "{driver}, {way:?}");
                goes_on(&app);
            }
            // The newcomer is as well looked after as the old one, and comes back as what it is: to put it in its own place is
            // to go from this version to this version.
            boot.signal(driver, 9).expect("it runs");
            until("a restart", || boot.component(driver).is_ok_and(|now| now.restarts == 1));
            goes_on(&app);
            boot.upgrade(&upgrade(driver, &[parameter])).expect("it begins");
            let whats = verdict(&boot);
            let (name, value) = parameter;
            let told = format!(" with {name}={value} ");
            let same = |what: &What| matches!(what, What::Upgraded(how) if how.matches(&told).count() == 2);
            assert!(whats.last().is_some_and(same), "{whats:?}");
            finish(&app);
        }
    }
}

#[test]
fn a_file_of_another_version_is_taken_and_the_log_tells_both_apart() {
    let found = ModuleFile::find("ramdisk").expect("it is built");
    // Another version of the same module: bytes behind all that a loader maps change its hash and nothing else.
    let mut bytes = found.bytes().to_vec();
    bytes.extend(b"another version");
    let file: PathBuf = std::env::temp_dir().join(format!("kd-upgrade-{}.so", std::process::id()));
    std::fs::write(&file, &bytes).expect("there is room for temporary files");
    let boot = PROCESS.boot(1);
    let app = load(&boot, 1, "ram0_write_4k");
    let asked = Upgrade { file: Some(file.clone()), ..upgrade("ramdisk", &[]) };
    let begun = boot.upgrade(&asked);
    std::fs::remove_file(&file).expect("it was made");
    begun.expect("it was read before");
    let whats = verdict(&boot);
    let [What::Upgraded(how)] = &whats[..] else { panic!("{whats:?}") };
    let hashes = [kd_nucleus::module::sha256(found.bytes()), kd_nucleus::module::sha256(&bytes)];
    assert!(hashes.iter().all(|hash| how.contains(&hash[..12])) && hashes[0] != hashes[1], "{how}: {hashes:?}");
    goes_on(&app);
    finish(&app);
}

/// A call that is in hand when the upgrade begins is finished by who began it, however long that takes.
#[test]
fn the_old_one_finishes_what_it_has_in_hand() {
    const LATENCY: u64 = 60_000_000;
    let boot = PROCESS.boot(1);
    let app = load(&boot, 1, "vda_write_4k");
    boot.device("vdisk", Order::Latency(LATENCY)).expect("it has a ring");
    for _ in 0..3 {
        let good = app.board.get(Field::Good);
        assert!(app.wait_until(LIMIT, |board| board.get(Field::Good) > good), "the next one is under way");
        boot.upgrade(&upgrade("vdisk", &[])).expect("it begins");
        let whats = verdict(&boot);
        assert!(matches!(&whats[..], [What::Upgraded(_)]), "{whats:?}");
        assert_eq!(boot.component("vdisk").expect("it runs").counters, [0; 3], "nothing was sent twice");
    }
    boot.device("vdisk", Order::Latency(0)).expect("it has a ring");
    goes_on(&app);
    finish(&app);
}

/// One that refuses a page is no disk to a file system. With a ring, the newcomer has reset the device by then.
#[test]
fn who_fails_its_health_check_never_answers_and_the_old_version_goes_on() {
    for (driver, workload, restarts) in [("ramdisk", "ram0_write_4k", 0), ("vdisk", "disk_append_fsync", 1)] {
        let boot = PROCESS.boot(1);
        let app = load(&boot, 1, workload);
        let before = boot.component(driver).expect("it runs").pid;
        boot.upgrade(&upgrade(driver, &[("max_kb", 1)])).expect("it begins");
        let whats = verdict(&boot);
        let [What::NotUpgraded(why), ..] = &whats[..] else { panic!("{whats:?}") };
        assert!(why.contains("health check") && why.contains("EINVAL"), "{why}");
        until("it is back", || boot.component(driver).is_ok_and(|now| now.restarts == restarts));
        goes_on(&app);
        let now = boot.component(driver).expect("it runs");
        assert_eq!(now.pid == before, restarts == 0, "{driver}: the very process, unless its device was reset");
        assert_eq!(now.counters, [0; 3], "{driver}: calls waited");
        // A second try, of one that is well.
        boot.upgrade(&upgrade(driver, &[])).expect("it begins");
        assert!(matches!(&verdict(&boot)[..], [.., What::Upgraded(_)]));
        goes_on(&app);
        finish(&app);
    }
}

#[test]
fn who_dies_while_it_is_replaced_is_restarted_as_ever() {
    let boot = PROCESS.boot(1);
    let app = load(&boot, 1, "ram0_write_4k");
    for round in 1..=10 {
        boot.upgrade(&upgrade("ramdisk", &[])).expect("it begins");
        boot.signal("ramdisk", 9).expect("it runs");
        // Whichever comes first; the one that is killed may be the newcomer. Who dies before takes its upgrade along.
        let whats = verdict(&boot);
        assert!(matches!(whats[0], What::Upgraded(_) | What::NotUpgraded(_)), "{whats:?}");
        until("it answers", || boot.component("ramdisk").is_ok_and(|now| now.restarts >= 1 || now.pid != 0));
        goes_on(&app);
        assert!(boot.component("ramdisk").expect("it runs").restarts <= round);
        until("it is up", || boot.upgrade(&upgrade("ramdisk", &[])).is_ok());
        verdict(&boot);
    }
    finish(&app);
}

#[test]
fn what_cannot_be_replaced_is_refused_with_a_reason() {
    let refused = |config: Config, what: &Upgrade| {
        let boot = config.boot(1);
        boot.upgrade(what).expect_err("it is refused").to_string()
    };
    for config in OURS {
        let unknown = refused(config, &upgrade("nosuch", &[]));
        assert!(unknown.contains("no component `nosuch`"), "{config:?}: {unknown}");
        let compiled = refused(config, &upgrade("vfs", &[]));
        assert!(compiled.contains("`vfs` is compiled into the program"), "{config:?}: {compiled}");
    }
    let parameter = refused(PROCESS, &upgrade("ramdisk", &[("speed", 9)]));
    assert!(parameter.contains("no parameter `speed`") && parameter.contains("max_kb"), "{parameter}");
    let missing = Upgrade { file: Some("/nonexistent.so".into()), ..upgrade("ramdisk", &[]) };
    assert!(refused(PROCESS, &missing).contains("cannot read /nonexistent.so"));
    let wrong = Upgrade {
        file: Some(ModuleFile::find("nullblk").expect("it is built").path().into()),
        ..upgrade("ramdisk", &[])
    };
    assert!(refused(PROCESS, &wrong).contains("`nullblk`, not `ramdisk`"));
    let threads = OURS[2];
    assert!(refused(threads, &upgrade("ramdisk", &[])).contains("placed thread"));
    let mut layout = COARSE.manifest(1);
    for entry in layout.entries.iter_mut().filter(|entry| ["ramdisk", "nullblk"].contains(&entry.name.as_str())) {
        entry.domain = Some("drivers".into());
    }
    let boot = Boot::new(&layout).expect("boots");
    let shared = boot.upgrade(&upgrade("ramdisk", &[])).expect_err("it has company").to_string();
    assert!(shared.contains("shares its domain `drivers`"), "{shared}");
}

fn next(app: &mut RunningApp, count: usize) -> Vec<Outcome> {
    (0..count).map(|_| outcome(app)).collect()
}

/// As on Linux: an open file keeps the module in its place; with none it is unloaded, and a new one has the same bytes.
#[test]
fn in_a_monolith_users_close_first_and_find_their_data_again() {
    let disk = || Call::Open { path: "/../../../../dev/ram0".into(), flags: open::RDWR, mode: 0 };
    let look = Call::Pread(0, 512, 4096);
    let data = Data { start: 7, length: 8192 };
    let calls = [
        disk(),
        Call::Pwrite(0, 512, data),
        look.clone(),
        Call::Pause,
        Call::Close(0),
        Call::Pause,
        disk(),
        look.clone(),
        Call::Close(0),
        Call::Pause,
        disk(),
        look,
    ];
    let boot = MONOLITHIC.boot(1);
    let mut app = MONOLITHIC.script(&boot, 1, &calls);
    let written = next(&mut app, 3);
    assert_eq!(written[..2], [Outcome::Number(0), Outcome::Number(8192)]);
    let busy = boot.upgrade(&upgrade("ramdisk", &[("max_kb", 64)])).expect_err("a file is open").to_string();
    assert!(busy.contains("in use by `vfs`") && busy.contains("EBUSY"), "{busy}");
    app.board.set(Field::Stop, 1);
    assert_eq!(next(&mut app, 2)[1], Outcome::Number(0), "closed");
    let code = |boot: &Boot| boot.patch("ramdisk").expect("it runs").expect("it is a module").base;
    let unloaded = code(&boot);
    boot.upgrade(&upgrade("ramdisk", &[("max_kb", 64)])).expect("nobody uses it");
    assert_ne!(code(&boot), unloaded, "what a fault is put into is the code that runs");
    let events = boot.events().expect("the root lives");
    let what = events.iter().map(|event| &event.what).find(|what| matches!(what, What::Upgraded(_)));
    assert!(matches!(what, Some(What::Upgraded(how)) if how.contains("with max_kb=64")), "{events:?}");
    app.board.set(Field::Stop, 2);
    let found = next(&mut app, 4);
    assert_eq!((&found[1], &found[2]), (&Outcome::Number(0), &written[2]), "opened, and the same bytes");
    // One that is not well is unloaded again, and the old version loaded.
    let unfit = boot.upgrade(&upgrade("ramdisk", &[("max_kb", 1)])).expect_err("it is not well").to_string();
    assert!(unfit.contains("health check") && unfit.contains("EINVAL"), "{unfit}");
    app.board.set(Field::Stop, 3);
    assert_eq!(next(&mut app, 3)[2], written[2]);
}

/// The disk of a file system: that is unmounted unless a file is open on it, and its queue goes with the driver.
#[test]
fn in_a_monolith_a_file_system_is_unmounted_first_and_mounted_again() {
    let file = || Call::Open { path: "/../../../../mnt/f".into(), flags: open::CREAT | open::RDWR, mode: 0o600 };
    let path = || "/../../../../mnt/f".into();
    let data = Data { start: 9, length: 5000 };
    let calls = [
        file(),
        Call::Write(0, data),
        Call::Pause,
        Call::Close(0),
        Call::Pause,
        file(),
        Call::Pread(0, 0, 5000),
        Call::Fsync(0),
        Call::Pause,
        Call::Close(0),
        Call::Pause,
        Call::Truncate(path(), 7),
        Call::Sync,
        Call::Unlink(path()),
    ];
    let boot = MONOLITHIC.boot(1);
    let mut app = MONOLITHIC.script(&boot, 1, &calls);
    assert_eq!(next(&mut app, 2), [Outcome::Number(0), Outcome::Number(5000)]);
    for _ in 0..2 {
        let busy = boot.upgrade(&upgrade("vdisk", &[])).expect_err("a file is open").to_string();
        assert!(busy.contains("`blk` is in use by `jfs`") && busy.contains("EBUSY"), "{busy}");
    }
    app.board.set(Field::Stop, 1);
    assert_eq!(next(&mut app, 2)[1], Outcome::Number(0), "closed");
    boot.upgrade(&upgrade("vdisk", &[("depth", 16)])).expect("nobody uses it");
    let whats = verdict(&boot);
    assert!(matches!(&whats[..], [What::Upgraded(how)] if how.contains("with depth=16")), "{whats:?}");
    app.board.set(Field::Stop, 2);
    let found = next(&mut app, 4);
    let written = data
        .bytes()
        .into_iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    assert_eq!(found[1..], [Outcome::Number(0), Outcome::Bytes(5000, written), Outcome::Number(0)], "never synced");
    app.board.set(Field::Stop, 3);
    assert_eq!(next(&mut app, 2)[1], Outcome::Number(0), "closed");
    let unfit = boot.upgrade(&upgrade("vdisk", &[("max_kb", 1)])).expect_err("it is not well").to_string();
    assert!(unfit.contains("health check") && unfit.contains("EINVAL"), "{unfit}");
    app.board.set(Field::Stop, 4);
    assert_eq!(next(&mut app, 4)[1..], [(); 3].map(|()| Outcome::Number(0)), "the old version, and mounted");
}

/// Of those who use a disk, one is in the way: whoever let go of it before has it again.
#[test]
fn in_a_monolith_who_let_go_in_vain_has_it_again() {
    let device = || Call::Open { path: "/../../../../dev/vda".into(), flags: open::RDWR, mode: 0 };
    let file = || Call::Open { path: "/../../../../mnt/f".into(), flags: open::CREAT | open::RDWR, mode: 0o600 };
    let calls = [device(), Call::Pause, file(), Call::Close(0), Call::Pause, device(), Call::Pread(0, 0, 512)];
    let boot = MONOLITHIC.boot(1);
    let mut app = MONOLITHIC.script(&boot, 1, &calls);
    assert_eq!(next(&mut app, 1), [Outcome::Number(0)]);
    let by_vfs = boot.upgrade(&upgrade("vdisk", &[])).expect_err("the device is open").to_string();
    assert!(by_vfs.contains("`blk` is in use by `vfs`") && by_vfs.contains("EBUSY"), "{by_vfs}");
    app.board.set(Field::Stop, 1);
    assert_eq!(next(&mut app, 3)[1..], [Outcome::Number(1), Outcome::Number(0)], "the file system is mounted");
    let by_jfs = boot.upgrade(&upgrade("vdisk", &[])).expect_err("a file is open").to_string();
    assert!(by_jfs.contains("`blk` is in use by `jfs`") && by_jfs.contains("EBUSY"), "{by_jfs}");
    app.board.set(Field::Stop, 2);
    let found = next(&mut app, 3);
    assert!(matches!(found[2], Outcome::Bytes(512, _)), "the device is there: {found:?}");
}

/// What apps hold of a kernel they hold as long as it runs.
#[test]
fn in_a_monolith_who_serves_apps_and_cannot_let_go_keeps_a_module_in() {
    let mut manifest = MONOLITHIC.manifest(1);
    let queue = manifest.entries.iter_mut().find(|entry| entry.name == "blk");
    queue.expect("there is a block layer").apps = true;
    let boot = Boot::new(&manifest).expect("boots");
    let busy = boot.upgrade(&upgrade("vdisk", &[])).expect_err("apps may call its user").to_string();
    assert!(busy.contains("`vdisk` is in use by `blk`") && busy.contains("EBUSY"), "{busy}");
}

/// The load of an experiment: it puts its files away, and rounds that were due meanwhile are late and not lost.
#[test]
fn a_load_can_be_sent_away_and_called_back() {
    let (ram, disk) = (("ramdisk", "ram0_write_4k"), ("vdisk", "disk_append_fsync"));
    for (config, (driver, workload)) in [(MONOLITHIC, ram), (MONOLITHIC, disk), (PROCESS, ram)] {
        let boot = config.boot(1);
        let rounds = Task::Rounds { workload: workload.into(), rate: 1000, entry: Entry::Call };
        let app = config.start(&boot, 1, rounds);
        goes_on(&app);
        assert!(app.send_away(LIMIT));
        let good = app.board.get(Field::Good);
        boot.upgrade(&upgrade(driver, &[])).expect("nobody uses it");
        assert!(matches!(&verdict(&boot)[..], [What::Upgraded(_)]));
        assert_eq!(app.board.get(Field::Good), good, "{config:?}: away");
        app.call_back();
        goes_on(&app);
        finish(&app);
    }
}
