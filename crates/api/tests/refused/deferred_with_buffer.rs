//! The caller's buffer may be gone when a deferred operation is answered.

#![allow(unused_imports)]

use kd_api::{Completion, OutBuf, interface};

#[interface]
trait Offer {
    fn read(&self, out: &mut OutBuf<'_>, done: Completion<usize>);
}

fn main() {}
