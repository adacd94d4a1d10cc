//! Every subsystem there is. A newcomer adds one line; a kernel core takes its components from here and nowhere else.

use alloc::vec;
use alloc::vec::Vec;

use kd_api::Component;

/// The subsystems, each after those it imports.
pub fn components() -> Vec<Component> {
    vec![crate::proc::component(), crate::pipe::component(), crate::ramfs::component(), crate::vfs::component()]
}
