//! What goes with what was seen of a trial, but decides nothing.

use std::fmt::Write;

use kd_boot::control::Event;

/// The notes.
#[derive(Clone, Debug)]
pub struct Notes {
    /// Nanoseconds from the first execution to the first notice.
    pub notice_ns: Option<u64>,
    /// Whether a hang limit was reached.
    pub timed: bool,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// The registers at the first execution; none of them if there was none.
    pub registers: Vec<(&'static str, u64)>,
    /// When that was.
    pub activated_at: u64,
    /// Where the spoiled address pointed.
    pub mark: &'static str,
}

impl Notes {
    /// All of it, for people.
    pub fn story(&self) -> String {
        let mut story = String::new();
        if self.activated_at == 0 {
            return "the instruction was never executed".into();
        }
        story.push_str("registers at its first execution:");
        for (number, (name, value)) in self.registers.iter().enumerate() {
            let between = if number % 6 == 0 { "\n  " } else { " " };
            // A text never refuses.
            let _ = write!(story, "{between}{name}={value:#x}");
        }
        for Event { at, who, what } in &self.events {
            let after = at.saturating_sub(self.activated_at) as f64 / 1e3;
            let _ = write!(story, "\n{after:.0} us later: {who}: {what:?}");
        }
        story
    }
}
