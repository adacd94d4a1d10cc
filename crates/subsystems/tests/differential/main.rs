//! The same random calls on the system-call table and on the host's kernel: results, errors, attributes and contents must
//! agree. Every second sequence has three apps of three users, two of which share a group.
//!
//! `KD_SEED=n` runs one sequence, `KD_SEQUENCES=n` that many; a failure names its seed and the calls before it. The
//! host's answers are those of the superuser on tmpfs; elsewhere the test says so and does nothing.

#[path = "../common/mod.rs"]
mod common;
mod host;
mod pair;
mod random;

use std::env;

use kd_api::interfaces::syscalls::Syscalls;
use kd_api::{AppId, Blocks, Fd, InBuf, OutBuf};
use pair::{Pair, USERS, number, seen};
use random::Random;

/// Dates, and no threads.
static HOST: kd_sync::Host =
    kd_sync::Host { spawn: |_, _| false, now: today, exact_now: today, wait_for: |_, _, _| {}, log: |_| {} };

fn today() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64)
}

const SEQUENCES: u64 = 300;
const CALLS: usize = 400;

/// One random call on both.
fn step(pair: &mut Pair, random: &mut Random) {
    let fd = random.descriptor(pair.open.keys().copied());
    let host = pair.host_fd(fd);
    match random.below(150) {
        0..22 => {
            let (path, flags, mode) = (random.path(), random.flags(), random.mode());
            pair.open(&path, flags, mode);
        }
        22..30 => pair.close(fd),
        30..38 => {
            let data = random.bytes();
            if !pair.write_waits(fd, data.len()) {
                let ours = number(pair.ours.write(pair.me(), Fd(fd), &mut InBuf::new(&data))).map(|n| n as i64);
                let answer = pair.host.write(host, &data);
                pair.same(format!("write({fd}, {})", data.len()), &ours, &answer);
                if let (Ok(count), Some((pipe, true))) = (answer, pair.end(fd)) {
                    pair.filled[pipe] += count as usize;
                }
            }
        }
        38..46 => {
            // differs: read-atime. tmpfs alone dates a file of which nothing is read.
            let room = random.length().max(1);
            if !pair.read_waits(fd) {
                let (mut mine, mut theirs) = (vec![0xEE; room], vec![0xEE; room]);
                let ours = number(pair.ours.read(pair.me(), Fd(fd), &mut OutBuf::new(&mut mine))).map(|n| n as i64);
                let answer = pair.host.read(host, &mut theirs);
                pair.same(format!("read({fd}, {room})"), &ours, &answer);
                assert!(mine == theirs, "bytes read differ");
                if let (Ok(count), Some((pipe, false))) = (answer, pair.end(fd)) {
                    pair.filled[pipe] -= count as usize;
                }
            }
        }
        46..48 => {
            let (size, apart) = ([1, 100, 512, 4096, 9000][random.below(5)], random.below(4) > 0);
            let count = 1 + random.below(8);
            let at = (0..count).map(|i| if apart { ((i * 5 + 3) % 8 * size) as u64 } else { random.offset() as u64 });
            pair.blocks(fd, Blocks::new(size, at).expect("a message carries them"));
        }
        48..54 => {
            let (offset, data) = (random.offset(), random.bytes());
            let ours = number(pair.ours.pwrite(pair.me(), Fd(fd), offset, &mut InBuf::new(&data))).map(|n| n as i64);
            let answer = pair.host.pwrite(host, offset, &data);
            pair.same(format!("pwrite({fd}, {offset}, {})", data.len()), &ours, &answer);
        }
        54..60 => {
            let (offset, room) = (random.offset(), random.length().max(1));
            let (mut mine, mut theirs) = (vec![0xEE; room], vec![0xEE; room]);
            let ours =
                number(pair.ours.pread(pair.me(), Fd(fd), offset, &mut OutBuf::new(&mut mine))).map(|n| n as i64);
            let answer = pair.host.pread(host, offset, &mut theirs);
            pair.same(format!("pread({fd}, {offset}, {room})"), &ours, &answer);
            assert!(mine == theirs, "bytes read differ");
        }
        60..66 => {
            // differs: directory-positions.
            let (offset, whence) = (random.seek(), [0, 1, 2, 9][random.below(4)]);
            if !pair.open.get(&fd).is_some_and(|open| open.directory) {
                let ours = number(pair.ours.lseek(pair.me(), Fd(fd), offset, whence)).map(|at| at as i64);
                let answer = pair.host.lseek(host, offset, whence);
                pair.same(format!("lseek({fd}, {offset}, {whence})"), &ours, &answer);
            }
        }
        66..68 => {
            let ours = number(pair.ours.fsync(pair.me(), Fd(fd)));
            let answer = pair.host.fsync(host);
            pair.same(format!("fsync({fd})"), &ours, &answer);
        }
        68..76 => pair.stat(&random.path()),
        76..82 => {
            let (path, mode) = (random.path(), random.mode());
            let ours = number(pair.ours.mkdir(pair.me(), &Pair::ours_at(&path), mode));
            let answer = pair.host.mkdir(&path, mode);
            pair.same(format!("mkdir({path:?}, {mode:#o})"), &ours, &answer);
        }
        82..87 => {
            let path = random.path();
            let ours = number(pair.ours.unlink(pair.me(), &Pair::ours_at(&path)));
            let answer = pair.host.unlink(&path);
            pair.same(format!("unlink({path:?})"), &ours, &answer);
        }
        87..95 => {
            let (from, to, flags) = (random.path(), random.path(), random.moving());
            let ours = number(pair.ours.rename(pair.me(), &Pair::ours_at(&from), &Pair::ours_at(&to), flags));
            let mut answer = pair.host.rename(&from, &to, flags);
            if let (Err(libc::EACCES | libc::EPERM), Err(libc::EINVAL | libc::ENOTEMPTY)) = (ours, answer) {
                // differs: rename-denied. Who may not rename at all is told so before what lies within what.
                answer = ours;
            }
            pair.same(format!("rename({from:?}, {to:?}, {flags})"), &ours, &answer);
        }
        95..98 => {
            let room = [0, 23, 24, 48, 300, 4096][random.below(6)];
            if pair.open.get(&fd).is_none_or(|open| open.pipe.is_none()) {
                let _ = pair.list(fd, room);
            }
        }
        98..99 => pair.pipe(),
        99..107 => {
            let (from, to) = (random.path(), random.path());
            let ours = number(pair.ours.link(pair.me(), &Pair::ours_at(&from), &Pair::ours_at(&to)));
            let answer = pair.host.link(&from, &to);
            pair.same(format!("link({from:?}, {to:?})"), &ours, &answer);
        }
        107..114 => {
            let (target, path) = (random.target(), random.path());
            let ours = number(pair.ours.symlink(pair.me(), &target, &Pair::ours_at(&path)));
            let answer = pair.host.symlink(&target, &path);
            pair.same(format!("symlink({target:?}, {path:?})"), &ours, &answer);
        }
        114..116 => pair.readlink(&random.path(), [0, 3, 5000][random.below(3)]),
        116..121 => {
            let path = random.path();
            let ours = number(pair.ours.rmdir(pair.me(), &Pair::ours_at(&path)));
            let answer = pair.host.rmdir(&path);
            pair.same(format!("rmdir({path:?})"), &ours, &answer);
        }
        121..124 => {
            let size = random.size();
            let ours = number(pair.ours.ftruncate(pair.me(), Fd(fd), size as u64));
            let answer = pair.host.ftruncate(host, size);
            pair.same(format!("ftruncate({fd}, {size})"), &ours, &answer);
        }
        124..127 => {
            let (path, size) = (random.path(), random.size());
            if pair.host.stat(&path, 0).is_ok_and(|seen| seen.size == size as u64) {
                // differs: truncate-same-size.
                return;
            }
            let ours = number(pair.ours.truncate(pair.me(), &Pair::ours_at(&path), size as u64));
            let answer = pair.host.truncate(&path, size);
            pair.same(format!("truncate({path:?}, {size})"), &ours, &answer);
        }
        127..130 => {
            let (flags, offset) = ([0, 1, 0x1000][random.below(3)], random.offset());
            let bytes = [0, -1, 1, 4096, 70_000, 1 << 61, i64::MAX][random.below(7)];
            let ours = number(pair.ours.fallocate(pair.me(), Fd(fd), flags, offset as u64, bytes as u64));
            let answer = pair.host.fallocate(host, flags, offset, bytes);
            pair.same(format!("fallocate({fd}, {flags}, {offset}, {bytes})"), &ours, &answer);
        }
        130..132 => {
            let ours = number(pair.ours.fdatasync(pair.me(), Fd(fd)));
            let answer = pair.host.fdatasync(host);
            pair.same(format!("fdatasync({fd})"), &ours, &answer);
        }
        132..134 => pair.dup(fd),
        134..137 if pair.end(fd).is_none() => {
            let ours = seen(pair.ours.fstat(pair.me(), Fd(fd)));
            let answer = pair.host.fstat(host);
            pair.same(format!("fstat({fd})"), &ours, &answer);
        }
        137..140 => pair.lstat(&random.path()),
        140..143 => {
            let (path, mode) = (random.path(), [0o755, 0o1777, 0o6755, 0o2775, 0o640, 0o511, 0][random.below(7)]);
            let ours = number(pair.ours.chmod(pair.me(), &Pair::ours_at(&path), mode));
            let answer = pair.host.chmod(&path, mode);
            pair.same(format!("chmod({path:?}, {mode:#o})"), &ours, &answer);
        }
        143..145 => {
            let (path, keep) = (random.path(), u32::MAX);
            let (uid, gid) = ([0, 1001, 1002, keep][random.below(4)], [0, 100, keep][random.below(3)]);
            let ours = number(pair.ours.chown(pair.me(), &Pair::ours_at(&path), uid, gid));
            let answer = pair.host.chown(&path, uid, gid);
            pair.same(format!("chown({path:?}, {uid}, {gid})"), &ours, &answer);
        }
        145..148 => {
            let (path, atime, mtime) = (random.path(), random.time(), random.time());
            let ours = number(pair.ours.utimens(pair.me(), &Pair::ours_at(&path), atime, mtime));
            let answer = pair.host.utimens(&path, atime, mtime);
            pair.same(format!("utimens({path:?}, {atime}, {mtime})"), &ours, &answer);
        }
        148..149 => {
            let mask = [0, 0o022, 0o077, 0o10_002][random.below(4)];
            let ours = number(pair.ours.umask(pair.me(), mask));
            let answer = Ok(pair.host.umask(mask));
            pair.same(format!("umask({mask:#o})"), &ours, &answer);
        }
        _ => {}
    }
}

