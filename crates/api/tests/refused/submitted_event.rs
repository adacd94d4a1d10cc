//! Nothing answers an event.

#![allow(unused_imports)]

use kd_api::interfaces::fs::SetAttr;
use kd_api::{Result, interface};

#[interface]
trait Offer {
    #[event]
    #[submittable]
    fn gone(&self, number: u64);
}

fn main() {}
