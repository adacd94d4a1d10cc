//! Directory entries in the form of Linux's `struct linux_dirent64`: inode, next position, length, type, name, NUL,
//! padded to eight bytes (`getdents64(2)`).

use kd_api::interfaces::fs::{Kind, NAME_MAX};
use kd_api::{Errno, OutBuf, Result};

const HEADER: usize = 19;
const LONGEST: usize = (HEADER + NAME_MAX + 1).next_multiple_of(8);

/// One entry; `next` is the position after it.
pub struct Entry<'a> {
    pub ino: u64,
    pub next: u64,
    pub kind: Kind,
    pub name: &'a str,
}

/// Writes entries until one does not fit; returns the next position (`cursor` if there was none) and the bytes written.
/// `EINVAL` when not even the first fits.
pub fn write<'a>(cursor: u64, entries: impl Iterator<Item = Entry<'a>>, out: &mut OutBuf<'_>) -> Result<(u64, usize)> {
    let (mut position, mut bytes) = (cursor, 0);
    for entry in entries {
        let mut record = [0; LONGEST];
        let name = entry.name.as_bytes();
        let length = (HEADER + name.len() + 1).next_multiple_of(8);
        if length > out.remaining() {
            if bytes == 0 {
                return Err(Errno::EINVAL);
            }
            break;
        }
        record[..8].copy_from_slice(&entry.ino.to_le_bytes());
        record[8..16].copy_from_slice(&entry.next.to_le_bytes());
        record[16..18].copy_from_slice(&(length as u16).to_le_bytes());
        record[18] = match entry.kind {
            Kind::Fifo => 1,
            Kind::Directory => 4,
            Kind::Symlink => 10,
            Kind::Block => 6,
            Kind::File => 8,
        };
        record[HEADER..HEADER + name.len()].copy_from_slice(name);
        bytes += out.write(&record[..length]);
        position = entry.next;
    }
    Ok((position, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_that_of_linux() {
        let mut room = [0xAA; 24];
        let entry = || Entry { ino: 0x0102, next: 7, kind: Kind::File, name: "abc" };
        assert_eq!(write(3, [entry(), entry()].into_iter(), &mut OutBuf::new(&mut room)), Ok((7, 24)));
        let expected = [2, 1, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 24, 0, 8, b'a', b'b', b'c', 0, 0];
        assert_eq!(room, expected);
    }

    #[test]
    fn longest_name_fits_and_too_little_room_is_refused() {
        let name = core::str::from_utf8(&[b'x'; NAME_MAX]).expect("ASCII");
        let entry = || Entry { ino: 1, next: 1, kind: Kind::Directory, name };
        let mut room = [0; 280];
        assert_eq!(write(0, [entry()].into_iter(), &mut OutBuf::new(&mut room)), Ok((1, 280)));
        assert_eq!(write(0, [entry()].into_iter(), &mut OutBuf::new(&mut room[..279])), Err(Errno::EINVAL));
        assert_eq!(write(5, [].into_iter(), &mut OutBuf::new(&mut [])), Ok((5, 0)));
    }
}
