//! A structure needs a window as well.

#![allow(unused_imports)]

use kd_api::interface;
use kd_api::interfaces::fs::Kind;

#[interface]
trait Offer {
    #[event]
    fn gone(&self, number: u64, kind: Kind);
}

fn main() {}
