//! A ticket keeps words and one buffer to send the call again.

#![allow(unused_imports)]

use kd_api::interfaces::fs::SetAttr;
use kd_api::{Result, interface};

#[interface]
trait Offer {
    #[submittable]
    fn look_up(&self, name: &str) -> Result<u64>;
}

fn main() {}
