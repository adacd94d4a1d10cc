//! Nobody waits to take an event's window back.

#![allow(unused_imports)]

use kd_api::interface;

#[interface]
trait Offer {
    #[event]
    fn gone(&self, number: u64, name: &str);
}

fn main() {}
