//! So has its reply.

#![allow(unused_imports)]

use kd_api::{Result, interface};

#[interface]
trait Offer {
    fn get(&self) -> Result<((u64, (u64, u64)), ((u64, u64), (u64, u64)))>;
}

fn main() {}
