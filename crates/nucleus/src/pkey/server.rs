//! The server's end: what a thread does in a domain that it entered with a message.

use std::cell::OnceCell;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering::*};

use kd_api::server::{Answer, Dispatch, Incoming, Replier, SCRATCH};
use kd_api::{AppId, Caller, Message};
use kd_sync::{Mutex, WaitQueue};

use super::domain::{self, State};
use super::thread::{self, DIED, Thread};
use super::{COMMON, DOMAINS, MEMBERS, space};

/// The callee answered.
pub(super) const ANSWERED: u64 = 0;

/// The servers of each domain, by their components' numbers in it, in the domain's own memory.
static SERVERS: [[AtomicPtr<Arc<dyn Dispatch>>; MEMBERS]; DOMAINS] =
    [const { [const { AtomicPtr::new(null_mut()) }; MEMBERS] }; DOMAINS];

/// Makes a server that of a domain's component, from outside it. It is forgotten when another takes its place.
pub fn publish(domain: usize, member: usize, server: &'static Arc<dyn Dispatch>) {
    SERVERS[domain][member].store(std::ptr::from_ref(server).cast_mut(), Release);
}

/// An answer that comes later, from another thread of the domain.
#[derive(Default)]
struct Meeting {
    answer: Mutex<Option<Message>>,
    answered: WaitQueue,
}

/// Takes up the message that the calling thread left where it came from, and leaves the reply there.
pub(super) extern "C" fn serve(app: usize, member: usize, from: usize) -> u64 {
    let own = thread::here();
    // Now that the thread's slots say where it is: if the domain is about to be restarted, nothing of it is touched.
    let (State::Alive, Some(thread)) = (domain::get(own).state(), Thread::current()) else { return DIED };
    let Some(server) = SERVERS[own].get(member) else { return DIED };
    // SAFETY: null, or a server that lives as long as its domain, which is alive.
    let Some(server) = (unsafe { server.load(Acquire).as_ref() }) else { return DIED };
    let number = thread.number();
    // A component speaks for nobody but the kernel, whatever its port says.
    let caller = if from == COMMON { Caller { app: AppId(app as u32) } } else { Caller::KERNEL };
    let request = space::load_message(from, number);
    // SAFETY: memory beside this thread's stack in this domain, in which it is once at a time; zeros or what an earlier
    // call left.
    let scratch = unsafe { std::slice::from_raw_parts_mut(space::scratch(own, number) as *mut u8, SCRATCH) };
    let meeting: OnceCell<Arc<Meeting>> = OnceCell::new();
    let later = || -> Replier {
        let meeting = meeting.get_or_init(Arc::default).clone();
        Box::new(move |reply| {
            *meeting.answer.lock() = Some(reply);
            meeting.answered.wake_all();
        })
    };
    let mut reply = Message::default();
    let incoming = Incoming {
        caller,
        request: &request,
        window: space::window_of(from, number),
        pools: &[],
        scratch,
        later: &later,
    };
    let answer = server.dispatch(incoming, &mut reply);
    if let (Answer::Nothing, Some(meeting)) = (answer, meeting.get()) {
        // The thread is the caller's own, so it may as well wait here.
        let mut answer = meeting.answered.wait_while(meeting.answer.lock(), |answer| answer.is_none());
        reply = answer.take().unwrap_or(reply);
    }
    space::store_message(from, number, &reply);
    ANSWERED
}
