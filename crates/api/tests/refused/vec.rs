//! Owned memory, in another form.

#![allow(unused_imports)]

use kd_api::{Result, interface};

#[interface]
trait Offer {
    fn put(&self, bytes: Vec<u8>) -> Result<()>;
}

fn main() {}
