//! The same of one that is only read.

#![allow(unused_imports)]

use kd_api::{Result, interface};

#[interface]
trait Offer {
    fn put(&self, at: u64, value: &u64) -> Result<()>;
}

fn main() {}
