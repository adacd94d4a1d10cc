//! Every fault in a real victim: a process of its own that loads the shipped RAM disk and reads a sector when told to.
//!
//! The victim is this program again, run as the test [`victim`] with a variable set.
#![cfg(target_arch = "x86_64")]

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use kd_faults::fault::{SMASH, SMASHED, WILD};
use kd_faults::{Armed, Fault, InjectError, Room, Site, find_pattern, inject, peek};
use kd_nucleus::module::ModuleFile;

mod child;

/// A victim, told what to do line by line.
struct Victim {
    process: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// What it said at its start: base, room (code, data), somebody else's object, the heap's descriptor.
    facts: Vec<usize>,
}

impl Victim {
    fn start() -> Victim {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child::victim", "--nocapture", "--test-threads=1"]).env(child::VARIABLE, "1");
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (ask, answers) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut victim = Victim { process, ask, answers, facts: Vec::new() };
        let facts = victim.answer().expect("the victim starts");
        victim.facts = facts.split(' ').map(|fact| fact.parse().unwrap()).collect();
        victim
    }

    fn pid(&self) -> i32 {
        self.process.id() as i32
    }

    fn room(&self) -> Room {
        Room { code: self.facts[1], data: self.facts[2] }
    }

    fn site(&self) -> Site {
        let file = ModuleFile::find("ramdisk").unwrap();
        Site::in_file(file.bytes(), self.facts[0], "Ramdisk::locate").unwrap()
    }

    fn arm(&self, fault: Fault, execution: u64) -> Result<Armed, InjectError> {
        let wild = Some(self.facts[3]);
        inject(self.pid(), &self.site(), self.room(), fault, NonZeroU64::new(execution).unwrap(), wild)
    }

    /// Tells it to do something without waiting for an answer.
    fn tell(&mut self, what: &str) {
        writeln!(self.ask, "{what}").unwrap();
    }

    /// Its next answer; none if it is gone.
    fn answer(&mut self) -> Option<String> {
        // libtest's own lines, and the start of one that an answer is appended to, are passed over.
        loop {
            let mut line = String::new();
            if self.answers.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some((_, answer)) = line.trim_end().split_once("kd: ") {
                return Some(answer.into());
            }
        }
    }

    fn ask(&mut self, what: &str) -> Option<String> {
        self.tell(what);
        self.answer()
    }

    /// Two reads that must be right, then the third, at which an armed fault happens.
    fn third_read(&mut self, armed: &Armed) -> Option<String> {
        for executions in 1..3 {
            assert_eq!(self.ask("read 4").as_deref(), Some("4"));
            assert_eq!((armed.executions().unwrap(), armed.fired().unwrap()), (executions, false));
        }
        self.ask("read 4")
    }

