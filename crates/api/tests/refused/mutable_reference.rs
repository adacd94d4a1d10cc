//! A reference to somebody's memory is none on the other side.

#![allow(unused_imports)]

use kd_api::{Result, interface};

#[interface]
trait Offer {
    fn get(&self, at: u64, into: &mut u64) -> Result<()>;
}

fn main() {}
