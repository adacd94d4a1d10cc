//! A generic interface: its operations could not be numbered.

#![allow(unused_imports)]

use kd_api::{Result, interface};

#[interface]
trait Offer<T> {
    fn put(&self, value: T) -> Result<()>;
}

fn main() {}
