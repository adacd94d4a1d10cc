//! A slice of memory that a peer may write would be undefined behaviour.

#![allow(unused_imports)]

use kd_api::{Result, interface};

#[interface]
trait Offer {
    fn put(&self, at: u64, bytes: &[u8]) -> Result<()>;
}

fn main() {}
