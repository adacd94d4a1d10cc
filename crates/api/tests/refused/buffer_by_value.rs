//! A buffer's cursor stays the caller's.

#![allow(unused_imports)]

use kd_api::{InBuf, Result, interface};

#[interface]
trait Offer {
    fn put(&self, data: InBuf<'_>) -> Result<()>;
}

fn main() {}
