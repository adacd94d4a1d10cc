//! When a step counts as hung. How long it takes by the wall clock, which a busy machine stretches at will, says nothing:
//! what counts is that the kernel's processes have burnt CPU time over this one step ([`CPU_LIMIT`]), or that all
//! of them sleep, look after look ([`IDLE_LOOKS`]). Both are more than a supervisor needs to notice a hang, so that one
//! who would notice has noticed: it is asked something before each look, and looks at its servers itself no more rarely.

use std::time::Duration;

use kd_boot::root::TICK;
use kd_nucleus::process;

/// Until the first look: nearly every step is over by then.
const FIRST: Duration = Duration::from_millis(3);
/// Between two further looks: a supervisor looks as well in between.
const LOOK: Duration = TICK;
/// CPU time of one step: some hundred times the longest honest one.
const CPU_LIMIT: Duration = Duration::from_millis(40);
/// Looks in a row that find nobody at work.
const IDLE_LOOKS: u32 = 12;

/// In the last so many of these everybody is asked whether it is really asleep.
const ASKED: u32 = 3;
/// CPU time between two looks that is nobody's work: a kernel in one process looks after itself every few milliseconds, on
/// its first thread, and the others' clocks cannot be told apart from outside.
const HOUSEKEEPING: Duration = Duration::from_millis(1);

/// One step that takes long.
#[derive(Default)]
pub struct Watch {
    begun: Option<Duration>,
    last: Duration,
    kernel: Vec<i32>,
    idle: u32,
}

impl Watch {
    /// How long to wait before the next look.
    pub fn pause(&self) -> Duration {
        if self.begun.is_none() { FIRST } else { LOOK }
    }

    /// A look at a kernel's processes and the app's; whether the step is hung.
    pub fn is_hung(&mut self, kernel: Vec<i32>, app: i32) -> bool {
        let used: Duration = kernel.iter().chain([&app]).map(|&pid| process::cpu_time(pid)).sum();
        let begun = *self.begun.get_or_insert(used);
        // A process that has died takes its time along.
        self.begun = Some(begun.min(used));
        let rests = used.abs_diff(self.last) <= HOUSEKEEPING && kernel == self.kernel;
        self.idle = if rests { self.idle + 1 } else { 0 };
        // Who gets no core on a busy machine uses no CPU time either, and wants some. To ask takes longer than to look at
        // clocks, so it is asked at the end.
        let wants = || {
            process::is_runnable(app)
                || match kernel[..] {
                    // Its first thread keeps house.
                    [alone] => process::has_work(alone),
                    // A successor's first thread is what starts it.
                    _ => kernel.iter().any(|&pid| process::is_runnable(pid)),
                }
        };
        if self.idle > IDLE_LOOKS - ASKED && wants() {
            self.idle = 0;
        }
        self.last = used;
        self.kernel = kernel;
        used.saturating_sub(begun) > CPU_LIMIT * process::slowness() || self.idle >= IDLE_LOOKS
    }
}
