//! The same random calls on the system-call table and on the host's kernel: results, errors and contents must agree.
//!
//! `KD_SEED=n` runs one sequence, `KD_SEQUENCES=n` that many; a failure names its seed and the calls before it. The
//! host's answers are those of the superuser on tmpfs; elsewhere the test says so and does nothing.

#[path = "../common/mod.rs"]
mod common;
mod host;
mod pair;
mod random;

use std::collections::BTreeMap;
use std::env;

use kd_api::interfaces::syscalls::Syscalls;
use kd_api::{AppId, Fd, InBuf, OutBuf};
use pair::{APP, Pair, number};
use random::Random;

const SEQUENCES: u64 = 300;
const CALLS: usize = 400;

/// One random call on both.
fn step(pair: &mut Pair, random: &mut Random, filled: &mut BTreeMap<i32, usize>) {
    let fd = random.descriptor(pair.open.keys().copied());
    let host = pair.host_fd(fd);
    match random.below(100) {
        0..22 => {
            let (path, flags, mode) = (random.path(), random.flags(), random.mode());
            pair.open(&path, flags, mode);
        }
        22..30 => {
            pair.close(fd);
            filled.remove(&fd);
        }
        30..38 => {
            let data = random.bytes();
            if !pair.write_waits(fd, data.len(), filled) {
                let ours = number(pair.ours.write(APP, Fd(fd), &mut InBuf::new(&data))).map(|n| n as i64);
                let answer = pair.host.write(host, &data);
                pair.same(format!("write({fd}, {})", data.len()), &ours, &answer);
                if let (Ok(count), Some((other, true))) = (answer, pair.open.get(&fd).and_then(|open| open.pipe))
                    && count > 0
                {
                    *filled.entry(other).or_default() += count as usize;
                }
            }
        }
        38..46 => {
            let room = random.length();
            if !pair.read_waits(fd, filled) {
                let (mut mine, mut theirs) = (vec![0xEE; room], vec![0xEE; room]);
                let ours = number(pair.ours.read(APP, Fd(fd), &mut OutBuf::new(&mut mine))).map(|n| n as i64);
                let answer = pair.host.read(host, &mut theirs);
                pair.same(format!("read({fd}, {room})"), &ours, &answer);
                assert!(mine == theirs, "bytes read differ");
                if let (Ok(count), Some(bytes)) = (answer, filled.get_mut(&fd)) {
                    *bytes -= count as usize;
                    if *bytes == 0 {
                        filled.remove(&fd);
                    }
                }
            }
        }
        46..54 => {
            let (offset, data) = (random.offset(), random.bytes());
            let ours = number(pair.ours.pwrite(APP, Fd(fd), offset, &mut InBuf::new(&data))).map(|n| n as i64);
            let answer = pair.host.pwrite(host, offset, &data);
            pair.same(format!("pwrite({fd}, {offset}, {})", data.len()), &ours, &answer);
        }
        54..60 => {
            let (offset, room) = (random.offset(), random.length());
            let (mut mine, mut theirs) = (vec![0xEE; room], vec![0xEE; room]);
            let ours = number(pair.ours.pread(APP, Fd(fd), offset, &mut OutBuf::new(&mut mine))).map(|n| n as i64);
            let answer = pair.host.pread(host, offset, &mut theirs);
            pair.same(format!("pread({fd}, {offset}, {room})"), &ours, &answer);
            assert!(mine == theirs, "bytes read differ");
        }
        60..66 => {
            // Positions in directories are each kernel's own.
            let (offset, whence) = (random.seek(), [0, 1, 2, 9][random.below(4)]);
            if !pair.open.get(&fd).is_some_and(|open| open.directory) {
                let ours = number(pair.ours.lseek(APP, Fd(fd), offset, whence)).map(|at| at as i64);
                let answer = pair.host.lseek(host, offset, whence);
                pair.same(format!("lseek({fd}, {offset}, {whence})"), &ours, &answer);
            }
        }
        66..68 => {
            let ours = number(pair.ours.fsync(APP, Fd(fd)));
            let answer = pair.host.fsync(host);
            pair.same(format!("fsync({fd})"), &ours, &answer);
        }
        68..76 => pair.stat(&random.path()),
        76..82 => {
            let (path, mode) = (random.path(), random.mode());
            let ours = number(pair.ours.mkdir(APP, &Pair::ours_at(&path), mode));
            let answer = pair.host.mkdir(&path, mode);
            pair.same(format!("mkdir({path:?}, {mode:#o})"), &ours, &answer);
        }
        82..87 => {
            let path = random.path();
            let ours = number(pair.ours.unlink(APP, &Pair::ours_at(&path)));
            let answer = pair.host.unlink(&path);
            pair.same(format!("unlink({path:?})"), &ours, &answer);
        }
        87..95 => {
            let (from, to) = (random.path(), random.path());
            let ours = number(pair.ours.rename(APP, &Pair::ours_at(&from), &Pair::ours_at(&to), 0));
            let answer = pair.host.rename(&from, &to);
            pair.same(format!("rename({from:?}, {to:?})"), &ours, &answer);
        }
        95..98 => {
            let room = [0, 23, 24, 48, 300, 4096][random.below(6)];
            if pair.open.get(&fd).is_none_or(|open| open.pipe.is_none()) {
                let _ = pair.list(fd, room);
            }
        }
        _ => pair.pipe(),
    }
}

/// `false` where there is no host to compare with.
fn sequence(seed: u64) -> bool {
    let Some(mut pair) = Pair::new(&seed.to_string()) else { return false };
    let mut random = Random(seed);
    let mut filled = BTreeMap::new();
    for _ in 0..CALLS {
        step(&mut pair, &mut random, &mut filled);
    }
    for fd in pair.open.keys().copied().collect::<Vec<_>>() {
        pair.close(fd);
    }
    pair.compare_tree("");
    pair.vfs.app_exited(AppId(APP.app.0));
    true
}

fn setting(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

#[test]
fn behaves_as_the_host_does() {
    // SAFETY: neither call takes memory; this executable has one test, so nobody else sees the mask change.
    let superuser = unsafe {
        libc::umask(0);
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::geteuid() == 0
    };
    if !superuser {
        eprintln!("not compared: the host answers others than the superuser with EACCES and EPERM");
        return;
    }
    let seeds = match setting("KD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..setting("KD_SEQUENCES").unwrap_or(SEQUENCES) + 1,
    };
    for seed in seeds {
        match std::panic::catch_unwind(|| sequence(seed)) {
            Ok(true) => {}
            Ok(false) => return eprintln!("not compared: /dev/shm cannot be used"),
            Err(_) => panic!("sequence {seed} differs (above); repeat it with KD_SEED={seed}"),
        }
    }
}
