//! Noticing a server that does not die but does not get on either.
//!
//! What counts is not how long a call takes by the wall clock, which a busy machine stretches at will, but that one and
//! the same call stays in hand while its server
//!
//! - burns CPU time (the manifest's `patience`, in milliseconds) and finishes nothing else: an endless loop;
//! - is stopped by the host ([`STOPPED_TICKS`]);
//! - sleeps with all its threads, waits for no other server, and the supervisor itself got to run many times meanwhile
//!   (`patience` times: half a second if the supervisor is never delayed): a lock never released. A server that a busy machine
//!   keeps waiting is runnable, not asleep; and one whose client is kept from ringing is rung meanwhile.
//!
//! A server that waits for another is excused: the other is the culprit; and a driver that sleeps while its device has
//! requests in hand. An operation marked blocking may wait as long
//! as it likes, as long as it burns no CPU time.
//!
//! A server that has not answered yet is starting, and nobody's call says how far it is: it is told by the same signs, with
//! [`START`] times the patience, since a start takes longer than a call.

use std::time::Duration;

use kd_api::message::InterfaceInfo;
use kd_nucleus::channel::{Stuck, stuck};
use kd_nucleus::process;

use super::wiring::{Client, Wiring};

/// How much more CPU time a server may burn while nothing is in hand and something waits to be.
const UNTAKEN: u32 = 4;
/// Looks in a row that find the process stopped.
const STOPPED_TICKS: u32 = 5;

/// How much more patience there is with a start than with a call.
const START: u32 = 40;

/// What is remembered of a server that starts.
#[derive(Default)]
pub struct Start {
    asleep: u32,
    stopped: u32,
}

impl Start {
    /// Looks at one; says what is wrong, if anything is. Who waits for another server is excused.
    pub fn look(&mut self, pid: i32, members: &[usize], wiring: &Wiring, patience: u32) -> Option<&'static str> {
        self.stopped = if process::state(pid) == Some('T') { self.stopped + 1 } else { 0 };
        if self.stopped >= STOPPED_TICKS {
            return Some("stopped while it starts");
        }
        if process::cpu_time(pid) > Duration::from_millis((START * patience).into()) {
            return Some("burns CPU time and does not get ready");
        }
        let excused = waits_for_another(members, wiring) || process::is_runnable(pid);
        self.asleep = if excused { 0 } else { self.asleep + 1 };
        // Ten milliseconds pass between two looks at least.
        (self.asleep >= START * patience / 10).then_some("sleeps and does not get ready")
    }
}

/// Whether one of these components has a call at another server.
fn waits_for_another(members: &[usize], wiring: &Wiring) -> bool {
    let ours = |client| members.iter().any(|&member| client == Client::Component(member));
    let waits = wiring.wires.iter().filter(|wire| ours(wire.client));
    waits.flat_map(|wire| stuck(&wire.channel)).next().is_some()
}

/// What is remembered of one server between two looks.
#[derive(Default)]
pub struct Progress {
    /// The requests in hand at the last look, and the CPU time then.
    seen: Vec<(usize, Stuck)>,
    cpu: Duration,
    ticks: u32,
    stopped: u32,
}

impl Progress {
    /// Looks at a server; says what is wrong, if anything is.
    ///
    /// `patience` is the manifest's. `members` are the components in its domain: what one of them waits for, the server waits for.
    pub fn look(
        &mut self,
        server: usize,
        (pid, members): (i32, &[usize]),
        interface: &InterfaceInfo,
        wiring: &Wiring,
        (patience, device_busy): (u32, bool),
    ) -> Option<&'static str> {
        let served = wiring.wires.iter().enumerate().filter(|(_, wire)| wire.server == server);
        let now: Vec<(usize, Stuck)> =
            served.flat_map(|(index, wire)| stuck(&wire.channel).map(move |call| (index, call))).collect();
        if now.is_empty() || now != self.seen {
            *self = Progress {
                cpu: if now.is_empty() { Duration::ZERO } else { process::cpu_time(pid) },
                seen: now,
                ..Progress::default()
            };
            return None;
        }
        self.stopped = if process::state(pid) == Some('T') { self.stopped + 1 } else { 0 };
        if self.stopped >= STOPPED_TICKS {
            return Some("stopped with calls in hand");
        }
        if waits_for_another(members, wiring) {
            self.cpu = process::cpu_time(pid);
            self.ticks = 0;
            return None;
        }
        // One that nobody has taken up may wait behind others for a while, but not for ever.
        let patient = if self.seen.iter().any(|(_, call)| call.taken) { patience } else { patience * UNTAKEN };
        if process::cpu_time(pid).saturating_sub(self.cpu) > Duration::from_millis(patient.into()) {
            return Some("burns CPU time and finishes nothing");
        }
        let blocking = |call: &Stuck| {
            call.taken
                && interface.operation(call.operation).is_some_and(|operation| operation.blocking || operation.deferred)
        };
        if device_busy || self.seen.iter().all(|(_, call)| blocking(call)) || process::is_runnable(pid) {
            self.ticks = 0;
            return None;
        }
        self.ticks += 1;
        // Who called may be kept from a core since before it could ring.
        if self.ticks == patience / 2 && self.seen.iter().any(|(_, call)| !call.taken) {
            wiring.bell(server).into_iter().for_each(|bell| bell.ring());
        }
        (self.ticks >= patience).then_some("does nothing with calls in hand")
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use kd_api::Message;
    use kd_api::client::Port;
    use kd_api::component::Interface;
    use kd_api::interfaces::block::BlockDevice;
    use kd_boot::Manifest;
    use kd_boot::manifest::{Kernel, Placement};
    use kd_nucleus::channel::{self, Channel, ChannelPort, Wait};
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::SeqCst;

