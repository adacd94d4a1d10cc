//! The kernel log of a boot: one console for all its processes, in the machine's memory, so that it outlives them.
//!
//! A root opens it before it forks anything; what it forks inherits the mapping. Without one, lines are dropped.

use std::sync::OnceLock;

use kd_machine::console::{Console, Line};
use kd_machine::memory::Memory;
use kd_nucleus::pkey::thread;

/// Bytes of the ring.
const SIZE: usize = 64 * 1024;

static LOG: OnceLock<Console> = OnceLock::new();
static MEMORY: OnceLock<Memory> = OnceLock::new();

/// Opens the log of this boot, once.
pub fn open() {
    if let Ok(memory) = Memory::new("kd-console", SIZE) {
        adopt(memory);
    }
}

/// Takes a boot's log over, in a process that inherited none.
pub fn adopt(memory: Memory) {
    if let Ok(console) = Console::map(&memory) {
        // A root has one boot; a second call finds the log open, which is as good.
        let _ = LOG.set(console);
        let _ = MEMORY.set(memory);
    }
}

/// Where the log is.
pub fn memory() -> Option<&'static Memory> {
    MEMORY.get()
}

/// Appends a line.
pub fn say(line: &str) {
    if let Some(log) = LOG.get() {
        // A domain in this process cannot write the log itself.
        thread::outside(|| log.append(line));
    }
}

/// The lines still in the ring, oldest first.
pub fn read() -> Vec<Line> {
    LOG.get().map(Console::read).unwrap_or_default()
}

/// Makes panics of this process lines of the log and nothing else; `then` decides what becomes of the thread.
pub fn panics(who: String, then: impl Fn() + Send + Sync + 'static) {
    std::panic::set_hook(Box::new(move |info| {
        say(&format!("{who}: {info}"));
        then();
    }));
}

/// `HostTable::log` of every domain: a module's line.
pub extern "C" fn module_line(text: *const u8, len: usize) {
    say(&kd_nucleus::module::border_text(text, len));
}
