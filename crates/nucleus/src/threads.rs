//! Threads that run kernel code: each prepares itself as the core of this process wants it, then runs.

use std::io;
use std::sync::OnceLock;

static PREPARE: OnceLock<fn()> = OnceLock::new();

/// Says, once, what every kernel thread of this process does first; the calling thread does it now.
pub fn prepare_with(prepare: fn()) {
    // A second core in one process is not a thing; the first one's wish stands.
    let _ = PREPARE.set(prepare);
    prepare();
}

/// Starts a kernel thread.
pub fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = std::thread::Builder::new().name(name).spawn(|| {
        if let Some(prepare) = PREPARE.get() {
            prepare();
        }
        body();
    });
    thread.map(drop)
}
