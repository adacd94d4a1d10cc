//! Processes of the host: fork, death notices, CPU time, affinity.

mod child;
mod descriptors;
mod look;
mod room;
mod schedule;

pub use child::{
    Child, Exit, ROOT, die_with_parent, exit_now, exit_thread, fork, outlive_parent, set_name, signal, signal_name,
};
pub use descriptors::{bequeath, close_descriptors, close_descriptors_but, inherit, poll, poll_all, silence};
pub use look::{
    context_switches, copy_from, cpu_time, has_work, is_runnable, own_bytes, slowness, state, thread_count,
    thread_cpu_time,
};
pub use room::{bring_in, limit, measure};
pub use schedule::{be_nice, bind, bind_thread, has_one_core, let_others_finish};
