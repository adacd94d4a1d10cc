//! When a step counts as hung. How long it takes by the wall clock, which a busy machine stretches at will, says nothing:
//! what counts is that the kernel's processes have burnt CPU time over this one step ([`CPU_LIMIT`]), or that all
//! of them sleep, look after look ([`IDLE_LOOKS`]). Both are more than a supervisor needs to notice a hang, so that one
//! who would notice has noticed.

use std::time::Duration;

use kd_nucleus::process;

/// Between two looks.
pub const LOOK: Duration = Duration::from_millis(2);
/// CPU time of one step: some hundred times the longest honest one.
pub const CPU_LIMIT: Duration = Duration::from_millis(50);
/// Looks in a row that find everybody asleep.
pub const IDLE_LOOKS: u32 = 100;

/// One step that takes long.
#[derive(Default)]
pub struct Watch {
    begun: Option<Duration>,
    last: Duration,
    idle: u32,
}

impl Watch {
    /// A look at a kernel's processes and the app's; whether the step is hung.
    pub fn is_hung(&mut self, pids: &[i32]) -> bool {
        let used: Duration = pids.iter().map(|&pid| process::cpu_time(pid)).sum();
        let begun = *self.begun.get_or_insert(used);
        // A process that has died takes its time along.
        self.begun = Some(begun.min(used));
        let moves = used != self.last || pids.iter().any(|&pid| process::is_runnable(pid));
        self.last = used;
        self.idle = if moves { 0 } else { self.idle + 1 };
        used.saturating_sub(begun) > CPU_LIMIT || self.idle > IDLE_LOOKS
    }
}
