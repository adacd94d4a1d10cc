//! What is lost when a component dies, and what is not: each is killed under an app with known state, and then many at
//! random moments. ARCHITECTURE.md has the table.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use kd_api::interfaces::vfs::{open, seek};
use kd_boot::board::Field;
use kd_boot::control::{Entry, Task};
use kd_boot::policy::Way;
use kd_boot::script::{Call, Data, Outcome};
use kernel_debate::boot::{Boot, find_held};

use crate::{PROCESS, failed, outcome, outcomes};

const LIMIT: Duration = Duration::from_secs(20);
const KILL: i32 = 9;
/// From a script's directory to the root.
const ROOT: &str = "/../../../..";
const RW: u32 = open::CREAT | open::RDWR;

fn open(path: String, flags: u32) -> Call {
    Call::Open { path, flags, mode: 0o644 }
}

fn data(start: u8, length: usize) -> Data {
    Data { start, length }
}

/// What reading these bytes into room for so many gives: the rest of the room is untouched.
fn bytes(read: &[u8], room: usize) -> Outcome {
    let all = read.iter().copied().chain(std::iter::repeat(0xEE)).take(room);
    let hash = all.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    Outcome::Bytes(read.len(), hash)
}

fn restarts(boot: &Boot, component: &str) -> Option<u32> {
    boot.component(component).ok().map(|one| one.restarts)
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < LIMIT, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Kills components and waits until their successors answer.
pub fn kill(boot: &Boot, victims: &[&str]) {
    let before: Vec<_> = victims.iter().map(|victim| restarts(boot, victim).expect("it runs")).collect();
    for victim in victims {
        boot.signal(victim, KILL).expect("it runs");
    }
    let back = |(victim, before): (&&str, &u32)| restarts(boot, victim).is_some_and(|now| now > *before);
    until("a restart", || victims.iter().zip(&before).all(back));
}

/// One thing that an app has, by what it asks afterwards, and what it is told if nothing was lost.
pub struct Had {
    pub what: &'static str,
    pub ask: Call,
    pub told: Outcome,
}

fn had(what: &'static str, ask: Call, told: Outcome) -> Had {
    Had { what, ask, told }
}

/// Makes the state: handle 0 a file in memory, 1 a file on the disk, 2 and 3 a pipe, 4 a device.
pub fn state() -> Vec<Call> {
    vec![
        open("/f".into(), RW),
        Call::Write(0, data(1, 6)),
        Call::Lseek(0, 2, seek::SET),
        open(format!("{ROOT}/mnt/f"), RW),
        Call::Write(1, data(50, 6)),
        Call::Fsync(1),
        Call::Write(1, data(90, 4)),
        Call::Lseek(1, 3, seek::SET),
        Call::Pipe,
        Call::Write(3, data(7, 3)),
        open(format!("{ROOT}/dev/ram0"), open::RDWR),
        Call::Pwrite(4, 0, data(30, 8)),
        Call::Lseek(4, 5, seek::SET),
        Call::Umask(0o77),
    ]
}

/// What that gives an app to ask for.
pub fn belongings() -> Vec<Had> {
    let disk = [data(50, 6).bytes(), data(90, 4).bytes()].concat();
    vec![
        had("mask", Call::Umask(0o77), Outcome::Number(0o77)),
        had("position in memory", Call::Lseek(0, 0, seek::CUR), Outcome::Number(2)),
        had("bytes in memory", Call::Read(0, 16), bytes(&data(1, 6).bytes()[2..], 16)),
        had("name in memory", Call::Unlink("/f".into()), Outcome::Number(0)),
        had("position on the disk", Call::Lseek(1, 0, seek::CUR), Outcome::Number(3)),
        had("synced bytes on the disk", Call::Pread(1, 0, 6), bytes(&disk[..6], 6)),
        had("other bytes on the disk", Call::Pread(1, 0, 16), bytes(&disk, 16)),
        had("the promise to sync them", Call::Fsync(1), Outcome::Number(0)),
        had("a sync after that", Call::Fsync(1), Outcome::Number(0)),
        had("bytes in the pipe", Call::Read(2, 16), bytes(&data(7, 3).bytes(), 16)),
        had("position on the device", Call::Lseek(4, 0, seek::CUR), Outcome::Number(5)),
        had("bytes on the device", Call::Read(4, 3), bytes(&data(30, 8).bytes()[5..], 3)),
    ]
}

/// What is told instead after the death of a component; several answers where it depends on the moment.
fn lost(component: &str, what: &str) -> Vec<Outcome> {
    match (component, what) {
        // Its writer of old pages may have been there before.
        ("jfs", "other bytes on the disk") => {
            let all = [data(50, 6).bytes(), data(90, 4).bytes()].concat();
            vec![bytes(&all[..6], 16), bytes(&all, 16)]
        }
        ("jfs", "the promise to sync them") => vec![failed("EIO")],
        _ => Vec::new(),
    }
}

/// Boots, makes the state, kills these at once, and looks what is left.
fn look_after_the_death_of(victims: &[&str], way: Way) {
    let mut manifest = PROCESS.manifest(1);
    for entry in manifest.entries.iter_mut().filter(|entry| victims.contains(&entry.name.as_str())) {
        entry.policy.way = way;
    }
    let boot = Boot::new(&manifest).expect("boots");
    let (before, belongings) = (state(), belongings());
    let mut calls = before.clone();
    calls.push(Call::Pause);
    calls.extend(belongings.iter().map(|had| had.ask.clone()));
    let mut app = PROCESS.script(&boot, 1, &calls);
    for call in before {
        let made = outcome(&mut app);
        assert!(matches!(made, Outcome::Number(_)), "{call:?}: {made:?}");
    }
    if way == Way::Standby {
        until("standbys", || {
            victims.iter().all(|victim| boot.component(victim).is_ok_and(|one| one.standby.is_some()))
        });
    }
    kill(&boot, victims);
    app.board.set(Field::Stop, 1);
    assert_eq!(outcome(&mut app), Outcome::Skipped, "the pause");
    for Had { what, told, .. } in belongings {
        let now = outcome(&mut app);
        let allowed = match victims.iter().flat_map(|victim| lost(victim, what)).collect::<Vec<_>>() {
            none if none.is_empty() => vec![told],
            lost => lost,
        };
        assert!(allowed.contains(&now), "{victims:?} were killed, {way:?}: {what}: {now:?}, not {allowed:?}");
    }
}

#[test]
fn each_component_loses_what_the_table_says() {
    for entry in PROCESS.manifest(1).entries {
        // Forked, or with nothing of what came before.
        for way in [Way::Warm, Way::Cold] {
            look_after_the_death_of(&[&entry.name], way);
        }
    }
    for stateful in ["vfs", "pipe", "ramfs"] {
        look_after_the_death_of(&[stateful], Way::Standby);
    }
    look_after_the_death_of(&["vfs", "pipe"], Way::Warm);
    look_after_the_death_of(&["vfs", "jfs"], Way::Warm);
    look_after_the_death_of(&["vfs", "ramfs"], Way::Warm);
}

/// A read that waited when its VFS died takes no bytes from the next one.
#[test]
fn who_waits_at_a_pipe_for_a_vfs_that_died_takes_nothing() {
    let boot = PROCESS.boot(1);
    let calls = [Call::Pipe, Call::Wait(0), Call::Write(1, data(7, 3)), Call::Wait(0), Call::Wait(0), Call::Wait(0)];
    let mut app = PROCESS.script(&boot, 1, &calls);
    assert!(matches!(outcome(&mut app), Outcome::Number(_)));
    // Until it was killed with the read in hand.
    let waited: Option<Outcome> = loop {
        kill(&boot, &["vfs"]);
        if let Ok(line) = app.line_within(Duration::from_millis(200)) {
            break line;
        }
    };
    assert_eq!(waited, Some(failed("EUNKNOWN")));
    let read = data(7, 3).bytes().into_iter().map(|byte| bytes(&[byte], 1));
    for expected in [Outcome::Number(3)].into_iter().chain(read) {
        assert_eq!(app.line_within(LIMIT).expect("nothing was taken along"), Some(expected));
    }
}

#[test]
fn a_store_of_values_in_memory_outlives_its_server() {
    for way in [Way::Warm, Way::Cold] {
        let mut manifest = PROCESS.manifest(1);
        manifest.entries.iter_mut().for_each(|entry| entry.policy.way = way);
        let boot = Boot::new(&manifest).expect("boots");
        let rounds = Task::Rounds { workload: "kv_get".into(), rate: 0, entry: Entry::Call };
        let app = PROCESS.start(&boot, 1, rounds);
        assert!(app.wait_until(LIMIT, |board| board.get(Field::Good) > 10), "it starts");
        kill(&boot, &["kv"]);
        let good = app.board.get(Field::Good);
        assert!(app.wait_until(LIMIT, |board| board.get(Field::Good) > good + 200), "it goes on, {way:?}");
        assert_eq!([Field::Wrong, Field::Failed].map(|field| app.board.get(field)), [0, 0], "{way:?}");
        app.stop();
    }
}

/// Flips a bit of what a component keeps where these bytes are, behind its back.
fn spoil(boot: &Boot, component: &str, bytes: &[u8]) {
    let status = boot.component(component).expect("it runs");
    let at = find_held(&status, bytes).expect("it can be looked at").expect("they are there");
    let (start, size) = status.store.expect("it has a store");
    assert!((start..start + size).contains(&at), "what it keeps is in its store");
    let memory = fs::File::options().read(true).write(true).open(format!("/proc/{}/mem", status.pid)).expect("ours");
    let mut byte = [0];
    memory.read_exact_at(&mut byte, at as u64).expect("it is mapped");
    memory.write_all_at(&[byte[0] ^ 4], at as u64).expect("it is mapped");
}

#[test]
fn what_a_dying_file_system_spoiled_is_told_of_and_the_rest_lives() {
    let boot = PROCESS.boot(1);
    let calls = [
        open("/spoiled".into(), RW),
        Call::Write(0, data(100, 64)),
        open("/sound".into(), RW),
        Call::Write(1, data(20, 64)),
        Call::Mkdir("/directory".into(), 0o755),
        Call::Pause,
        Call::Pread(0, 0, 64),
        Call::Pread(1, 0, 64),
        Call::Stat("/spoiled".into()),
        Call::Fsync(1),
        Call::Fsync(1),
        Call::Unlink("/spoiled".into()),
        Call::Rmdir("/directory".into()),
    ];
    let mut app = PROCESS.script(&boot, 1, &calls);
    for _ in 0..5 {
        let made = outcome(&mut app);
        assert!(matches!(made, Outcome::Number(_)), "{made:?}");
    }
    spoil(&boot, "ramfs", &data(100, 64).bytes());
    kill(&boot, &["ramfs"]);
    app.board.set(Field::Stop, 1);
    assert_eq!(outcome(&mut app), Outcome::Skipped, "the pause");
    assert_eq!(outcome(&mut app), failed("EIO"), "what is spoiled");
    assert_eq!(outcome(&mut app), bytes(&data(20, 64).bytes(), 64));
    assert!(matches!(outcome(&mut app), Outcome::Stat(_)), "its inode is sound");
    assert_eq!([outcome(&mut app), outcome(&mut app)], [failed("EIO"), Outcome::Number(0)], "who syncs is told once");
    assert_eq!([outcome(&mut app), outcome(&mut app)], [Outcome::Number(0), Outcome::Number(0)]);
    let log = boot.log().expect("the root lives");
    let said = "ramfs: its predecessor spoiled 0 inodes, 0 names and 1 pages: dropped";
    assert!(log.iter().any(|(_, line)| line.contains(said)), "{log:?}");
}

/// Every component has its row.
#[test]
fn the_table_is_complete() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("bench is a member").join("ARCHITECTURE.md");
    let page = fs::read_to_string(page).expect("it is there");
    let (_, section) = page.split_once("## What a restart loses").expect("the section is there");
    let section = section.split("\n## ").next().unwrap_or_default();
    let names = section.lines().filter(|line| line.starts_with("| `")).flat_map(|line| {
        let first = line.split(" | ").next().unwrap_or_default();
        first.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
    });
    let components = PROCESS.manifest(1).entries.into_iter().map(|entry| entry.name);
    assert_eq!(names.collect::<BTreeSet<_>>(), components.chain(["filedisk".into()]).collect());
}

