//! The panic fence: no panic of a driver unwinds, neither through the driver nor into its host, which was linked with
//! another standard library.
//!
//! The panic hook hands the text to the host, which never returns: what becomes of the thread or the domain is its
//! decision. So no destructor runs and locks stay held, as after Linux's `BUG()`.

use std::fmt::Write;

use kd_api::module::HostTable;

/// A panic's text, in place: a panic for want of memory must not ask for more.
#[derive(Clone, Copy)]
struct Text {
    bytes: [u8; 248],
    len: usize,
}

const EMPTY: Text = Text { bytes: [0; 248], len: 0 };

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

/// From here on panics of this module end at `host`.
pub(crate) fn install(host: &'static HostTable) {
    std::panic::set_hook(Box::new(move |info| {
        let mut text = EMPTY;
        let _ = write!(text, "{info}");
        (host.panicked)(text.bytes.as_ptr(), text.len)
    }));
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
}
