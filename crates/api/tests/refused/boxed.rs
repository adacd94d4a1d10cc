//! Owned memory would be freed by the wrong allocator.

#![allow(unused_imports)]

use kd_api::{Result, interface};

#[interface]
trait Offer {
    fn put(&self, value: Box<u64>) -> Result<()>;
}

fn main() {}
