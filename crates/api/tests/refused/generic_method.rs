//! A generic operation has no number.

#![allow(unused_imports)]

use kd_api::{Result, interface};

#[interface]
trait Offer {
    fn put<T>(&self, value: T) -> Result<()>;
}

fn main() {}
