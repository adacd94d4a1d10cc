//! A deferred reply may outlive the claim on its window.

#![allow(unused_imports)]

use kd_api::interfaces::fs::Kind;
use kd_api::{Completion, interface};

#[interface]
trait Offer {
    fn find(&self, number: u64, done: Completion<Kind>);
}

fn main() {}
