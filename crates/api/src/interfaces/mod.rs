//! The interfaces, one file each: a trait marked `#[interface]`. A new one is a file here and its name in
//! [`extensions!`](crate::extensions).

pub mod block;
pub mod fs;
pub mod kernel;
pub mod pipe;
pub mod proc;
pub mod syscalls;
pub mod vfs;

macro_rules! modules {
    ($($name:ident)*) => { $(pub mod $name;)* };
}
crate::extensions!(modules);