    use super::super::wiring::Wire;
    use super::*;

    /// A process in a server's place.
    struct Idle(Child);
    /// What one does that burns CPU time, whatever else the machine does, and what one that sleeps.
    const BURN: &str = "while :; do :; done";
    const SLEEP: &str = "read nothing";

    impl Idle {
        fn new(script: &str) -> Idle {
            let shell = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn();
            Idle(shell.expect("there is a shell"))
        }
    }

    impl Drop for Idle {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Whose calls end with this, even where a test fails.
    struct Abandoned<'a>(&'a Channel);

    impl Drop for Abandoned<'_> {
        fn drop(&mut self) {
            channel::abandon(self.0);
        }
    }

    /// Runs `test` with a call of a component in which nobody has begun, and the number of that component.
    fn with_a_call(test: impl FnOnce(&Wiring, usize, &Wire, Stuck)) {
        let manifest = Manifest::standard(Kernel::Microkernel, Placement::Process, &kd_subsystems::components());
        let wiring = Wiring::new(&manifest, None).expect("shared memory");
        let server = manifest.entries.iter().position(|entry| entry.name == "ramdisk").expect("it is there");
        let wire = wiring.wires.iter().find(|wire| wire.server == server).expect("somebody calls it");
        let interface = <dyn BlockDevice>::info();
        let operation = interface.operations.iter().find(|one| !one.blocking && !one.deferred).expect("a plain one");
        let port = ChannelPort::new(wire.channel.clone(), Wait::Block);
        // Nobody looks for requests, as after a server's death.
        channel::scrub(&wire.channel);
        std::thread::scope(|scope| {
            let _end = Abandoned(&wire.channel);
            scope.spawn(|| {
                let slot = port.claim().expect("free");
                let _ = port.exchange(&slot, operation, &mut Message::default());
            });
            // It rings after that.
            while wire.channel.bell.rung() == 0 {
                std::thread::yield_now();
            }
            let call = stuck(&wire.channel).next().expect("it was published");
            test(&wiring, server, wire, call);
        });
    }

    /// What counts is CPU time, so that this holds on a busy machine.
    #[test]
    fn a_call_that_nobody_has_taken_up_gives_its_server_four_times_the_patience() {
        const PATIENCE: u32 = 25;
        with_a_call(|wiring, server, wire, call| {
            for (taken, times) in [(false, UNTAKEN), (true, 1)] {
                if taken {
                    wire.channel.taken()[call.slot].store(call.sequence, SeqCst);
                }
                let burner = Idle::new(BURN);
                let pid = burner.0.id() as i32;
                let limit = Duration::from_millis((times * PATIENCE).into());
                let mut progress = Progress::default();
                let interface = <dyn BlockDevice>::info();
                let mut look = || progress.look(server, (pid, &[server]), interface, wiring, (PATIENCE, false));
                let least = process::cpu_time(pid);
                assert_eq!(look(), None, "it is seen for the first time");
                let most = process::cpu_time(pid);
                loop {
                    let before = process::cpu_time(pid);
                    let verdict = look();
                    let after = process::cpu_time(pid);
                    if let Some(why) = verdict {
                        assert!(why.contains("CPU time") && after - least > limit, "{why}: {:?}", after - least);
                        break;
                    }
                    assert!(before.saturating_sub(most) <= limit, "{taken}: still patient after {:?}", before - most);
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
    }

    #[test]
    fn a_successor_waits_for_what_its_predecessor_asked_of_others() {
        with_a_call(|wiring, _, wire, _| {
            let Client::Component(caller) = wire.client else { panic!("a driver serves components") };
            let (channel, answered) = (wire.channel.clone(), AtomicBool::new(false));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(5));
                    answered.store(true, SeqCst);
                    channel::abandon(&channel);
                });
                // Who has asked nothing is not kept.
                wiring.let_others_finish(&[usize::MAX], |_| <dyn BlockDevice>::info());
                wiring.let_others_finish(&[caller], |_| <dyn BlockDevice>::info());
                assert!(answered.load(SeqCst), "not before");
            });
        });
    }

    #[test]
    fn who_sleeps_beside_a_call_is_rung_once_before_it_is_condemned() {
        const PATIENCE: u32 = 10;
        with_a_call(|wiring, server, wire, call| {
            for taken in [false, true] {
                if taken {
                    wire.channel.taken()[call.slot].store(call.sequence, SeqCst);
                }
                let sleeper = Idle::new(SLEEP);
                let pid = sleeper.0.id() as i32;
                let (mut progress, mut rings) = (Progress::default(), Vec::new());
                let interface = <dyn BlockDevice>::info();
                // The first look sees the call; then so many that find it asleep.
                for _ in 0..=PATIENCE {
                    while process::state(pid) != Some('S') {
                        std::thread::yield_now();
                    }
                    let rung = wire.channel.bell.rung();
                    let verdict = progress.look(server, (pid, &[server]), interface, wiring, (PATIENCE, false));
                    rings.push(wire.channel.bell.rung() - rung);
                    assert_eq!(verdict.is_some(), rings.len() > PATIENCE as usize, "look {}", rings.len());
                }
                let mut expected = vec![0; PATIENCE as usize + 1];
                expected[PATIENCE as usize / 2] = u32::from(!taken);
                assert_eq!(rings, expected, "what is in hand needs no ring");
            }
        });
    }
}
