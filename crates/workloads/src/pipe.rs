//! Ping-pong: two apps, two pipes, one byte each way.
//!
//! Each app owns one end of each pipe and closes no other, so a number is never closed twice although both share one
//! table of descriptors. The partner ends when it reads [`STOP`], when its pipe ends, or when a call fails; closing its
//! ends then tells this app, where the table is really shared. After a failure a session leaves pipes and partner
//! behind and starts new ones, because nobody can say any more whose turn it was. A subsystem that starts
//! afresh may give out numbers again that a late partner still closes: the next round fails by that, and the one after
//! is good.

use kd_api::{Errno, Fd, InBuf, OutBuf};

use crate::{Env, Session, Verdict, Workload, Wrong};

/// The byte that ends the partner.
const STOP: u8 = 0xff;
/// The byte of the timed loop.
const PING: u8 = 1;

/// Ping-pong through pipes.
pub struct Pingpong;

impl Workload for Pingpong {
    fn name(&self) -> &'static str {
        "pipe_pingpong"
    }

    fn about(&self) -> &'static str {
        "One operation is a round trip of one byte between two apps through two pipes: four calls, two of which wait. It \
         shows what blocking and waking cost above the calls themselves."
    }

    fn subject(&self) -> &'static str {
        "pipe"
    }

    fn actors(&self) -> u32 {
        2
    }

    fn hops(&self) -> u32 {
        2
    }

    fn start(&self, env: &Env) -> Result<Box<dyn Session>, Errno> {
        let mut session = PingpongSession { env: env.clone(), ends: None };
        session.ends()?;
        Ok(Box::new(session))
    }
}

/// This app's ends: it writes to one pipe and reads from the other.
#[derive(Clone, Copy)]
struct Ends {
    out: Fd,
    back: Fd,
}

struct PingpongSession {
    env: Env,
    ends: Option<Ends>,
}

impl PingpongSession {
    /// The pipes in use; makes them and starts the partner if need be.
    fn ends(&mut self) -> Result<Ends, Errno> {
        if let Some(ends) = self.ends {
            return Ok(ends);
        }
        let (ping, out) = self.env.sys.pipe(self.env.caller)?;
        let (back, pong) = match self.env.sys.pipe(self.env.caller) {
            Ok(ends) => ends,
            Err(errno) => {
                close(&self.env, [ping, out]);
                return Err(errno);
            }
        };
        if let Err(errno) = (self.env.partner)(Box::new(move |env| echo(env, ping, pong))) {
            close(&self.env, [ping, out, back, pong]);
            return Err(errno);
        }
        Ok(*self.ends.insert(Ends { out, back }))
    }

    /// Sends `byte` and returns what comes back.
    fn exchange(&mut self, byte: u8) -> Result<u8, Errno> {
        let ends = self.ends()?;
        send(&self.env, ends.out, byte).and_then(|()| receive(&self.env, ends.back)).inspect_err(|_| self.leave())
    }

    /// Ends the partner, if it can be reached, and forgets the pipes.
    fn leave(&mut self) {
        if let Some(Ends { out, back }) = self.ends.take() {
            // Whoever can't be reached has failed as well, and ends by that.
            let _ = send(&self.env, out, STOP);
            close(&self.env, [out, back]);
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Wrong> {
        match self.exchange(byte)? {
            back if back == byte => Ok(()),
            back => {
                self.leave();
                Err(Wrong::Answer(format!("{byte:#04x} came back as {back:#04x}")))
            }
        }
    }
}

impl Session for PingpongSession {
    fn run(&mut self, operations: u64) -> Result<(), Errno> {
        let ends = self.ends()?;
        for _ in 0..operations {
            send(&self.env, ends.out, PING)
                .and_then(|()| receive(&self.env, ends.back))
                .inspect_err(|_| self.leave())?;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), Wrong> {
        self.expect(PING)
    }

    fn verify(&mut self, round: u64) -> Verdict {
        self.expect((round % u64::from(STOP)) as u8).into()
    }
}

impl Drop for PingpongSession {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The partner: sends back what it receives.
fn echo(env: &Env, ping: Fd, pong: Fd) {
    while let Ok(byte) = receive(env, ping) {
        if byte == STOP || send(env, pong, byte).is_err() {
            break;
        }
    }
    close(env, [ping, pong]);
}

fn send(env: &Env, to: Fd, byte: u8) -> Result<(), Errno> {
    match env.sys.write(env.caller, to, &mut InBuf::new(&[byte]))? {
        1 => Ok(()),
        _ => Err(Errno::EIO),
    }
}

/// The end of the pipe is `EPIPE`.
fn receive(env: &Env, from: Fd) -> Result<u8, Errno> {
    let mut byte = [0];
    match env.sys.read(env.caller, from, &mut OutBuf::new(&mut byte))? {
        0 => Err(Errno::EPIPE),
        _ => Ok(byte[0]),
    }
}

fn close<const N: usize>(env: &Env, ends: [Fd; N]) {
    for end in ends {
        // An end that the kernel has forgotten is closed.
        let _ = env.sys.close(env.caller, end);
    }
}
