//! `iceoryx2`: its request-response service over shared memory. It has no wait of its own for an answer, so both ends
//! poll, as its examples do; the answer is written into lent memory once and looked at there.
//!
//! It keeps files: nodes and services in a folder, memory in the host's `/dev/shm`. Both are told to begin with this
//! rig's process number and are put away when its servers are gone.

use std::fmt::Debug;
use std::fs;
use std::io;
use std::path::PathBuf;

use iceoryx2::port::client::Client as Requests;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::request_response::PortFactory as Factory;

use super::{Ask, Link};
use crate::rig::Order;

/// Where the host keeps shared memory that has a name.
const SHARED: &str = "/dev/shm";
/// How the names of our files begin.
const PREFIX: &str = "kernel-debate-ipc-";

type Exchanges = Factory<ipc::Service, u64, (), [u8], ()>;

struct Service {
    name: String,
    config: Config,
    bytes: usize,
    spin: bool,
}

struct Client {
    requests: Requests<ipc::Service, u64, (), [u8], ()>,
    spin: bool,
    // What the ports stand on.
    _service: Exchanges,
    _node: Node<ipc::Service>,
}

fn failed(error: impl Debug) -> io::Error {
    io::Error::other(format!("{error:?}"))
}

/// How the names of a rig's files begin.
fn prefix(rig: u32) -> String {
    format!("{PREFIX}{rig}-")
}

fn folder(rig: u32) -> PathBuf {
    std::env::temp_dir().join(prefix(rig))
}

/// The service between a client and the server number `at`.
pub fn link(order: &Order, at: usize) -> io::Result<Box<dyn Link>> {
    set_log_level(LogLevel::Error);
    let rig = std::process::id();
    let folder = folder(rig).into_os_string().into_encoded_bytes();
    let mut config = Config::default();
    config.global.set_root_path(&Path::new(&folder).map_err(failed)?);
    config.global.prefix = FileName::new(prefix(rig).as_bytes()).map_err(failed)?;
    Ok(Box::new(Service { name: format!("server-{at}"), config, bytes: order.bytes, spin: order.wait == "spin" }))
}

/// Removes what the rig of a process number and its servers, which are gone, have left.
pub fn sweep(rig: u32) {
    let _ = fs::remove_dir_all(folder(rig));
    for path in files(SHARED.into(), &prefix(rig)) {
        let _ = fs::remove_file(path);
    }
}

/// What a rig has left behind.
pub fn left_behind(rig: u32) -> Vec<PathBuf> {
    [files(SHARED.into(), &prefix(rig)), files(std::env::temp_dir(), &prefix(rig))].concat()
}

fn files(folder: PathBuf, prefix: &str) -> Vec<PathBuf> {
    let ours = |name: &fs::DirEntry| name.file_name().to_string_lossy().starts_with(prefix);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(ours).map(|entry| entry.path()).collect()
}

fn pause(spin: bool) {
    if spin { std::hint::spin_loop() } else { std::thread::yield_now() }
}

impl Service {
    fn open(&self) -> io::Result<(Node<ipc::Service>, Exchanges)> {
        let node = NodeBuilder::new().config(&self.config).signal_handling_mode(SignalHandlingMode::Disabled);
        let node = node.create::<ipc::Service>().map_err(failed)?;
        let name = self.name.as_str().try_into().map_err(failed)?;
        let service = node.service_builder(&name).request_response::<u64, [u8]>();
        let service = service.open_or_create().map_err(failed)?;
        Ok((node, service))
    }
}

impl Link for Service {
    fn client(&self) -> io::Result<Box<dyn Ask>> {
        let (node, service) = self.open()?;
        // A request that no server is there for is answered by nobody.
        while service.dynamic_config().number_of_servers() == 0 {
            std::thread::yield_now();
        }
        let requests = service.client_builder().create().map_err(failed)?;
        Ok(Box::new(Client { requests, spin: self.spin, _service: service, _node: node }))
    }

    fn serve(&self, mut next: Box<dyn Ask>) -> io::Result<()> {
        let (_node, service) = self.open()?;
        let server = service.server_builder().initial_max_slice_len(self.bytes).create().map_err(failed)?;
        loop {
            let Some(request) = server.receive().map_err(failed)? else {
                pause(self.spin);
                continue;
            };
            let mut sent = Ok(());
            next.ask(*request, &mut |bytes| {
                let room = request.loan_slice_uninit(bytes.len()).map_err(failed);
                sent = room.and_then(|room| room.write_from_slice(bytes).send().map_err(failed));
            })?;
            sent?;
        }
    }
}

impl Ask for Client {
    fn ask(&mut self, number: u64, look: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let pending = self.requests.send_copy(number).map_err(failed)?;
        loop {
            if let Some(answer) = pending.receive().map_err(failed)? {
                look(answer.payload());
                return Ok(());
            }
            pause(self.spin);
        }
    }
}
