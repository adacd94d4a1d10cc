//! A guest for what this machine's processor lacks: QEMU emulates one that has protection keys, boots a Linux kernel on
//! it, and the guest runs test programs of ours. Slow, and therefore good for behaviour alone: no time is taken there.
//!
//! The guest has no disk and no network. All it knows is one archive: the programs under their own paths, their
//! libraries, the driver modules beside them, and a busybox that starts them one after the other.

mod cpio;
mod files;

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use cpio::Archive;

const QEMU: &str = "qemu-system-x86_64";
const BUSYBOX: &str = "/bin/busybox";
/// What the guest says when a program ended; its status follows.
const ENDED: &str = "vm-test: ended with ";
const MEGABYTES: &str = "2048";

/// Why nothing ran in a guest, or not to the end.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// The emulator is missing.
    #[error("`{QEMU}` is not there: install the package qemu-system-x86")]
    NoEmulator,
    /// The guest's shell is missing.
    #[error("`{BUSYBOX}` is not there: install the package busybox-static")]
    NoShell,
    /// There is no kernel to boot.
    #[error(
        "there is no kernel for the guest in {0} or /boot: install the package linux-image-cloud-amd64, or unpack it \
         there (apt-get download, dpkg-deb -x), or name one with --kernel"
    )]
    NoKernel(PathBuf),
    /// The host refused something.
    #[error("the host refused: {0}")]
    Host(#[from] io::Error),
    /// It took too long.
    #[error("the guest was stopped after {0} s: give it more with --limit")]
    Late(u64),
    /// The guest ended by itself.
    #[error("the guest ended before its programs did: see its output above")]
    Broken,
}

/// A guest about to be booted.
pub struct Guest {
    kernel: PathBuf,
    archive: Archive,
    script: String,
    programs: usize,
}

impl Guest {
    /// One with this kernel, or one that is found in `folder` or where the host keeps its own.
    pub fn new(kernel: Option<&Path>, folder: &Path) -> Result<Guest, VmError> {
        if Command::new(QEMU).arg("--version").stdout(Stdio::null()).status().is_err() {
            return Err(VmError::NoEmulator);
        }
        let kernel = match kernel {
            Some(kernel) => kernel.to_path_buf(),
            None => find_kernel(folder).ok_or_else(|| VmError::NoKernel(folder.into()))?,
        };
        let mut archive = Archive::default();
        archive.file(BUSYBOX, &fs::read(BUSYBOX).map_err(|_| VmError::NoShell)?);
        for folder in ["proc", "sys", "dev", "tmp"] {
            archive.folder(folder);
        }
        let mount = |kind: &str, at: &str| format!("{BUSYBOX} mount -t {kind} {kind} {at}\n");
        let script = [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")]
            .iter()
            .fold(format!("#!{BUSYBOX} sh\n"), |script, (kind, at)| script + &mount(kind, at));
        Ok(Guest { kernel, archive, script, programs: 0 })
    }

    /// Adds a program to run, and what it needs.
    pub fn program(&mut self, program: &Path, arguments: &[String]) -> Result<(), VmError> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", program.display()));
        let program = program.canonicalize().map_err(named)?;
        files::add_with_libraries(&mut self.archive, &program)?;
        for module in files::modules_beside(&program)? {
            files::add_with_libraries(&mut self.archive, &module)?;
        }
        let quoted: Vec<String> = arguments.iter().map(|word| format!(" '{}'", word.replace('\'', r"'\''"))).collect();
        self.script += &format!("{}{}\necho \"{ENDED}$?\"\n", program.display(), quoted.concat());
        self.programs += 1;
        Ok(())
    }

    /// Boots it, passes its output through, and returns how each program ended.
    pub fn run(mut self, folder: &Path, limit: Duration, out: &mut dyn Write) -> Result<Vec<i32>, VmError> {
        self.archive.file("init", (self.script + &format!("{BUSYBOX} reboot -f\n")).as_bytes());
        fs::create_dir_all(folder)?;
        let image = folder.join(format!("initramfs-{}", std::process::id()));
        fs::write(&image, self.archive.finish())?;
        let statuses = boot(&self.kernel, &image, limit, out);
        fs::remove_file(&image)?;
        let statuses = statuses?;
        if statuses.len() < self.programs { Err(VmError::Broken) } else { Ok(statuses) }
    }
}

/// The newest kernel in a folder's `boot`, or in the host's.
fn find_kernel(folder: &Path) -> Option<PathBuf> {
    [&folder.join("boot"), Path::new("/boot")].into_iter().find_map(|folder| {
        let names = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
        names.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))).max()
    })
}

fn boot(kernel: &Path, image: &Path, limit: Duration, out: &mut dyn Write) -> Result<Vec<i32>, VmError> {
    // A processor with everything the emulator can do; two of them, so that threads meet; one line of output; a reboot
    // ends it. Without huge pages: an emulated processor takes 20 ms to clear one, which each restart of a domain would.
    let mut qemu = Command::new(QEMU)
        .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", MEGABYTES])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot"])
        .args([
            "-append",
            "console=ttyS0 quiet loglevel=0 panic=-1 mitigations=off transparent_hugepage=never random.trust_cpu=on",
        ])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(image)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let Some(output) = qemu.stdout.take() else { return Ok(Vec::new()) };
    let (lines, heard) = mpsc::channel();
    // Ends with the emulator, whose output it reads.
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if lines.send(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned()).is_err() {
                return;
            }
        }
    });
    let end = Instant::now() + limit;
    let mut statuses = Vec::new();
    let result = loop {
        match heard.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                // A program that was cut off in the middle of a line leaves the rest of it to the shell.
                let (said, status) = line.split_once(ENDED).unwrap_or((&line, ""));
                statuses.extend(status.parse::<i32>());
                if (status.is_empty() || !said.is_empty())
                    && let Err(error) = writeln!(out, "{said}")
                {
                    break Err(error.into());
                }
            }
            Err(RecvTimeoutError::Timeout) => break Err(VmError::Late(limit.as_secs())),
            Err(RecvTimeoutError::Disconnected) => break Ok(statuses),
        }
    };
    // Nothing is to be kept of it, and it may have ended already.
    let _ = qemu.kill();
    qemu.wait()?;
    result
}
