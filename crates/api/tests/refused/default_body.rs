//! A client could not know of a default.

#![allow(unused_imports)]

use kd_api::{Result, interface};

#[interface]
trait Offer {
    fn count(&self) -> Result<u64> { Ok(0) }
}

fn main() {}
