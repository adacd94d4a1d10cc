//! A server that answers a call a second time, during the next one: its client takes no answer that is not to its question.

use std::sync::{Arc, Mutex};

use kd_api::interfaces::proc::{Proc, ProcClient};
use kd_api::message::InterfaceInfo;
use kd_api::server::{Answer, Dispatch, Incoming, Replier};
use kd_api::{Caller, Message};
use kd_microkernel::thread::connect;

/// Answers with the number of the call, and with an earlier answer again before.
#[derive(Default)]
struct Repeating {
    calls: Mutex<u64>,
    kept: Mutex<Option<(Replier, Message)>>,
}

impl Dispatch for Repeating {
    fn info(&self) -> &'static InterfaceInfo {
        ProcClient::INFO
    }

    fn dispatch(&self, incoming: Incoming<'_>, reply: &mut Message) -> Answer {
        if let Some((late, answer)) = self.kept.lock().expect("no panic").take() {
            late(answer);
        }
        let mut calls = self.calls.lock().expect("no panic");
        *calls += 1;
        reply.begin(incoming.request.operation);
        reply.words[0] = *calls;
        *self.kept.lock().expect("no panic") = Some(((incoming.later)(), *reply));
        Answer::Reply
    }
}

#[test]
fn threads_pass_over_an_answer_to_an_earlier_call() {
    let client = ProcClient::new(connect(Arc::new(Repeating::default()), "proc", 2, Caller::app(1)));
    let answers: Vec<_> = (0..20).map(|_| client.getpid(Caller::app(1))).collect();
    assert_eq!(answers, (1..=20).map(Ok).collect::<Vec<_>>());
}
