//! What `cargo test` makes of this program: every cell goes a few rounds on one core, where its answers are looked at,
//! and leaves nothing.

use std::io;

use kernel_debate::experiments::ipc;
use kernel_debate::meta;

use crate::peers::{Actors, Ask, Body};
use crate::rig::Rig;
use crate::{named, peers};

pub fn run() -> io::Result<()> {
    judges()?;
    // Who polls without giving the core up needs a second one.
    let cores = meta::cores();
    for cell in ipc::cells(false).iter().filter(|cell| cell.missing(cores.len()).is_none()) {
        let here = if cell.means.wait == "spin" { &cores[..2] } else { &cores[..1] };
        let mut rig = Rig::new(cell, here)?;
        let id = rig.id();
        (0..2).try_for_each(|_| rig.run(20).map(drop)).map_err(|error| named(cell, &error))?;
        drop(rig);
        let left = peers::left_behind(id);
        if !left.is_empty() {
            return Err(named(cell, &io::Error::other(format!("it left {left:?} behind"))));
        }
    }
    Ok(())
}

/// Wrong answers are told from right ones.
fn judges() -> io::Result<()> {
    let body = Body::new(64);
    let mut right = Vec::new();
    body.clone().ask(7, &mut |bytes| right = bytes.to_vec())?;
    let mut wrong = right.clone();
    wrong[20] ^= 1;
    let told = body.is_answer(7, &right)
        && body.looks_like_answer(7, &right)
        && !body.is_answer(7, &wrong)
        && !body.looks_like_answer(8, &right)
        && !body.looks_like_answer(7, &right[..56])
        && Actors::default().cpu_time().as_nanos() > 0;
    if told { Ok(()) } else { Err(io::Error::other("the judge of answers is wrong")) }
}
