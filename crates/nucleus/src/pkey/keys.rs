//! Protection keys as the host lends them, and rights over them as the processor keeps them.
//!
//! Each page has one of sixteen keys; a register of the thread, PKRU, has two bits for each: no access, no writing
//! (Intel, Software Developer's Manual, volume 3A, "Protection Keys"). Changing it takes one unprivileged instruction
//! and no flush, which makes it a cheap boundary, and a boundary against faults, not against malice.

use std::io;

/// Keys of a processor. The first is that of all memory that nobody gave another.
pub const KEYS: usize = 16;

/// Why there are no protected domains, or not enough of them.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The machine has none.
    #[error(
        "this machine has no protection keys (/proc/cpuinfo has no flag `ospke`): place components in processes \
         (`process`), or run `cargo debate vm-test`, which emulates a processor that has them"
    )]
    Missing,
    /// All are lent out.
    #[error("the host has no protection key left: a processor has sixteen")]
    Exhausted,
    /// The host refused something else.
    #[error("the host refused: {0}")]
    Host(#[from] io::Error),
}

/// A key, lent for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(u32);

impl Key {
    /// The key of memory without another: the program's data, the C library's heap, thread-local storage.
    pub const COMMON: Key = Key(0);

    /// Borrows one from the host.
    pub fn allocate() -> Result<Key, KeyError> {
        // SAFETY: plain system call; whoever protects memory by the key decides what becomes inaccessible.
        let key = unsafe { libc::syscall(libc::SYS_pkey_alloc, 0, 0) };
        match u32::try_from(key) {
            Ok(key) => Ok(Key(key)),
            Err(_) => Err(KeyError::Exhausted),
        }
    }

    /// Gives whole pages this key; they become readable and writable for who has the rights.
    pub fn protect(self, start: usize, size: usize) -> io::Result<()> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: contents and addresses stay; whoever uses the pages without the rights gets a fault, nothing worse.
        match unsafe { libc::syscall(libc::SYS_pkey_mprotect, start, size, access, self.0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Gives it back. No page may have it any more.
    fn free(self) {
        // SAFETY: plain system call.
        unsafe { libc::syscall(libc::SYS_pkey_free, self.0) };
    }
}

/// Whether this machine has protection keys, and the host lends them.
pub fn available() -> Result<(), KeyError> {
    match Key::allocate() {
        Ok(key) => {
            key.free();
            Ok(())
        }
        Err(_) => Err(KeyError::Missing),
    }
}

/// How many keys the host has left to lend to this process.
///
/// # Errors
/// `Missing`, if the machine has none at all.
pub fn count() -> Result<usize, KeyError> {
    available()?;
    let lent: Vec<Key> = std::iter::from_fn(|| Key::allocate().ok()).collect();
    lent.iter().for_each(|key| key.free());
    Ok(lent.len())
}

/// What a thread may do with the memory of each key: a value of PKRU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights(pub(super) u32);

impl Rights {
    /// Everything.
    pub const ALL: Rights = Rights(0);
    /// Nothing at all.
    pub const NONE: Rights = Rights(0x5555_5555);
    /// Reading everything, writing nothing.
    pub const READ: Rights = Rights(0xAAAA_AAAA);

    /// The same, and reading this key's memory.
    #[must_use]
    pub const fn reading(self, key: Key) -> Rights {
        Rights(self.0 & !(3 << (2 * key.0)) | 2 << (2 * key.0))
    }

    /// The same, and reading and writing this key's memory.
    #[must_use]
    pub const fn writing(self, key: Key) -> Rights {
        Rights(self.0 & !(3 << (2 * key.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_two_bits_for_each_key() {
        let rights = Rights::NONE.reading(Key::COMMON).writing(Key(3));
        assert_eq!(rights, Rights(0x5555_5516));
        assert_eq!(Rights::READ.writing(Key(15)), Rights(0x2AAA_AAAA));
    }
}
