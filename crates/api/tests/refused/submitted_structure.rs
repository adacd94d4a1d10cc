//! A structure lies in the window, where a dying server may write.

#![allow(unused_imports)]

use kd_api::interfaces::fs::SetAttr;
use kd_api::{Result, interface};

#[interface]
trait Offer {
    #[submittable]
    fn set(&self, change: SetAttr) -> Result<()>;
}

fn main() {}
