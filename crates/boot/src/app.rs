//! Apps, as a core hands them to the program that says what apps do.

use std::fs::File;
use std::sync::Arc;

use kd_api::Imports;
use kd_api::interfaces::syscalls::Syscalls;
use kd_nucleus::process;
use kd_workloads::Env;

use crate::board::Board;
use crate::control::AppRun;

/// Everything an app has.
pub struct App {
    /// The kernel, as this app sees it.
    pub env: Env,
    /// What it is to do.
    pub run: AppRun,
    /// What it shows of itself.
    pub board: Board,
    /// Where its results go, one JSON value per line.
    pub results: File,
    /// The boot's root process: whose family's CPU time this app's calls cost.
    pub root: i32,
}

/// What apps run.
pub type AppMain = fn(App);

/// An app's environment; `partner` starts its second half.
pub fn env(
    app: u32,
    sys: Arc<dyn Syscalls>,
    services: Imports,
    partner: impl Fn(kd_workloads::PartnerBody) -> Result<(), kd_api::Errno> + Send + Sync + 'static,
) -> Env {
    Env { sys, caller: kd_api::Caller::app(app), compute: 0, services, partner: Arc::new(partner) }
}

/// The processes of one boot: the root and all its descendants.
pub fn family(root: i32) -> Vec<i32> {
    let mut all = vec![root];
    let mut next = 0;
    while let Some(&pid) = all.get(next) {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        all.extend(children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
        next += 1;
    }
    all
}

/// Binds a boot's processes to cores.
pub fn bind_family(root: i32, cores: &[usize]) {
    for pid in family(root) {
        process::bind(pid, cores);
    }
}
