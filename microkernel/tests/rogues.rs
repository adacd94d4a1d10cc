//! A server that loops for ever, and one that breaks the protocol: the supervisor ends both and starts them anew, calls
//! that may be repeated are, the others end as unknown.
//!
//! This test brings its own component, so it is its own zygote. A rogue is rogue until a moment of the monotonic clock
//! that its caller names: the successor that gets the same call after it is honest.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kd_api::client::Port;
use kd_api::component::{Interface, StartError};
use kd_api::interfaces::syscalls::Syscalls;
use kd_api::server::{Answer, Dispatch, Incoming};
use kd_api::{Component, Errno, Handle, Imports, InterfaceInfo, Message, Result, interface};
use kd_boot::app::App;
use kd_boot::board::{Board, Field};
use kd_boot::control::{self, AppRun, Event, Request, Status, Task, What};
use kd_boot::manifest::{Kernel, Manifest, Placement};
use kd_boot::root;
use kd_boot::start::Parts;
use kd_machine::clock;
use kd_microkernel::process::Supervisor;
use kd_nucleus::socket::Socket;
use kd_nucleus::zygote::Zygote;
use kd_subsystems::syscalls::SyscallTable;

/// How long a rogue is one: longer than the supervisor takes to notice.
const ROGUE: u64 = 600_000_000;
const LIMIT: Duration = Duration::from_secs(20);

#[interface]
trait Rogue {
    #[idempotent]
    fn loop_before(&self, moment: u64) -> Result<()>;
    fn loop_once_before(&self, moment: u64) -> Result<()>;
    #[idempotent]
    fn lie_before(&self, moment: u64) -> Result<()>;
}

struct Fool;

impl Rogue for Fool {
    fn loop_before(&self, moment: u64) -> Result<()> {
        while clock::now() < moment {
            std::hint::spin_loop();
        }
        Ok(())
    }
    fn loop_once_before(&self, moment: u64) -> Result<()> {
        self.loop_before(moment)
    }
    fn lie_before(&self, _: u64) -> Result<()> {
        Ok(())
    }
}

/// A generated server whose answers to `lie_before` are to another question.
struct Liar(Arc<dyn Dispatch>);

impl Dispatch for Liar {
    fn info(&self) -> &'static InterfaceInfo {
        self.0.info()
    }
    fn dispatch(&self, incoming: Incoming<'_>, reply: &mut Message) -> Answer {
        let lies = incoming.request.operation == 2 && clock::now() < incoming.request.words[0];
        let answer = self.0.dispatch(incoming, reply);
        reply.operation += u16::from(lies);
        answer
    }
}

/// What puts the liar where a generated server would stand.
trait Mask: Send + Sync {}
impl Mask for Fool {}

impl Interface for dyn Mask {
    fn info() -> &'static InterfaceInfo {
        RogueClient::INFO
    }
    fn client(_: Arc<dyn Port>) -> Arc<Self> {
        unreachable!("clients are made by the component's own constructor")
    }
    fn server(_: Arc<Self>) -> Arc<dyn Dispatch> {
        Arc::new(Liar(<dyn Rogue>::server(Arc::new(Fool))))
    }
    fn observed(target: Arc<Self>, _: Arc<dyn kd_api::around::Observer>) -> Arc<Self> {
        target
    }
}

fn components() -> Vec<Component> {
    let mut components = kd_subsystems::components();
    components.push(Component {
        name: "rogue".into(),
        interface: RogueClient::INFO,
        imports: &[],
        apps: true,
        store: 0,
        type_name: "Fool",
        start: Box::new(|_| Ok(Handle::new::<dyn Mask>(Arc::new(Fool)))),
        client: Handle::client::<dyn Rogue>,
    });
    components
}

fn syscalls(services: &Imports) -> std::result::Result<Arc<dyn Syscalls>, StartError> {
    Ok(Arc::new(SyscallTable::new(services.get("vfs")?, services.get("proc")?)))
}

/// The app: makes the named call until it is answered without an error; counts errors and remembers the last.
fn app(app: App) {
    let Task::Probe(calls) = &app.run.task else { return };
    let rogue = app.env.services.get::<dyn Rogue>("rogue").expect("it is open to apps");
    let moment = clock::now() + ROGUE;
    loop {
        let answer = match calls[0].as_str() {
            "loop" => rogue.loop_before(moment),
            "loop_once" => rogue.loop_once_before(moment),
            _ => rogue.lie_before(moment - ROGUE / 4 * 3),
        };
        let Err(errno) = answer else { break };
        app.board.add(Field::Failed, 1);
        app.board.set(Field::LastErrno, errno as u64);
    }
    app.board.set(Field::Good, 1);
}

static PARK: kd_sync::Park = kd_sync::Park { wait: kd_nucleus::futex::park, wake: kd_nucleus::futex::wake };

