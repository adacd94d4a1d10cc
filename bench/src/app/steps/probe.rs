//! A question to each interface that a fault has no business with.

use kd_api::interfaces::kv::KvStore;
use kd_api::interfaces::vfs::open;
use kd_api::{Errno, InBuf, OutBuf};
use kd_boot::board::{Board, Field};
use kd_workloads::Env;

const TEXT: &[u8] = b"is anybody there";

/// Asks each of these components; the board counts those that answered, and has a bit for each that answered wrongly.
pub fn all(env: &Env, probes: &[String], board: &Board) {
    for (number, component) in probes.iter().enumerate() {
        if one(env, component) != Ok(true) {
            board.add(Field::Unhealthy, 1 << number);
        }
        board.add(Field::Probed, 1);
    }
}

/// Whether it answers as it should.
fn one(env: &Env, component: &str) -> Result<bool, Errno> {
    let (sys, me) = (&env.sys, env.caller);
    let mut room = [0; TEXT.len()];
    match component {
        "proc" => Ok(sys.getpid(me)? == sys.getpid(me)?),
        "pipe" => {
            let (from, to) = sys.pipe(me)?;
            sys.write(me, to, &mut InBuf::new(TEXT))?;
            let count = sys.read(me, from, &mut OutBuf::new(&mut room))?;
            sys.close(me, from)?;
            sys.close(me, to)?;
            Ok(count == TEXT.len() && room == TEXT)
        }
        "ramfs" => {
            let fd = sys.open(me, "/probe", open::RDWR | open::CREAT | open::TRUNC, 0o600)?;
            sys.pwrite(me, fd, 0, &mut InBuf::new(TEXT))?;
            let count = sys.pread(me, fd, 0, &mut OutBuf::new(&mut room))?;
            sys.close(me, fd)?;
            sys.unlink(me, "/probe")?;
            Ok(count == TEXT.len() && room == TEXT)
        }
        "kv" => {
            let kv = env.services.get::<dyn KvStore>("kv").map_err(|_| Errno::ENOSYS)?;
            kv.put(u64::MAX, &mut InBuf::new(TEXT))?;
            let count = kv.get(u64::MAX, &mut OutBuf::new(&mut room))?;
            Ok(count == TEXT.len() && room == TEXT)
        }
        _ => Err(Errno::ENOSYS),
    }
}
