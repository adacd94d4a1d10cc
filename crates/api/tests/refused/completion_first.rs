//! A completion comes last.

#![allow(unused_imports)]

use kd_api::{Completion, interface};

#[interface]
trait Offer {
    fn find(&self, done: Completion<u64>, number: u64);
}

fn main() {}
