//! Reading whole files of a kernel's, for tests and people: `/proc` above all.

use std::fs::File;

use kd_api::interfaces::vfs::open;
use kd_api::{OutBuf, Result};
use kd_workloads::Env;

use super::emit;

/// Writes each file's text, or the name of the errno.
pub fn run(env: &Env, paths: &[String], mut results: File) {
    for path in paths {
        emit(&mut results, &read(env, path).map_err(|errno| errno.name()));
    }
}

fn read(env: &Env, path: &str) -> Result<String> {
    let fd = env.sys.open(env.caller, path, open::RDONLY, 0)?;
    let (mut text, mut piece) = (Vec::new(), [0; 1000]);
    let ended = loop {
        match env.sys.read(env.caller, fd, &mut OutBuf::new(&mut piece)) {
            Ok(0) => break Ok(()),
            Ok(count) => text.extend_from_slice(&piece[..count]),
            Err(errno) => break Err(errno),
        }
    };
    env.sys.close(env.caller, fd)?;
    ended.map(|()| String::from_utf8_lossy(&text).into_owned())
}
