//! Every subsystem there is; a kernel core takes its components from here and nowhere else.

use alloc::vec;
use alloc::vec::Vec;

use kd_api::Component;

macro_rules! extensions {
    ($($name:ident)*) => { [$(crate::$name::component()),*] };
}

/// The subsystems: those that every kernel needs, each after those it imports, then the extensions.
pub fn components() -> Vec<Component> {
    let mut all = vec![
        crate::proc::component(),
        crate::pipe::component(),
        crate::ramfs::component(),
        crate::block::component(),
        crate::jfs::component(),
        crate::procfs::component(),
        crate::vfs::component(),
    ];
    all.extend(kd_api::extensions!(extensions));
    all
}