/// Records appended, and directories made, in one script.
const ROUNDS: usize = 60;
const RECORD: usize = 8;
/// Kills in all; more are no different.
const KILLS: usize = 200;

fn record(round: usize) -> Data {
    data(round as u8, RECORD)
}

fn directory(script: usize, round: usize) -> String {
    format!("/{script}-{round}")
}

/// A script: a log and its directory, stable; a pause; rounds, each with two syncs; a pause; and what is there then.
fn rounds(script: usize) -> Vec<Call> {
    let mut calls = vec![
        open(format!("/log-{script}"), RW | open::APPEND),
        open("/.".into(), open::RDONLY | open::DIRECTORY),
        Call::Fsync(0),
        Call::Fsync(1),
        Call::Pause,
    ];
    for round in 0..ROUNDS {
        calls.push(Call::Write(0, record(round)));
        calls.push(Call::Fsync(0));
        calls.push(Call::Mkdir(directory(script, round), 0o755));
        calls.push(Call::Fsync(1));
    }
    calls.push(Call::Pause);
    calls.extend((0..=ROUNDS).map(|place| Call::Pread(0, (place * RECORD) as i64, RECORD)));
    calls.extend((0..ROUNDS).map(|round| Call::Rmdir(directory(script, round))));
    calls
}

