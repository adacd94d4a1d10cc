//! An operation that returns nothing is an event, and says so.

#![allow(unused_imports)]

use kd_api::interface;

#[interface]
trait Offer {
    fn poke(&self, at: u64);
}

fn main() {}
