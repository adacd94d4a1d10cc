//! Nor one to be filled.

#![allow(unused_imports)]

use kd_api::{Result, interface};

#[interface]
trait Offer {
    fn get(&self, bytes: &mut [u8], at: u64) -> Result<()>;
}

fn main() {}