/// Numbers that look random, from a fixed seed (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[test]
fn random_kills_lose_nothing_that_was_synced_and_do_nothing_twice() {
    let boot = PROCESS.boot(1);
    let (mut random, mut kills, mut unknown) = (Random(0x5EED), 0, 0);
    for script in 0.. {
        if kills >= KILLS {
            break;
        }
        let mut app = PROCESS.script_under(&boot, 1, "/mnt", &rounds(script));
        for _ in 0..4 {
            let made = outcome(&mut app);
            assert!(matches!(made, Outcome::Number(_)), "{made:?}");
        }
        app.board.set(Field::Stop, 1);
        assert_eq!(outcome(&mut app), Outcome::Skipped);
        let mut answers = Vec::new();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| (0..4 * ROUNDS).map(|_| outcome(&mut app)).collect::<Vec<_>>());
            while !reader.is_finished() {
                let victim = ["vfs", "jfs", "vdisk"][random.below(3) as usize];
                std::thread::sleep(Duration::from_micros(random.below(20_000)));
                if !reader.is_finished() {
                    kill(&boot, &[victim]);
                    kills += 1;
                    // Not so often in a second that it is given up.
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            answers = reader.join().expect("the app lives");
        });
        app.board.set(Field::Stop, 2);
        assert_eq!(outcome(&mut app), Outcome::Skipped);
        let mut found = outcomes(&mut app);
        let directories = found.split_off(ROUNDS + 1);
        let log: Vec<usize> = found
            .iter()
            .filter_map(|read| match read {
                Outcome::Bytes(0, _) => None,
                read => Some(
                    (0..ROUNDS).find(|&round| *read == bytes(&record(round).bytes(), RECORD)).expect("a record, whole"),
                ),
            })
            .collect();
        assert!(log.is_sorted_by(|one, next| one < next), "once each, in order: {log:?}");
        for (round, answer) in answers.chunks(4).enumerate() {
            let [appended, synced, made, stable] = answer else { unreachable!("four calls a round") };
            let is_lost = failed("EUNKNOWN");
            unknown += [appended, made].iter().filter(|answer| ***answer == is_lost).count();
            let (wrote, created) = (*appended == Outcome::Number(RECORD as u64), *made == Outcome::Number(0));
            assert!(wrote || *appended == is_lost, "{round}: append: {appended:?}");
            assert!(created || *made == is_lost, "{round}: mkdir: {made:?}");
            for sync in [synced, stable] {
                assert!(*sync == Outcome::Number(0) || *sync == failed("EIO"), "{round}: fsync: {sync:?}");
            }
            assert!(
                !wrote || *synced != Outcome::Number(0) || log.contains(&round),
                "record {round} was synced: {log:?}"
            );
            let there = directories[round] == Outcome::Number(0);
            assert!(
                !created || *stable != Outcome::Number(0) || there,
                "directory {round} was synced: {:?}",
                directories[round]
            );
        }
    }
    let counted: u64 = ["vfs", "jfs"].map(|name| boot.component(name).expect("it runs").counters[2]).iter().sum();
    assert!(counted >= unknown as u64, "whoever was told of an unknown outcome was counted: {counted}, {unknown}");
}