fn root_main(_: &str, control: Socket) {
    kd_sync::install(&PARK);
    let parts = Parts { components, syscalls, app };
    root::serve(&control, |manifest| Ok(Box::new(Supervisor::boot(manifest, parts)?)));
}

kd_nucleus::zygote_entry!(root_main);

fn ask(control: &Socket, request: &Request, fds: &[std::os::fd::BorrowedFd<'_>]) -> control::Answer {
    control.send(request, fds).expect("the root lives");
    let (answer, _): (control::Answer, Vec<OwnedFd>) = control.receive().expect("the root lives");
    assert!(!matches!(answer, control::Answer::Failed(_)), "{answer:?}");
    answer
}

/// Boots, makes the call, and tells what the app saw last and how often, what happened, and how the rogue stands.
fn run(call: &str) -> ((u64, u64), Vec<Event>, Status) {
    let control = Zygote::get().and_then(|zygote| zygote.boot("rogues")).expect("a root");
    let mut manifest = Manifest::standard(Kernel::Microkernel, Placement::Process, &components());
    // No driver modules and nothing that needs one: this test is about none.
    let drivers = ["ramdisk", "nullblk", "vdisk", "blk", "jfs"];
    manifest.entries.retain(|entry| !drivers.contains(&entry.name.as_str()));
    manifest.entries.iter_mut().for_each(|entry| entry.imports.retain(|name| !drivers.contains(&name.as_str())));
    // Each lie costs a restart, and more of them are needed than are granted otherwise.
    manifest.entries.iter_mut().for_each(|entry| entry.policy.deaths = u32::MAX);
    ask(&control, &Request::Boot(Box::new(manifest)), &[]);
    let (memory, board) = Board::new().expect("shared memory");
    let (_results, theirs) = std::io::pipe().expect("a pipe");
    let start = AppRun { app: 1, task: Task::Probe(vec![call.into()]), own_process: true };
    ask(&control, &Request::Start(start), &[memory.as_fd(), theirs.as_fd()]);
    let begin = Instant::now();
    while board.get(Field::Good) == 0 {
        assert!(begin.elapsed() < LIMIT, "{call}: the app never gets its answer");
        std::thread::sleep(Duration::from_millis(1));
    }
    // A successor answers before the supervisor has noted it: what happened and what stands must agree first.
    let mut events = Vec::new();
    let status = loop {
        let control::Answer::Events(more) = ask(&control, &Request::Events, &[]) else {
            panic!("not what was asked for")
        };
        events.extend(more);
        let control::Answer::Status(all) = ask(&control, &Request::Status, &[]) else {
            panic!("not what was asked for")
        };
        let status = all.into_iter().find(|status| status.name == "rogue");
        match status.filter(|status| happened(&events, |what| *what == What::Restarted) == status.restarts as usize) {
            Some(status) => break status,
            None => assert!(begin.elapsed() < LIMIT, "{call}: it never runs again: {events:?}"),
        }
    };
    let others = events.iter().filter(|event| !["rogue", "app 1"].contains(&event.who.as_str()));
    assert_eq!(others.count(), 0, "nobody else is shot: {events:?}");
    ((board.get(Field::Failed), board.get(Field::LastErrno)), events, status)
}

fn happened(events: &[Event], what: impl Fn(&What) -> bool) -> usize {
    events.iter().filter(|event| event.who == "rogue" && what(&event.what)).count()
}

#[test]
fn an_endless_loop_is_ended_and_the_call_repeated() {
    let (seen, events, status) = run("loop");
    assert_eq!(seen, (0, 0), "the app sees no error");
    assert!(happened(&events, |what| matches!(what, What::Hung(_))) >= 1, "{events:?}");
    assert_eq!(happened(&events, |what| *what == What::Restarted), status.restarts as usize);
    let [violations, repeated, unknown] = status.counters;
    assert_eq!((violations, repeated, unknown), (0, u64::from(status.restarts), 0));
}

#[test]
fn an_endless_loop_in_a_call_that_may_not_be_repeated_ends_as_unknown() {
    let ((failed, errno), events, status) = run("loop_once");
    assert_eq!(errno, Errno::EUNKNOWN as u64);
    assert_eq!(happened(&events, |what| matches!(what, What::Hung(_))) as u64, failed, "{events:?}");
    assert!(failed >= 1);
    let [violations, repeated, unknown] = status.counters;
    assert_eq!((violations, repeated, unknown), (0, 0, failed));
}

#[test]
fn a_server_that_breaks_the_protocol_is_replaced() {
    let ((failed, errno), events, status) = run("lie");
    // The call in whose answer the breach is found fails; the next ones may be caught by the restart.
    assert!(failed >= 1 && errno == Errno::EPROTO as u64 || errno == Errno::EIO as u64, "{errno}");
    assert!(happened(&events, |what| *what == What::Violated) >= 1, "{events:?}");
    assert_eq!(happened(&events, |what| *what == What::Restarted), status.restarts as usize);
    assert!(status.counters[0] >= 1);
}
