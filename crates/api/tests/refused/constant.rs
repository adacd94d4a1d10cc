//! Only operations have numbers.

#![allow(unused_imports)]

use kd_api::interface;

#[interface]
trait Offer {
    const LIMIT: u64;
}

fn main() {}
