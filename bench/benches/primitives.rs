//! Criterion's bench of the parts: a direct call, a mode switch, a message encoded and decoded, what keeping a page costs, and
//! one crossing of each transport beside the bare limits.
//!
//! A crossing is timed inside its rig, whose processes are forked anew for each of criterion's samples: the samples,
//! and so the interval, include how one pair of processes differs from the next. What was measured is handed over to
//! the suite, which the same `cargo bench` runs after this.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use criterion::{Bencher, Criterion};
use kd_api::interfaces::fs::{FileSystem, Kind, Owner, ROOT, Stat};
use kd_api::interfaces::proc::Proc;
use kd_api::message::WORDS;
use kd_api::server::SCRATCH;
use kd_api::wire::{Decoder, Encoder, Wire};
use kd_api::{Caller, Imports, InBuf, Ino, Result};
use kd_machine::memory::{Memory, Words};
use kd_nucleus::channel::{Bell, Channel};
use kernel_debate::experiments::primitives::parts::TIMED;
use kernel_debate::experiments::primitives::rig::{Answerer, Rig};
use kernel_debate::experiments::primitives::{criterion_home, publish};
use kernel_debate::meta;

fn main() -> ExitCode {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let begun = SystemTime::now();
    let home = match criterion_home() {
        Ok(home) => home,
        Err(error) => {
            eprintln!("error: cannot find where cargo builds: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut criterion = Criterion::default()
        .output_directory(&home)
        .sample_size(20)
        .nresamples(10_000)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(if quick { 200 } else { 1_500 }))
        .configure_from_args();
    let cores = meta::cores();
    for timed in TIMED.iter().filter(|timed| timed.cores <= cores.len()) {
        criterion.bench_function(&timed.id(), |bencher| match (timed.part, timed.workload) {
            (Some(part), _) => bencher.iter_custom(|rounds| {
                let rig = Rig::new(part, &cores[..timed.cores]).expect("the host has room for two more processes");
                rig.run(rounds).expect("a rig lives until it is dropped")
            }),
            (None, "direct_call") => direct_call(bencher),
            (None, "trap") => bencher.iter(kd_linux::empty_system_call),
            (None, "ramfs_write_4k") => overwrite(bencher, false),
            (None, "ramfs_write_4k_kept") => overwrite(bencher, true),
            (None, _) => encode_decode(bencher),
        });
    }
    criterion.final_summary();
    if let Err(error) = publish(&home, begun) {
        eprintln!("error: cannot hand the figures over to the suite: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// One call as components make it in the monolithic kernel.
fn direct_call(bencher: &mut Bencher<'_>) {
    let proc: Arc<dyn Proc> = black_box(Arc::new(Answerer));
    bencher.iter(|| proc.getpid(black_box(Caller::app(1))));
}

/// A page of a file in memory overwritten, without any crossing: where the file goes with its server, and where it is kept.
fn overwrite(bencher: &mut Bencher<'_>, kept: bool) {
    let component = kd_subsystems::ramfs::component();
    let mut imports = Imports::default();
    if kept {
        let store = Memory::new("kd-bench-store", 8 * component.store).and_then(|memory| memory.map());
        imports.set_store(Words::new(store.expect("a store's shared memory")).leak());
    }
    let started = (component.start)(&imports).expect("it needs nothing else");
    let fs = started.get::<dyn FileSystem>().expect("it is one");
    let owner = Owner { uid: 0, gid: 0, mode: 0o644 };
    let file = Ino(fs.create(ROOT, "file", Kind::File, owner).expect("there is room").ino);
    let data = [7; 4096];
    bencher.iter(|| assert_eq!(fs.write(file, 0, &mut InBuf::new(black_box(&data))), Ok(data.len())));
}

/// A message with a string and a structure, as both sides of a crossing handle it.
fn encode_decode(bencher: &mut Bencher<'_>) {
    let bell = Bell::new().expect("a page of shared memory");
    let channel = Channel::new("kd-bench", &bell).expect("a channel's shared memory");
    let window = channel.window(0);
    let stat = Stat {
        ino: 7,
        kind: Kind::File,
        mode: 0o644,
        links: 1,
        uid: 0,
        gid: 0,
        size: 4096,
        blocks: 8,
        atime: 0,
        mtime: 0,
        ctime: 0,
    };
    let mut scratch = vec![0; SCRATCH];
    let mut round = || -> Result<(usize, Stat)> {
        let mut words = [0; WORDS];
        let mut encoder = Encoder::new(&mut words, window);
        encoder.spill(black_box("/a/path/of/some/length").as_bytes())?;
        black_box(stat).put(&mut encoder)?;
        let mut decoder = Decoder::new(&words, window, &mut scratch);
        Ok((decoder.string()?.len(), Stat::get(&mut decoder)?))
    };
    assert_eq!(round(), Ok((22, stat)), "what goes in comes out");
    bencher.iter(round);
}
