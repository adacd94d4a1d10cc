//! A slot has one window.

#![allow(unused_imports)]

use kd_api::{InBuf, OutBuf, Result, interface};

#[interface]
trait Offer {
    fn swap(&self, old: &mut OutBuf<'_>, new: &mut InBuf<'_>) -> Result<()>;
}

fn main() {}
