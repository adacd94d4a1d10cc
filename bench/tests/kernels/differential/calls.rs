//! Random calls, as proptest makes and shrinks them, and as one writes them down.

use kd_api::interfaces::vfs::PATH_MAX;
use kd_api::window::BULK;
use kd_boot::script::{Call, Data};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any};

use crate::random::Random;

const HANDLES: usize = 8;

/// The longest path that still fits into a message with another, below the app's directory; too long for Linux by one.
const LONGEST: usize = PATH_MAX + 1 - "/mnt/script-10/w/w/w".len();

/// Offsets and sizes up to which every file system has files.
const FAR: i64 = 1 << 40;

/// What each of one to three apps does. A failure shrinks to fewer apps and fewer calls; a call is as small as it gets.
pub fn scripts(longest: usize) -> impl Strategy<Value = Vec<Vec<Call>>> {
    let call = any::<u64>().no_shrink().prop_map(|seed| call(&mut Random(seed)));
    vec(vec(call, 0..=longest), 1..=3)
}

/// So many that do not shrink.
pub fn some(random: &mut Random, count: usize) -> Vec<Call> {
    (0..count).map(|_| call(random)).collect()
}

/// As it is written in Rust.
pub fn literal(scripts: &[Vec<Call>]) -> String {
    let script = |calls: &Vec<Call>| calls.iter().map(|call| format!("    {},\n", rust(call))).collect::<String>();
    let scripts: Vec<String> = scripts.iter().map(|calls| format!("vec![\n{}]", script(calls))).collect();
    format!("vec![{}]", scripts.join(", "))
}

/// `Debug` differs from Rust in that texts are borrowed and names of variants stand alone.
fn rust(call: &Call) -> String {
    let (mut out, mut inside, mut escaped) = (String::from("Call::"), false, false);
    for c in format!("{call:?}").chars() {
        out.push(c);
        if c == '"' && !escaped {
            inside = !inside;
            if !inside {
                out.push_str(".into()");
            }
        }
        escaped = c == '\\' && !escaped;
    }
    out
}

/// (differs: file-size.) A call with offsets and sizes that even a file system with 32-bit numbers of blocks has, and room that a disk has.
pub fn modest(call: Call) -> Call {
    match call {
        Call::Pwrite(handle, offset, data) => Call::Pwrite(handle, offset.min(FAR), data),
        Call::Lseek(handle, offset, whence) => Call::Lseek(handle, offset.min(FAR), whence),
        Call::Truncate(path, size) => Call::Truncate(path, size.min(FAR)),
        Call::Ftruncate(handle, size) => Call::Ftruncate(handle, size.min(FAR)),
        Call::Fallocate(handle, flags, offset, bytes) => {
            Call::Fallocate(handle, flags, offset.min(FAR), bytes.min(70_000))
        }
        call => call,
    }
}

fn path(random: &mut Random) -> String {
    let mut path = random.path();
    path.truncate(LONGEST);
    path
}

/// What a symbolic link says: nothing outside, where apps would meet.
fn target(random: &mut Random) -> String {
    let mut target = random.target();
    target = target.replace("..", ".");
    target.truncate(4000);
    target
}

fn call(random: &mut Random) -> Call {
    let handle = random.below(HANDLES);
    // An app's system-call port carries no more at once; longer ones are the subsystems' own differential test's.
    let length = |random: &mut Random| random.length().min(BULK);
    let data = |random: &mut Random| Data { start: random.next() as u8, length: length(random) };
    match random.below(150) {
        0..24 => Call::Open { path: path(random), flags: random.flags(), mode: random.mode() },
        24..31 => Call::Close(handle),
        31..40 => Call::Write(handle, data(random)),
        40..48 => Call::Read(handle, length(random)),
        48..53 => Call::Pwrite(handle, random.offset(), data(random)),
        53..55 => {
            let (at, size) = blocks(random);
            // Now and then fewer bytes than the blocks have.
            let length = at.len() * size - random.below(40) / 39;
            Call::PwriteMany(handle, at, size, Data { start: random.next() as u8, length })
        }
        55..59 => Call::Pread(handle, random.offset(), length(random)),
        59..61 => {
            let (at, size) = blocks(random);
            Call::PreadMany(handle, at, size)
        }
        61..66 => Call::Lseek(handle, random.seek(), [0, 1, 2, 9][random.below(4)]),
        66..68 => Call::Fsync(handle),
        68..75 => Call::Stat(path(random)),
        75..81 => Call::Mkdir(path(random), random.mode()),
        81..86 => Call::Unlink(path(random)),
        86..93 => Call::Rename(path(random), path(random), random.moving()),
        93..96 => Call::Getdents(handle, [0, 23, 24, 48, 300, 4096][random.below(6)]),
        96..99 => Call::Pipe,
        99..100 => Call::Getpid,
        100..107 => Call::Link(path(random), path(random)),
        107..114 => Call::Symlink(target(random), path(random)),
        114..116 => Call::Readlink(path(random), [0, 3, 5000][random.below(3)]),
        116..121 => Call::Rmdir(path(random)),
        121..124 => Call::Ftruncate(handle, random.size()),
        124..127 => Call::Truncate(path(random), random.size()),
        127..130 => {
            let (flags, offset) = ([0, 1, 0x1000][random.below(3)], random.offset());
            Call::Fallocate(handle, flags, offset, [0, -1, 1, 4096, 70_000, i64::MAX][random.below(6)])
        }
        130..132 => Call::Fdatasync(handle),
        132..133 => Call::Sync,
        133..135 => Call::Dup(handle),
        135..138 => Call::Fstat(handle),
        138..142 => Call::Lstat(path(random)),
        142..144 => Call::Chmod(path(random), [0o755, 0o1777, 0o640, 0o511, 0][random.below(5)]),
        // A private namespace of the host knows one user.
        144..145 => Call::Chown(path(random), [0, u32::MAX][random.below(2)], [0, u32::MAX][random.below(2)]),
        145..148 => Call::Utimens(path(random), random.time(), random.time()),
        148..149 => Call::Statfs(path(random)),
        _ => Call::Umask([0, 0o022, 0o077, 0o10_002][random.below(4)]),
    }
}

/// Some blocks: mostly apart, now and then anywhere.
fn blocks(random: &mut Random) -> (Vec<u64>, usize) {
    let (count, size) = (1 + random.below(8), [1, 100, 512, 4096, 9000][random.below(5)]);
    let apart = random.below(4) > 0;
    let at = |number: usize| match apart {
        true => ((number * 5 + 3) % 8 * size) as u64,
        false => random.offset() as u64,
    };
    ((0..count).map(at).collect(), size)
}

#[test]
fn a_script_is_written_as_rust() {
    let open = Call::Open { path: "/a\"\\".into(), flags: 1, mode: 0 };
    let scripts = vec![vec![open, Call::Write(0, Data { start: 1, length: 2 })], vec![]];
    let expected = "vec![vec![\n    Call::Open { path: \"/a\\\"\\\\\".into(), flags: 1, mode: 0 },\n    \
                    Call::Write(0, Data { start: 1, length: 2 }),\n], vec![\n]]";
    assert_eq!(literal(&scripts), expected);
}
