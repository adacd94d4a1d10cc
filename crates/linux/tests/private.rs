//! Entering and using the private tmpfs, in processes of its own; a host that refuses it is said and is no failure.
//!
//! Without libtest, because that runs several threads: this program starts itself again for each case, by name.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use kd_api::interfaces::fs::{Kind, rename};
use kd_api::interfaces::syscalls::Syscalls;
use kd_api::interfaces::vfs::{PATH_MAX, allocate, open, seek, time};
use kd_api::{Caller, Errno, Fd, InBuf, OutBuf};
use kd_linux::{EnterError, HostFolder, RAM0, enter_private_tmpfs, enter_with_folder};

const CASES: &[(&str, fn())] = &[
    ("it_is_empty_but_for_its_devices", it_is_empty_but_for_its_devices),
    ("calls_answer_as_the_host_does", calls_answer_as_the_host_does),
    ("links_attributes_and_room_are_the_hosts", links_attributes_and_room_are_the_hosts),
    ("pipes_carry_bytes_and_end", pipes_carry_bytes_and_end),
    ("threads_are_refused", threads_are_refused),
];
const APP: Caller = Caller::app(1);

fn main() -> ExitCode {
    if let Some(name) = std::env::args().nth(1) {
        if let Some((_, case)) = CASES.iter().find(|(case, _)| *case == name) {
            case();
        } else if name == "stay" {
            enter();
            say("inside");
            std::io::stdin().read_exact(&mut [0]).expect("the parent speaks");
        } else if let Some(folder) = name.strip_prefix("write-to=") {
            write_at_mnt(Path::new(folder));
        }
        return ExitCode::SUCCESS;
    }
    let mut probe = start("stay");
    let mut said = String::new();
    BufReader::new(probe.stdout.as_mut().expect("piped")).read_line(&mut said).expect("readable");
    if said != "inside\n" {
        assert!(probe.wait().expect("a child").success(), "entering failed without an EnterError");
        println!("skipped: {said}");
        return ExitCode::SUCCESS;
    }
    nothing_shows_outside(&mut probe);
    what_is_written_at_mnt_is_in_the_folder();
    for (name, _) in CASES {
        let status = start(name).wait().expect("a child");
        assert!(status.success(), "{name}: {status}");
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

fn start(name: &str) -> Child {
    let program = std::env::current_exe().expect("a running program has a file");
    Command::new(program).arg(name).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it can start itself")
}

fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().expect("a pipe");
}

fn enter() -> kd_linux::Linux {
    enter_private_tmpfs().unwrap_or_else(|refused| {
        say(&refused.to_string());
        std::process::exit(0)
    })
}

/// While a process is inside, the mounts of this one are what they are without it.
fn nothing_shows_outside(inside: &mut Child) {
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
    let during = mounts();
    inside.stdin.as_mut().expect("piped").write_all(b"!").expect("it listens");
    assert!(inside.wait().expect("a child").success());
    assert_eq!(during, mounts());
    println!("test nothing_shows_outside ... ok");
}

fn write_at_mnt(folder: &Path) {
    let linux = enter_with_folder(folder).expect("entering works without a folder");
    let fd = linux.open(APP, "/mnt/f", open::CREAT | open::WRONLY, 0o600).expect("a new file");
    assert_eq!(linux.write(APP, fd, &mut InBuf::new(b"stored")), Ok(6));
    assert_eq!(linux.fsync(APP, fd), Ok(()));
    assert_eq!(names(&linux, "/mnt"), [".", "..", "f"]);
    assert_eq!(names(&linux, "/"), [".", "..", "dev", "mnt"]);
}

fn what_is_written_at_mnt_is_in_the_folder() {
    let folder = HostFolder::new(&std::env::temp_dir()).expect("the temporary folder is writable");
    let name = format!("write-to={}", folder.path().display());
    assert!(start(&name).wait().expect("a child").success());
    assert_eq!(std::fs::read(folder.path().join("f")).expect("it is there"), b"stored");
    println!("test what_is_written_at_mnt_is_in_the_folder ... ok");
}

fn names(linux: &impl Syscalls, path: &str) -> Vec<String> {
    let fd = linux.open(APP, path, open::RDONLY | open::DIRECTORY, 0).expect("it is a directory");
    let mut bytes = [0; 1024];
    let count = linux.getdents64(APP, fd, &mut OutBuf::new(&mut bytes)).expect("readable");
    linux.close(APP, fd).expect("open");
    let (mut names, mut at) = (Vec::new(), 0);
    while at < count {
        let name = bytes[at + 19..].split(|byte| *byte == 0).next().expect("split gives one at least");
        names.push(String::from_utf8(name.to_vec()).expect("made as text"));
        at += usize::from(u16::from_le_bytes([bytes[at + 16], bytes[at + 17]]));
    }
    names.sort();
    names
}

fn it_is_empty_but_for_its_devices() {
    let linux = enter();
    assert_eq!(names(&linux, "/"), [".", "..", "dev", "mnt"]);
    assert_eq!(names(&linux, "/mnt"), [".", ".."]);
    assert_eq!(names(&linux, "/dev"), [".", "..", "ram0", "vda"]);
    let ram0 = linux.stat(APP, "/dev/ram0").expect("it is there");
    assert_eq!((ram0.kind, ram0.size), (Kind::File, RAM0 as u64));
    assert_eq!(linux.getpid(APP), Ok(std::process::id()));
    assert_eq!(linux.null(), Ok(()));
}

fn calls_answer_as_the_host_does() {
    let linux = enter();
    let flags = open::CREAT | open::EXCL | open::RDWR;
    let fd = linux.open(APP, "/file", flags, 0o666).expect("a new file");
    let mut data = InBuf::new(b"abcdef");
    assert_eq!((linux.write(APP, fd, &mut data), data.remaining()), (Ok(6), 0));
    assert_eq!(linux.pwrite(APP, fd, 1, &mut InBuf::new(b"XY")), Ok(2));
    assert_eq!(linux.lseek(APP, fd, -4, seek::END), Ok(2));
    let mut bytes = [0; 10];
    let mut out = OutBuf::new(&mut bytes);
    // What is written lands behind what an `OutBuf` holds already.
    out.write(b">");
    assert_eq!((linux.read(APP, fd, &mut out), out.written(), out.remaining()), (Ok(4), 5, 5));
    assert_eq!(linux.pread(APP, fd, 0, &mut out), Ok(5));
    assert_eq!(&bytes, b">YdefaXYde");
    assert_eq!(linux.fsync(APP, fd), Ok(()));
    let stat = linux.stat(APP, "/file").expect("it is there");
    assert_eq!((stat.kind, stat.mode, stat.links, stat.size), (Kind::File, 0o666, 1, 6));

    assert_eq!(linux.open(APP, "/file", flags, 0o666), Err(Errno::EEXIST));
    assert_eq!(linux.mkdir(APP, "/dir", 0o777), Ok(()));
    assert_eq!(linux.stat(APP, "/dir").map(|stat| (stat.kind, stat.mode)), Ok((Kind::Directory, 0o777)));
    assert_eq!(linux.rename(APP, "/file", "/dir/moved", 0), Ok(()));
    assert_eq!(linux.stat(APP, "/file"), Err(Errno::ENOENT));
    assert_eq!(linux.unlink(APP, "/dir"), Err(Errno::EISDIR));
    assert_eq!(linux.unlink(APP, "/dir/moved"), Ok(()));
    assert_eq!(names(&linux, "/dir"), [".", ".."]);

    assert_eq!(linux.close(APP, fd), Ok(()));
    assert_eq!(linux.close(APP, fd), Err(Errno::EBADF));
    assert_eq!(linux.pread(APP, Fd(-1), 0, &mut OutBuf::new(&mut [0])), Err(Errno::EBADF));
    assert_eq!(linux.stat(APP, ""), Err(Errno::ENOENT));
    assert_eq!(linux.stat(APP, "/dir\0gone"), Err(Errno::EINVAL));
    assert_eq!(linux.stat(APP, &"/".repeat(PATH_MAX)).map(|stat| stat.kind), Ok(Kind::Directory));
    assert_eq!(linux.stat(APP, &"/".repeat(PATH_MAX + 1)), Err(Errno::ENAMETOOLONG));
}

fn links_attributes_and_room_are_the_hosts() {
    let linux = enter();
    let fd = linux.open(APP, "/f", open::CREAT | open::RDWR, 0o644).expect("a new file");
    assert_eq!(linux.ftruncate(APP, fd, 10_000), Ok(()));
    assert_eq!(linux.fallocate(APP, fd, allocate::KEEP_SIZE, 0, 4096), Ok(()));
    assert_eq!(linux.fstat(APP, fd).map(|stat| (stat.size, stat.blocks)), Ok((10_000, 8)));
    assert_eq!(linux.truncate(APP, "/f", 5), Ok(()));
    let again = linux.dup(APP, fd).expect("open");
    assert_eq!((linux.close(APP, fd), linux.lseek(APP, again, 0, seek::END)), (Ok(()), Ok(5)));
    assert_eq!((linux.fdatasync(APP, again), linux.sync(APP), linux.close(APP, again)), (Ok(()), Ok(()), Ok(())));

    assert_eq!(linux.link(APP, "/f", "/g"), Ok(()));
    assert_eq!(linux.symlink(APP, "f", "/l"), Ok(()));
    let mut room = [0; 4];
    assert_eq!((linux.readlink(APP, "/l", &mut OutBuf::new(&mut room)), &room), (Ok(1), b"f\0\0\0"));
    assert_eq!(linux.lstat(APP, "/l").map(|stat| (stat.kind, stat.size)), Ok((Kind::Symlink, 1)));
    assert_eq!(linux.stat(APP, "/l").map(|stat| (stat.kind, stat.links)), Ok((Kind::File, 2)));
    assert_eq!(linux.rename(APP, "/g", "/l", rename::NOREPLACE), Err(Errno::EEXIST));
    assert_eq!(linux.rename(APP, "/g", "/l", rename::EXCHANGE), Ok(()));
    assert_eq!(linux.lstat(APP, "/g").map(|stat| stat.kind), Ok(Kind::Symlink));

    assert_eq!((linux.umask(APP, 0o22), linux.umask(APP, 0)), (Ok(0), Ok(0o22)));
    assert_eq!(linux.chmod(APP, "/f", 0o600), Ok(()));
    assert_eq!(linux.utimens(APP, "/f", 1_000_000_007, time::OMIT), Ok(()));
    let stat = linux.stat(APP, "/f").expect("it is there");
    assert!((stat.mode, stat.atime) == (0o600, 1_000_000_007) && stat.mtime > stat.atime, "{stat:?}");
    assert_eq!(linux.chown(APP, "/f", 0, u32::MAX), Ok(()));
    assert_eq!((linux.mkdir(APP, "/d", 0o755), linux.rmdir(APP, "/d")), (Ok(()), Ok(())));
    assert_eq!(linux.statfs(APP, "/").map(|stat| stat.block_size), Ok(4096));
    assert_eq!(linux.set_user(APP, 0, 0), Ok(()));
    let other = linux.set_user(APP, 12_345, 12_345);
    assert!(matches!(other, Ok(()) | Err(Errno::EPERM)), "one user only may be mapped: {other:?}");
}

fn pipes_carry_bytes_and_end() {
    let linux = enter();
    let (reader, writer) = linux.pipe(APP).expect("a pipe");
    assert_eq!(linux.write(APP, writer, &mut InBuf::new(b"ab")), Ok(2));
    let mut bytes = [0; 3];
    assert_eq!(linux.read(APP, reader, &mut OutBuf::new(&mut bytes)), Ok(2));
    assert_eq!(&bytes, b"ab\0");
    assert_eq!(linux.lseek(APP, reader, 0, seek::SET), Err(Errno::ESPIPE));
    linux.close(APP, reader).expect("open");
    // Not a signal: that would end this process.
    assert_eq!(linux.write(APP, writer, &mut InBuf::new(b"c")), Err(Errno::EPIPE));
}

fn threads_are_refused() {
    let (_hold, held) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || held.recv());
    assert!(matches!(enter_private_tmpfs(), Err(EnterError::Threads)));
}