    /// How it ended: its signal, or its exit code.
    fn end(&mut self) -> Result<i32, i32> {
        let status = self.process.wait().unwrap();
        status.signal().map_or_else(|| Err(status.code().unwrap()), Ok)
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Nothing to kill if it has ended, as most have.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The fault ends the victim at its third read, by this signal.
fn ends_by(fault: Fault, signal: i32) {
    let mut victim = Victim::start();
    let armed = victim.arm(fault, 3).unwrap();
    assert_eq!(victim.third_read(&armed), None);
    assert_eq!(victim.end(), Ok(signal), "{fault:?}");
}

#[test]
fn a_null_dereference_is_a_segmentation_fault() {
    ends_by(Fault::NullDereference, libc::SIGSEGV);
}

#[test]
fn a_write_to_the_text_is_a_segmentation_fault() {
    ends_by(Fault::WriteReadOnly, libc::SIGSEGV);
}

#[test]
fn a_stack_overflow_is_a_segmentation_fault() {
    ends_by(Fault::StackOverflow, libc::SIGSEGV);
}

#[test]
fn abort_is_the_c_librarys() {
    ends_by(Fault::Abort, libc::SIGABRT);
}

#[test]
fn a_panic_ends_at_the_fence() {
    let mut victim = Victim::start();
    let armed = victim.arm(Fault::Panic, 3).unwrap();
    let said = victim.third_read(&armed);
    assert_eq!(said.as_deref(), Some("panicked at injected:1:1: index out of bounds: the len is 0 but the index is 7"));
    assert_eq!(victim.end(), Err(child::PANICKED));
}

#[test]
fn an_endless_loop_stays_in_the_payload_until_it_is_killed() {
    let mut victim = Victim::start();
    let armed = victim.arm(Fault::EndlessLoop, 1).unwrap();
    victim.tell("read 4");
    while !armed.fired().unwrap() {
        std::thread::yield_now();
    }
    // It goes on burning processor time.
    let cpu = |victim: &Victim| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", victim.pid())).unwrap();
        stat.rsplit(')').next().unwrap().split(' ').nth(12).unwrap().parse::<u64>().unwrap()
    };
    let before = cpu(&victim);
    while cpu(&victim) < before + 5 {
        std::thread::yield_now();
    }
    assert_eq!(armed.executions().unwrap(), 1);
    victim.process.kill().unwrap();
    assert_eq!(victim.end(), Ok(libc::SIGKILL));
}

#[test]
fn a_wild_write_hits_its_target_alone_and_the_driver_goes_on() {
    let mut victim = Victim::start();
    let armed = victim.arm(Fault::WildWrite, 3).unwrap();
    let object = |victim: &Victim| peek(victim.pid(), victim.facts[3] - 8, 24).unwrap();
    assert_eq!(object(&victim), [child::OBJECT; 24]);
    assert_eq!(victim.third_read(&armed).as_deref(), Some("4"));
    assert_eq!(object(&victim), [[child::OBJECT; 8], WILD, [child::OBJECT; 8]].concat());
    assert!(armed.fired().unwrap());
    assert_eq!(victim.ask("read 5").as_deref(), Some("5"));
    assert_eq!(armed.executions().unwrap(), 4);
    victim.tell("end");
    assert_eq!(victim.end(), Err(0));
}

#[test]
fn a_smashed_heap_is_smashed_upwards_from_the_drivers_object() {
    let mut victim = Victim::start();
    let file = File::open(format!("/proc/{}/fd/{}", victim.pid(), victim.facts[4])).unwrap();
    let look = || {
        let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    };
    let before = look();
    victim.arm(Fault::HeapSmash, 1).unwrap();
    // The driver finds its medium through the object that was smashed.
    assert_eq!(victim.ask("read 4"), None);
    assert_eq!(victim.end(), Ok(libc::SIGSEGV));
    let after = look();
    let start = after.windows(SMASHED).position(|window| window.iter().all(|&byte| byte == SMASH)).unwrap();
    let longest_request = (1u64 << 20).to_le_bytes();
    assert!(before[start..start + 48].chunks(8).any(|word| word == longest_request), "this was the driver's object");
    assert!(before[..start] == after[..start] && before[start + SMASHED..] == after[start + SMASHED..]);
}

#[test]
fn wrong_data_is_the_neighbours_once() {
    let mut victim = Victim::start();
    let armed = victim.arm(Fault::WrongData, 3).unwrap();
    assert_eq!(victim.third_read(&armed).as_deref(), Some("5"));
    assert_eq!(victim.ask("read 4").as_deref(), Some("4"));
}

#[test]
fn injecting_under_load_disturbs_no_thread() {
    let mut victim = Victim::start();
    victim.tell("load 2");
    let armed = victim.arm(Fault::Abort, u64::MAX).unwrap();
    while armed.executions().unwrap() < 100_000 {
        std::thread::yield_now();
    }
    victim.tell("end");
    assert_eq!(victim.end(), Err(0));
}

#[test]
fn a_function_of_the_program_itself_is_reached_by_a_far_jump() {
    let mut victim = Victim::start();
    let site = Site::in_program(victim.pid(), "child::answer_of").unwrap();
    assert!(site.address.abs_diff(victim.room().code) > 1 << 31);
    assert_eq!(victim.ask("compute 6").as_deref(), Some("43"));
    let execution = NonZeroU64::new(2).unwrap();
    let armed = inject(victim.pid(), &site, victim.room(), Fault::EndlessLoop, execution, None).unwrap();
    assert_eq!(victim.ask("compute 6").as_deref(), Some("43"));
    assert_eq!(armed.executions().unwrap(), 1);
    victim.tell("compute 6");
    while !armed.fired().unwrap() {
        std::thread::yield_now();
    }
    victim.process.kill().unwrap();
    assert_eq!(victim.end(), Ok(libc::SIGKILL));
}

#[test]
fn what_cannot_be_injected_is_refused_and_changes_nothing() {
    let mut victim = Victim::start();
    let site = victim.site();
    let text = peek(victim.pid(), site.address, site.code.len()).unwrap();
    let once = NonZeroU64::MIN;
    let refused = |site: &Site, fault, wild| inject(victim.pid(), site, victim.room(), fault, once, wild).unwrap_err();
    assert!(matches!(refused(&site, Fault::WildWrite, None), InjectError::Needs(_)));
    let unpanicking = Site { panic: None, ..site.clone() };
    assert!(matches!(refused(&unpanicking, Fault::Panic, None), InjectError::Needs(_)));
    let short = Site { code: site.code[..4].to_vec(), ..site.clone() };
    assert!(matches!(refused(&short, Fault::Abort, None), InjectError::TooShort { .. } | InjectError::Undecodable(_)));
    let elsewhere = Site { address: site.address + 16, ..site.clone() };
    assert!(matches!(refused(&elsewhere, Fault::Abort, None), InjectError::NotTheCode));
    let taken = Room { code: victim.room().code, data: victim.facts[3] };
    assert_eq!(peek(victim.pid(), site.address, site.code.len()).unwrap(), text);
    let armed = victim.arm(Fault::WrongData, 9).unwrap();
    assert!(matches!(victim.arm(Fault::Abort, 1), Err(InjectError::NotTheCode)));
    let other = Site::in_program(victim.pid(), "child::answer_of").unwrap();
    let error = inject(victim.pid(), &other, taken, Fault::Abort, once, None).unwrap_err();
    assert!(matches!(error, InjectError::RoomTaken), "{error}");
    assert_eq!(victim.ask("read 4").as_deref(), Some("4"));
    assert_eq!(armed.executions().unwrap(), 1);
    let file = ModuleFile::find("ramdisk").unwrap();
    assert!(matches!(Site::in_file(file.bytes(), 0, "no such function"), Err(InjectError::NoSymbol(_))));
    victim.tell("end");
    assert_eq!(victim.end(), Err(0));
    let gone = inject(i32::MAX, &site, taken, Fault::NullDereference, once, None).unwrap_err();
    assert!(matches!(gone, InjectError::Host { .. }), "{gone}");
}

#[test]
fn a_live_objects_bytes_are_found_from_outside() {
    let mut victim = Victim::start();
    let at = victim.facts[3];
    let found = find_pattern(victim.pid(), at - 4096..at + 4096, &[child::OBJECT; 16]).unwrap();
    assert!(found.contains(&at) && found.iter().all(|found| found.abs_diff(at) <= 64), "{found:?}");
    victim.tell("end");
    assert_eq!(victim.end(), Err(0));
}
