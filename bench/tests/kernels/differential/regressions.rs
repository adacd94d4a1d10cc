//! Scripts on which kernels once disagreed, or that hold a rule which is easy to break: each as small as it got.

use kd_api::interfaces::vfs::open;
use kd_boot::script::{Call, Data};

/// What each is about, and the calls of each app.
pub fn all() -> Vec<(&'static str, Vec<Vec<Call>>)> {
    let open = |path: &str, flags| Call::Open { path: path.into(), flags, mode: 0o644 };
    let rw = open::CREAT | open::RDWR;
    let bytes = |length| Data { start: 7, length };
    vec![
        (
            "a file that is cut and grows again has zeros where it was cut",
            vec![vec![
                open("/a", rw),
                Call::Pwrite(0, 0, bytes(5000)),
                Call::Ftruncate(0, 100),
                Call::Ftruncate(0, 4096),
                Call::Pread(0, 0, 5000),
            ]],
        ),
        (
            "an unlinked file can be used while it is open, and its name is free",
            vec![vec![
                open("/a", rw),
                Call::Unlink("/a".into()),
                Call::Write(0, bytes(10)),
                open("/a", rw | open::EXCL),
                Call::Fstat(0),
                Call::Pread(0, 0, 20),
            ]],
        ),
        (
            "a directory does not move into itself, nor change places with what is in it",
            vec![vec![
                Call::Mkdir("/a".into(), 0o755),
                Call::Mkdir("/a/b".into(), 0o755),
                Call::Rename("/a".into(), "/a/b/c".into(), 0),
                Call::Rename("/a".into(), "/a/b".into(), 2),
                Call::Rename("/a/b".into(), "/a".into(), 0),
            ]],
        ),
        (
            "a removed directory that is open takes no names",
            vec![vec![
                Call::Mkdir("/a".into(), 0o755),
                open("/a", open::DIRECTORY),
                Call::Rmdir("/a".into()),
                Call::Getdents(0, 4096),
                Call::Fstat(0),
                open("/a/b", rw),
            ]],
        ),
        (
            "writes of one app to its own file do not show in another's",
            vec![
                vec![open("/a", rw), Call::Write(0, bytes(4096)), Call::Fsync(0), Call::Pread(0, 0, 4096)],
                vec![
                    open("/a", rw),
                    Call::Write(0, Data { start: 8, length: 4097 }),
                    Call::Sync,
                    Call::Stat("/a".into()),
                ],
            ],
        ),
    ]
}
