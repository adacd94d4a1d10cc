//! What a stub and a server make of a call is what a direct call is, for every kind of argument.

mod kinds;
mod loopback;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use kd_api::window::SPILL;
use kd_api::{Caller, Errno, Handle};
use kinds::{Honest, Kinds, KindsClient};
use loopback::Loopback;

const ME: Caller = Caller::app(3);

fn far() -> (Arc<Loopback>, KindsClient) {
    let kinds: Arc<dyn Kinds> = Arc::new(Honest::default());
    let port = Arc::new(Loopback::new(Handle::new(kinds).serve(), ME));
    (port.clone(), KindsClient::new(port))
}

#[test]
fn answers_are_those_of_a_direct_call() {
    let (port, client) = far();
    kinds::agrees(&client, ME, 256);
    kinds::events_arrive(&client);
    assert_eq!(port.violations.load(SeqCst), 0, "an honest server breaks no protocol");
}

#[test]
fn a_caller_cannot_be_forged() {
    let (_, client) = far();
    assert_eq!(client.who(Caller::app(99)), Ok(ME.app));
}

#[test]
fn text_that_does_not_fit_is_refused_by_the_stub() {
    let (_, client) = far();
    let long = "x".repeat(SPILL);
    assert!(client.text(&long, 0, "").is_ok());
    assert_eq!(client.text(&long, 0, "y"), Err(Errno::ENAMETOOLONG));
}

#[test]
fn the_table_says_what_the_marks_say() {
    let of = |name: &str| *KindsClient::INFO.operations.iter().find(|operation| operation.name == name).expect(name);
    let marks = |name| {
        let operation = of(name);
        (operation.idempotent, operation.blocking, operation.event, operation.deferred)
    };
    assert_eq!(marks("nothing"), (true, false, false, false));
    assert_eq!(marks("noted_so_far"), (false, true, false, false));
    assert_eq!(marks("noted"), (false, false, true, false));
    assert_eq!(marks("later"), (false, false, false, true));
    assert_eq!(marks("text"), (false, false, false, false));
    for (number, operation) in KindsClient::INFO.operations.iter().enumerate() {
        assert_eq!((usize::from(operation.number), operation.interface), (number, "Kinds"));
    }
}
