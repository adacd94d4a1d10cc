//! An event is never answered.

#![allow(unused_imports)]

use kd_api::{Result, interface};

#[interface]
trait Offer {
    #[event]
    fn gone(&self, number: u64) -> Result<()>;
}

fn main() {}
