//! A server may be gone, so every operation may fail.

#![allow(unused_imports)]

use kd_api::interface;

#[interface]
trait Offer {
    fn count(&self) -> u64;
}

fn main() {}
