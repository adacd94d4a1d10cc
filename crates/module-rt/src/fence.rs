//! The panic fence: no panic of a driver unwinds into its host, which was linked with another standard library.
//!
//! The hook notes what was said, the fence around each operation catches the panic and hands the text to the host,
//! which never returns: what becomes of the thread or the domain is its decision.

use std::cell::Cell;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

use kd_api::around::Around;
use kd_api::message::Operation;
use kd_api::module::HostTable;

/// Ends at the host what would unwind into it.
pub struct Fence {
    host: &'static HostTable,
}

/// A panic's text, in place: a panic for want of memory must not ask for more.
#[derive(Clone, Copy)]
struct Text {
    bytes: [u8; 248],
    len: usize,
}

const EMPTY: Text = Text { bytes: [0; 248], len: 0 };

thread_local! {
    // Has no destructor, since a `Text` needs none: a module with one could not be unloaded.
    static SAID: Cell<Text> = const { Cell::new(EMPTY) };
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for character in text.chars() {
            let end = self.len + character.len_utf8();
            // What does not fit is cut off, between characters.
            let room = self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?;
            character.encode_utf8(room);
            self.len = end;
        }
        Ok(())
    }
}

fn note(info: &PanicHookInfo<'_>) {
    let mut text = EMPTY;
    let _ = write!(text, "{info}");
    SAID.set(text);
}

impl Fence {
    /// The fence towards `host`. From here on panics of this module are noted and not printed.
    pub(crate) fn new(host: &'static HostTable) -> Fence {
        std::panic::set_hook(Box::new(note));
        Fence { host }
    }

    /// Runs `operation`; does not return if it panics.
    #[inline]
    pub(crate) fn run<R>(&self, operation: impl FnOnce() -> R) -> R {
        catch_unwind(AssertUnwindSafe(operation)).unwrap_or_else(|_| self.panicked())
    }

    #[cold]
    fn panicked(&self) -> ! {
        let text = SAID.get();
        (self.host.panicked)(text.bytes.as_ptr(), text.len)
    }
}

impl Around for Fence {
    #[inline]
    fn around<R>(&self, _: &'static Operation, _: usize, operation: impl FnOnce() -> R) -> R {
        self.run(operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        let mut text = EMPTY;
        assert!(write!(text, "x{}", "ü".repeat(124)).is_err());
        assert_eq!(&text.bytes[..text.len], format!("x{}", "ü".repeat(123)).as_bytes());
    }

    #[test]
    fn a_panic_is_noted_in_its_thread() {
        std::panic::set_hook(Box::new(note));
        let caught = catch_unwind(|| panic!("sector {}", 7));
        let _ = std::panic::take_hook();
        assert!(caught.is_err());
        let said = SAID.get();
        let said = std::str::from_utf8(&said.bytes[..said.len]).expect("whole characters");
        assert!(said.starts_with("panicked at ") && said.ends_with(":\nsector 7"), "{said}");
    }
}