/// `false` where there is no host to compare with.
fn sequence(seed: u64, users: bool) -> bool {
    let Some(mut pair) = Pair::new(&seed.to_string()) else { return false };
    let mut random = Random(seed);
    if users {
        pair.open_to_all([0o777, 0o1777, 0o3777][random.below(3)]);
    }
    for _ in 0..CALLS {
        if users && random.below(8) == 0 {
            pair.switch(random.below(USERS.len()));
        }
        step(&mut pair, &mut random);
    }
    for app in (0..USERS.len()).rev() {
        pair.switch(app);
        for fd in pair.open.keys().copied().collect::<Vec<_>>() {
            pair.close(fd);
        }
    }
    pair.compare_tree("");
    (0..USERS.len()).for_each(|app| pair.vfs.app_exited(AppId(Pair::caller(app).app.0)));
    true
}

/// Whether the host protects links as its distributors mostly have it, which is what the VFS does.
fn protects_links() -> bool {
    let set = |name: &str| std::fs::read_to_string(format!("/proc/sys/fs/protected_{name}")).unwrap_or_default();
    ["hardlinks", "symlinks", "regular"].map(|name| set(name).trim() == "1") == [true, false, false]
}

fn setting(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

#[test]
fn behaves_as_the_host_does() {
    kd_sync::install_host(&HOST);
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
    // SAFETY: no memory is read for an empty list. Groups beyond the one that an app has would show.
    let users = unsafe { libc::setgroups(0, std::ptr::null()) } == 0 && protects_links();
    if !users {
        eprintln!("not compared: users, as the host protects links in its own way or lets nobody leave groups");
    }
    for seed in seeds {
        match std::panic::catch_unwind(|| sequence(seed, users && seed.is_multiple_of(2))) {
            Ok(true) => {}
            Ok(false) => return eprintln!("not compared: /dev/shm cannot be used"),
            Err(_) => panic!("sequence {seed} differs (above); repeat it with KD_SEED={seed}"),
        }
    }
}
