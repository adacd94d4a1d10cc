//! A rig: the processes or threads of one cell, started afresh, made to go round and round.
//!
//! It is this program, executed again: what it is to be stands on its command line as JSON. It is told numbers of
//! rounds on its standard input and answers with the times they took; when its input ends, so does it, and its servers
//! with it. It has a process group of its own, so that an interrupt from a terminal ends the harness and leaves it the
//! moment to put away what a peer keeps in the file system.

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use kd_nucleus::process;
use kernel_debate::experiments::ipc::Cell;
use serde::{Deserialize, Serialize};

use crate::peers::{self, Actors, Ask, Body};

/// Before the order on a rig's command line.
const FLAG: &str = "--rig";
/// A rig that is silent for so long has failed.
const SILENCE: Duration = Duration::from_secs(20);

/// What a rig is to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The name of the means.
    pub name: String,
    /// How it waits.
    pub wait: String,
    /// Servers, one behind the other.
    pub servers: usize,
    /// Bytes of an answer.
    pub bytes: usize,
    /// Cores to use: actors take turns on them.
    pub cores: Vec<usize>,
}

impl Order {
    /// The cores of an actor; 0 is the client. Who waits by `adaptive` asks how many cores it may use, and would sleep
    /// at once on one: it alone is not bound to one of two.
    pub fn place(&self, actor: usize) -> &[usize] {
        let at = actor % self.cores.len();
        if self.wait == "adaptive" { &self.cores } else { &self.cores[at..=at] }
    }
}

/// The order, if this process is to be a rig.
pub fn ordered() -> Option<Order> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [flag, order] if flag == FLAG => serde_json::from_str(order).ok(),
        _ => None,
    }
}

/// What so many rounds took.
pub struct Batch {
    /// Time that went by.
    pub time: Duration,
    /// CPU time of all the rig's processes.
    pub cpu_time: Duration,
}

/// A rig as the harness holds it.
pub struct Rig {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Rig {
    /// Starts one.
    ///
    /// # Errors
    /// The host's.
    pub fn new(cell: &Cell, cores: &[usize]) -> io::Result<Rig> {
        let order = Order {
            name: cell.means.name.into(),
            wait: cell.means.wait.into(),
            servers: cell.exchange.servers as usize,
            bytes: cell.exchange.bytes,
            cores: cores.into(),
        };
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(FLAG).arg(serde_json::to_string(&order)?).process_group(0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let answers = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Rig { child, answers: BufReader::new(answers) })
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Goes so many rounds.
    ///
    /// # Errors
    /// The rig ended, which it does after a wrong answer, or is silent.
    pub fn run(&mut self, rounds: u64) -> io::Result<Batch> {
        let input = self.child.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(input, "{rounds}")?;
        if !process::poll(&[self.answers.get_ref().as_raw_fd()], Some(SILENCE))[0] {
            // It would not see the end of its input either. Its servers go with it.
            self.child.kill()?;
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer came back"));
        }
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let (nanos, cpu): (u64, u64) = serde_json::from_str(&line)
            .map_err(|_| io::Error::new(io::ErrorKind::UnexpectedEof, "the rig ended before its time"))?;
        Ok(Batch { time: Duration::from_nanos(nanos), cpu_time: Duration::from_nanos(cpu) })
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // Closes its input first: the sign for it to go. It puts its files away itself, unless it was killed.
        let _ = self.child.wait();
        peers::sweep(self.child.id());
    }
}

/// Puts away what a peer keeps in the file system, however the rig ends.
struct Leavings;

impl Drop for Leavings {
    fn drop(&mut self) {
        peers::sweep(std::process::id());
    }
}

/// This process as a rig, until its input ends.
pub fn serve(order: &Order) -> ExitCode {
    // Dropped in reverse: the servers first.
    let _leavings = Leavings;
    let mut actors = Actors::default();
    match peers::start(order, &mut actors).and_then(|client| rounds(order, client, &actors)) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: {}: {error}", order.name);
            ExitCode::FAILURE
        }
        // Nobody to answer is nothing to complain of: the harness has gone.
        _ => ExitCode::SUCCESS,
    }
}

fn rounds(order: &Order, mut client: Box<dyn Ask>, actors: &Actors) -> io::Result<()> {
    let body = Body::new(order.bytes);
    let mut number = 0;
    for line in io::stdin().lines() {
        let count: u64 = line?.parse().map_err(io::Error::other)?;
        // Every byte of one answer, then the ends of each.
        exchange(&mut *client, &mut number, |number, bytes| body.is_answer(number, bytes))?;
        let (begin, cpu) = (Instant::now(), actors.cpu_time());
        for _ in 0..count {
            exchange(&mut *client, &mut number, |number, bytes| body.looks_like_answer(number, bytes))?;
        }
        let (nanos, cpu) = (begin.elapsed(), actors.cpu_time() - cpu);
        writeln!(io::stdout(), "[{},{}]", nanos.as_nanos(), cpu.as_nanos())?;
    }
    Ok(())
}

fn exchange(client: &mut dyn Ask, number: &mut u64, right: impl Fn(u64, &[u8]) -> bool) -> io::Result<()> {
    *number += 1;
    let mut answered = false;
    client.ask(*number, &mut |bytes| answered = right(*number, bytes))?;
    if answered { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidData, "a wrong answer")) }
}
