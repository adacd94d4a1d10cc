//! Ours: the interface of the key-value store, called directly, through threads, through processes, and through gates.
//!
//! The generated client and server, the threads and the pool are those that kernels use; a server in the middle of a
//! chain holds the next one's client, as a file system holds its block layer's.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use kd_api::interfaces::kv::{KvStore, KvStoreClient};
use kd_api::{Caller, Errno, InBuf, Interface, OutBuf};
use kd_microkernel::thread::{Server, ThreadPort};
use kd_nucleus::arena;
use kd_nucleus::channel::{Bell, Channel, ChannelPort, Pool, Wait};
use kd_nucleus::pkey::{Alone, GatePort};
use kd_nucleus::process;

use super::{Actors, Ask, Body};
use crate::rig::Order;

/// Threads of each server: the fewest that a pool has.
const THREADS: u32 = 2;

/// Calls by hand.
pub fn direct(order: &Order) -> io::Result<Box<dyn Ask>> {
    process::bind(0, order.place(0));
    let middle = |next, _| Arc::new(Middle(next)) as Arc<dyn KvStore>;
    Ok(hold(order, (1..order.servers).fold(last(order), middle)))
}

/// A server's threads behind crossbeam channels, each time.
pub fn thread(order: &Order) -> io::Result<Box<dyn Ask>> {
    let behind = |next, at| {
        // Threads start where whoever starts them may run.
        process::bind_thread(order.place(at));
        let server = Server::start(<dyn KvStore>::server(next), "answerer", THREADS);
        Arc::new(KvStoreClient::new(Arc::new(ThreadPort::new(&server, Caller::app(1))))) as Arc<dyn KvStore>
    };
    let first = (1..=order.servers).rev().fold(last(order), behind);
    process::bind_thread(order.place(0));
    Ok(hold(order, first))
}

/// A server's process behind a channel, each time.
pub fn process(order: &Order, actors: &mut Actors) -> io::Result<Box<dyn Ask>> {
    let wait = Wait::from_name(&order.wait).ok_or(io::ErrorKind::InvalidInput)?;
    let mut next = last(order);
    for at in (1..=order.servers).rev() {
        let bell = Bell::new()?;
        let channel = Channel::new("kd-ipc", &bell)?;
        let ours = channel.clone();
        actors.0.push(process::fork(|| {
            process::bind(0, order.place(at));
            match arena::adopt(at) {
                Ok(()) => {
                    let dispatch = <dyn KvStore>::server(next.clone());
                    Pool::new(vec![(channel, Caller::app(1))], bell, dispatch, wait, THREADS).run()
                }
                Err(_) => 1,
            }
        })?);
        next = Arc::new(KvStoreClient::new(Arc::new(ChannelPort::new(ours, wait))));
    }
    process::bind(0, order.place(0));
    Ok(hold(order, next))
}

/// A server's domain behind a protection key, each time: the client's thread goes there and back.
pub fn pkey(order: &Order) -> io::Result<Box<dyn Ask>> {
    process::bind(0, order.place(0));
    kd_sync::install(&PARK);
    let mut domains = Alone::new().map_err(io::Error::other)?;
    let serve = |next: Option<GatePort>| {
        let client = |next| -> Arc<dyn KvStore> { Arc::new(KvStoreClient::new(Arc::new(next))) };
        <dyn KvStore>::server(match next {
            Some(next) => Arc::new(Middle(client(next))),
            None => last(order),
        })
    };
    let mut first = 0;
    for _ in 0..order.servers {
        first = domains.add(serve).map_err(io::Error::other)?;
    }
    Ok(hold(order, Arc::new(KvStoreClient::new(Arc::new(GatePort::new(first, 0, Caller::app(1)))))))
}

static PARK: kd_sync::Park = kd_sync::Park { wait: kd_nucleus::futex::park, wake: kd_nucleus::futex::wake };

fn last(order: &Order) -> Arc<dyn KvStore> {
    Arc::new(Last(Mutex::new(Body::new(order.bytes))))
}

/// The client: it has the bytes copied into memory of its own.
struct Holder {
    store: Arc<dyn KvStore>,
    room: Vec<u8>,
}

fn hold(order: &Order, store: Arc<dyn KvStore>) -> Box<dyn Ask> {
    Box::new(Holder { store, room: vec![0; order.bytes] })
}

impl Ask for Holder {
    fn ask(&mut self, number: u64, look: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let got = self.store.get(number, &mut OutBuf::new(&mut self.room));
        let got = got.map_err(|errno| io::Error::other(format!("{errno:?}")))?;
        look(self.room.get(..got).unwrap_or_default());
        Ok(())
    }
}

/// The end of a chain.
struct Last(Mutex<Body>);

/// Passes on what it is asked.
struct Middle(Arc<dyn KvStore>);

/// The one operation that is asked here, and the others of the interface.
macro_rules! store {
    ($name:ty, $get:expr) => {
        impl KvStore for $name {
            fn get(&self, key: u64, out: &mut OutBuf<'_>) -> kd_api::Result<usize> {
                $get(self, key, out)
            }
            fn put(&self, _: u64, _: &mut InBuf<'_>) -> kd_api::Result<()> {
                Err(Errno::ENOSYS)
            }
            fn delete(&self, _: u64) -> kd_api::Result<()> {
                Err(Errno::ENOSYS)
            }
            fn count(&self) -> kd_api::Result<u64> {
                Err(Errno::ENOSYS)
            }
        }
    };
}

store!(Last, |this: &Last, key, out: &mut OutBuf<'_>| Ok(
    out.write(this.0.lock().unwrap_or_else(PoisonError::into_inner).answer(key))
));
store!(Middle, |this: &Middle, key, out: &mut OutBuf<'_>| this.0.get(key, out));
