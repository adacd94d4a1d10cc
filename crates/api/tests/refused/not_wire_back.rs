//! The same as a result.

#![allow(unused_imports)]

use std::time::Duration;

use kd_api::{Result, interface};

#[interface]
trait Offer {
    fn get(&self, at: u64) -> Result<Duration>;
}

fn main() {}
