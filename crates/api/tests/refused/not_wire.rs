//! A value that nobody said how to marshal.

#![allow(unused_imports)]

use std::time::Duration;

use kd_api::{Result, interface};

#[interface]
trait Offer {
    fn put(&self, at: u64, value: Duration) -> Result<()>;
}

fn main() {}
