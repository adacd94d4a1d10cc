//! An operation is one of an object.

#![allow(unused_imports)]

use kd_api::{Result, interface};

#[interface]
trait Offer {
    fn count(at: u64) -> Result<u64>;
}

fn main() {}
