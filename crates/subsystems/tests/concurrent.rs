//! Several apps inside at once: what waits keeps nobody out, renames do not lock each other up, and the tree that
//! remains is a tree.

mod common;
#[path = "differential/random.rs"]
#[allow(dead_code)]
mod random;

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread::scope;

use kd_api::interfaces::fs::Kind;
use kd_api::interfaces::syscalls::Syscalls;
use kd_api::interfaces::vfs::open;
use kd_api::{AppId, Caller, Errno, InBuf, OutBuf};
use kd_subsystems::syscalls::SyscallTable;
use random::Random;

#[test]
fn a_waiting_reader_keeps_nobody_out() {
    let (sys, vfs) = common::boot();
    let (reader, other) = (Caller::app(1), Caller::app(2));
    let (reading, writing) = sys.pipe(reader).expect("made");
    scope(|s| {
        let waiting = s.spawn(|| {
            let mut byte = [0];
            sys.read(reader, reading, &mut OutBuf::new(&mut byte)).map(|count| (count, byte[0]))
        });
        for _ in 0..1000 {
            let fd = sys.open(other, "/f", open::CREAT | open::RDWR, 0o644).expect("opened");
            assert_eq!(sys.write(other, fd, &mut InBuf::new(b"x")), Ok(1));
            assert_eq!(sys.close(other, fd), Ok(()));
            // The waiting app's own table is free as well.
            let fd = sys.open(reader, "/f", open::RDONLY, 0).expect("opened");
            assert_eq!(sys.close(reader, fd), Ok(()));
        }
        assert!(!waiting.is_finished());
        assert_eq!(sys.write(reader, writing, &mut InBuf::new(b"!")), Ok(1));
        assert_eq!(waiting.join().expect("no panic"), Ok((1, b'!')));

        let waiting = s.spawn(|| sys.read(reader, reading, &mut OutBuf::new(&mut [0])));
        vfs.app_exited(AppId(1));
        assert!(matches!(waiting.join().expect("no panic"), Ok(0) | Err(Errno::EBADF)), "the end, or came too late");
    });
}

/// Links of every directory are 2 and one for each subdirectory; returns how many names were seen.
fn check(sys: &SyscallTable, app: Caller, path: &str) -> u64 {
    let fd = sys.open(app, path, open::DIRECTORY, 0).expect("a directory");
    let (mut names, mut subdirectories) = (0, 0);
    let mut bytes = vec![0; 4096];
    loop {
        let count = sys.getdents64(app, fd, &mut OutBuf::new(&mut bytes)).expect("listed");
        let mut rest = &bytes[..count];
        if count == 0 {
            break;
        }
        while !rest.is_empty() {
            let length = usize::from(u16::from_le_bytes([rest[16], rest[17]]));
            let name = rest[19..length].split(|byte| *byte == 0).next().expect("at least one piece");
            let name = std::str::from_utf8(name).expect("ASCII").to_owned();
            rest = &rest[length..];
            let mount_point = path == "/" && ["dev", "proc", "mnt"].contains(&&*name);
            if name == "." || name == ".." || mount_point {
                subdirectories += u32::from(mount_point);
                continue;
            }
            names += 1;
            let below = format!("{}/{name}", path.trim_end_matches('/'));
            let stat = sys.stat(app, &below).expect("just listed");
            if stat.kind == Kind::Directory {
                subdirectories += 1;
                names += check(sys, app, &below);
            } else {
                assert_eq!(stat.links, 1, "{below}");
            }
        }
    }
    assert_eq!(sys.close(app, fd), Ok(()));
    assert_eq!(sys.stat(app, path).map(|stat| stat.links), Ok(2 + subdirectories), "{path}");
    names
}

#[test]
fn renames_in_all_directions_leave_a_tree() {
    const THREADS: u32 = 4;
    let (sys, vfs) = common::boot();
    let renamed = AtomicU64::new(0);
    scope(|s| {
        for app in 1..=THREADS {
            let (sys, vfs, renamed) = (&sys, &vfs, &renamed);
            s.spawn(move || {
                let caller = Caller::app(app);
                let mut random = Random(app.into());
                for _ in 0..20_000 {
                    let (one, other) = (random.path(), random.path());
                    match random.below(6) {
                        0 => drop(sys.mkdir(caller, &one, 0o755)),
                        1 => drop(sys.unlink(caller, &one)),
                        2 => {
                            if let Ok(fd) = sys.open(caller, &one, open::CREAT | open::RDWR, 0o644) {
                                assert_eq!(sys.pwrite(caller, fd, 4000, &mut InBuf::new(&[app as u8; 200])), Ok(200));
                                let mut back = [0; 1];
                                assert_eq!(sys.pread(caller, fd, 4199, &mut OutBuf::new(&mut back)), Ok(1));
                                assert!((1..=THREADS as u8).contains(&back[0]));
                                assert_eq!(sys.close(caller, fd), Ok(()));
                            }
                        }
                        3 => drop(sys.stat(caller, &one)),
                        _ => drop(sys.rename(caller, &one, &other, 0).map(|()| renamed.fetch_add(1, SeqCst))),
                    }
                }
                vfs.app_exited(caller.app);
            });
        }
    });
    assert!(renamed.load(SeqCst) > 1000, "the test tests something: {renamed:?}");
    assert!(check(&sys, Caller::app(9), "/") > 0);
}

#[test]
fn a_name_that_is_replaced_is_there_all_the_time() {
    const ROUNDS: u32 = 20_000;
    let (sys, _) = common::boot();
    let (writer, reader) = (Caller::app(1), Caller::app(2));
    let make = |path, mode| {
        let fd = sys.open(writer, path, open::CREAT | open::WRONLY, mode)?;
        sys.close(writer, fd)
    };
    assert_eq!((make("/x", 0o600), sys.symlink(writer, "x", "/l")), (Ok(()), Ok(())));
    let done = AtomicU64::new(0);
    scope(|s| {
        s.spawn(|| {
            for round in 0..ROUNDS {
                assert_eq!(make("/new", 0o600), Ok(()));
                assert_eq!(sys.rename(writer, "/new", "/x", 0), Ok(()));
                assert_eq!(sys.chmod(writer, "/x", 0o600 | (round % 8)), Ok(()));
                assert_eq!(sys.stat(writer, "/x").map(|stat| u32::from(stat.mode)), Ok(0o600 | (round % 8)));
                assert_eq!(sys.stat(writer, "/new"), Err(Errno::ENOENT));
            }
            done.store(1, SeqCst);
        });
        while done.load(SeqCst) == 0 {
            assert!(sys.stat(reader, "/x").is_ok());
            let fd = sys.open(reader, "/l", open::RDONLY, 0).expect("there all the time");
            assert!(sys.fstat(reader, fd).is_ok_and(|stat| stat.kind == Kind::File));
            assert_eq!(sys.close(reader, fd), Ok(()));
            // What comes and goes may be either.
            assert!(matches!(sys.stat(reader, "/new").map(drop), Ok(()) | Err(Errno::ENOENT)));
        }
    });
}
