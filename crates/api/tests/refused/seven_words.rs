//! A message has six words.

#![allow(unused_imports)]

use kd_api::{Result, interface};

#[interface]
trait Offer {
    fn put(&self, a: u8, b: u16, c: u32, d: u64, e: (i32, i64), last: bool) -> Result<()>;
}

fn main() {}
