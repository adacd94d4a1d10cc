//! Apps of the process placement: a process each, holding client stubs and the table of system calls as its library.

use std::os::fd::OwnedFd;

use kd_api::{Errno, Imports};
use kd_boot::app::env;
use kd_boot::control::AppRun;
use kd_boot::root::Apps;
use kd_boot::start::{BootError, Parts, Prepared};
use kd_machine::memory::Memory;
use kd_nucleus::process;
use kd_workloads::{Env, PartnerBody};

use super::wiring::{Client, Half, Result, Wire, Wiring};

/// Forks an app.
pub fn start(
    apps: &mut Apps,
    run: AppRun,
    (board, results): (&Memory, OwnedFd),
    (prepared, wiring, parts): (&[Prepared], &mut Wiring, Parts),
) -> Result<i32> {
    let app = run.app;
    let own = |wire: &Wire| matches!(wire.client, Client::App(number, _) if number == app);
    wiring.with_children(own, |wiring| {
        apps.fork(run, board, results, parts.app, || {
            wiring.keep(own);
            let half = |half| wiring.imports(Client::App(app, half), prepared);
            environment(app, half(Half::Main), Some(half(Half::Partner)), parts)
        })
    })?
}

fn environment(app: u32, services: Imports, partner: Option<Imports>, parts: Parts) -> Result<Env> {
    let syscalls =
        |services: &Imports| (parts.syscalls)(services).map_err(|error| BootError::Start("app".into(), error));
    let sys = syscalls(&services)?;
    let start_partner = move |body: PartnerBody| {
        let services = partner.clone().ok_or(Errno::EAGAIN)?;
        // An app has one thread when it asks for its partner, so it may fork.
        let child = process::fork(|| match environment(app, services, None, parts) {
            Ok(env) => {
                body(&env);
                0
            }
            Err(_) => 1,
        });
        // The partner ends with its body or with this process; nobody waits for it.
        std::mem::forget(child.map_err(|_| Errno::EAGAIN)?);
        Ok(())
    };
    Ok(env(app, sys, services, start_partner))
}
