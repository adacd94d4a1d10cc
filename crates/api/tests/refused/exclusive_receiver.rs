//! Several callers are inside at once.

#![allow(unused_imports)]

use kd_api::{Result, interface};

#[interface]
trait Offer {
    fn count(&mut self) -> Result<u64>;
}

fn main() {}
