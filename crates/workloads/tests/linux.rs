//! The workloads on the host's own kernel, in this process, which moves into a private tmpfs first.

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::sync::Arc;

use kd_api::Imports;
use support::{Kernel, TESTS};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

fn main() {
    let kernel: Kernel = match kd_linux::enter_private_tmpfs() {
        Ok(linux) => Kernel { sys: Arc::new(linux), services: Imports::default(), part: unshare_files },
        Err(refused) => return println!("skipped: {refused}"),
    };
    assert_eq!(support::allocating_loops(&kernel, counting::allocations), []);
    println!("test timed_loops_allocate_nothing ... ok");
    for (name, test) in TESTS {
        test(&kernel);
        println!("test {name} ... ok");
    }
}

/// Descriptors of the host belong to a process, and the apps here are threads: one would read through a number that the
/// other has just closed.
fn unshare_files() {
    // SAFETY: no pointer is passed; the thread keeps a copy of every descriptor, and its partners share it.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_FILES) }, 0, "{}", std::io::Error::last_os_error());
}
