//! What a file system in memory keeps where it outlives its server: inodes, names, and the pages of files themselves.
//!
//! | part of the store | what |
//! | --- | --- |
//! | first words | which instance it is, under a seal |
//! | inodes | an account of each: attributes, size, how many pages it has, how many hold it |
//! | names | an account of each: which directory, at which position, what it leads to |
//! | frames | an account of each page: whose it is, and what its bytes sum up to ([`page`](super::page)) |
//! | exchanges | of each that is under way, what its two names will lead to |
//! | data | the frames, a page each |
//!
//! Steps of a call stand in such an order that an end between any two leaves it done or not done: an inode is there before
//! its first name and goes after its last; what was moved is newer than what it replaces; a file grows after its pages
//! are written and shrinks before they go. [`recovery`](super::recovery) reads it all.

use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use kd_api::interfaces::fs::{Kind, NAME_MAX};
use kd_api::{Errno, Ino, Result, Store};

use super::file::PAGE;
use crate::accounts::{Account, Accounts, Opened};
use crate::records::seal;

/// Inodes, and names, that find room: beyond them is `ENOSPC`.
const INODES: usize = 16_384;
/// Pages that do: 48 MiB.
const FRAMES: usize = 12_288;
const EXCHANGES: usize = 64;

const INODE: usize = 8;
const NAME: usize = 4 + NAME_MAX.div_ceil(8);
const FRAME: usize = 4;
const EXCHANGE: usize = 4;

/// Words of a page.
pub const PAGE_WORDS: usize = PAGE / 8;
const INSTANCE: usize = 2;
const PARTS: [usize; 6] = parts(INODES, FRAMES);

/// Words of the store.
pub const STORE: usize = words(PARTS);

pub type InodeAccount = Account<INODE>;
pub type NameAccount = Account<NAME>;
pub type FrameAccount = Account<FRAME>;
pub type ExchangeAccount = Account<EXCHANGE>;

/// Words of each part, in a store for so many inodes and pages.
pub const fn parts(inodes: usize, frames: usize) -> [usize; 6] {
    [
        INSTANCE,
        Accounts::<INODE>::words(inodes),
        Accounts::<NAME>::words(inodes),
        Accounts::<FRAME>::words(frames),
        Accounts::<EXCHANGE>::words(EXCHANGES),
        frames * PAGE_WORDS,
    ]
}

/// Words of all parts.
pub const fn words(parts: [usize; 6]) -> usize {
    let (mut words, mut part) = (0, 0);
    while part < parts.len() {
        words += parts[part];
        part += 1;
    }
    words
}

/// The parts of a store.
pub struct Kept {
    instance: Store,
    inodes: Arc<Accounts<INODE>>,
    names: Arc<Accounts<NAME>>,
    frames: Arc<Accounts<FRAME>>,
    exchanges: Arc<Accounts<EXCHANGE>>,
    data: Store,
}

/// What a store holds.
pub struct Found {
    pub kept: Kept,
    /// Which instance filled it; `None` if that is spoiled.
    pub instance: Option<u64>,
    pub new: bool,
    pub inodes: Opened<INODE>,
    pub names: Opened<NAME>,
    pub frames: Opened<FRAME>,
    pub exchanges: Opened<EXCHANGE>,
}

/// What is kept of an inode, but for its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodeWords {
    pub ino: Ino,
    pub kind: Kind,
    pub mode: u16,
    pub holds: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub pages: u64,
    pub times: [u64; 3],
}

/// What is kept of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameWords<'a> {
    pub directory: Ino,
    pub position: u64,
    pub ino: Ino,
    pub kind: Kind,
    pub name: &'a [u8],
}

/// What a name leads to.
pub type Lead = (Ino, Kind);

const KINDS: [Kind; 3] = [Kind::File, Kind::Directory, Kind::Symlink];

fn number(kind: Kind) -> u64 {
    KINDS.iter().position(|known| *known == kind).unwrap_or(KINDS.len()) as u64
}

fn kind(number: u64) -> Option<Kind> {
    KINDS.get(usize::try_from(number).ok()?).copied()
}

impl InodeWords {
    fn words(&self) -> [u64; INODE] {
        let InodeWords { ino, kind, mode, holds, uid, gid, size, pages, times: [atime, mtime, ctime] } = *self;
        let what = number(kind) | u64::from(mode) << 8 | u64::from(holds) << 32;
        [ino.0, what, u64::from(uid) | u64::from(gid) << 32, size, pages, atime, mtime, ctime]
    }

    /// `None` if they make no sense.
    pub fn of([ino, what, who, size, pages, atime, mtime, ctime]: [u64; INODE]) -> Option<InodeWords> {
        Some(InodeWords {
            ino: Ino(ino),
            kind: kind(what & 0xFF)?,
            mode: (what >> 8) as u16,
            holds: (what >> 32) as u32,
            uid: who as u32,
            gid: (who >> 32) as u32,
            size,
            pages,
            times: [atime, mtime, ctime],
        })
    }
}

impl NameWords<'_> {
    fn words(&self) -> [u64; NAME] {
        let what = number(self.kind) | (self.name.len() as u64) << 8;
        let mut words = [0; NAME];
        words[..4].copy_from_slice(&[self.directory.0, self.position, self.ino.0, what]);
        for (word, bytes) in words[4..].iter_mut().zip(self.name.chunks(8)) {
            *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        words
    }

    /// With the bytes in `name`; `None` if they make no sense.
    pub fn of(words: [u64; NAME], name: &mut String) -> Option<NameWords<'_>> {
        let mut bytes = [0; 8 * (NAME - 4)];
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(&words[4..]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let len = usize::try_from(words[3] >> 8).ok()?;
        name.clear();
        name.push_str(core::str::from_utf8(bytes.get(..len)?).ok()?);
        super::check_name(name).ok()?;
        Some(NameWords {
            directory: Ino(words[0]),
            position: words[1],
            ino: Ino(words[2]),
            kind: kind(words[3] & 0xFF)?,
            name: name.as_bytes(),
        })
    }
}

impl Kept {
    /// Opens a store.
    pub fn open(store: Store) -> Found {
        Kept::open_parts(store, PARTS)
    }

    /// The same with parts of these sizes.
    pub fn open_parts(store: Store, parts: [usize; 6]) -> Found {
        let mut rest = store;
        let [instance, inodes, names, frames, exchanges, data] = parts.map(|words| {
            let part;
            (part, rest) = rest.split_at(words.min(rest.len()));
            part
        });
        let known = instance[1].load(Relaxed);
        let sealed = instance[0].load(Acquire);
        let new = sealed == 0
            && known == 0
            && Accounts::<INODE>::is_new(inodes)
            && Accounts::<NAME>::is_new(names)
            && Accounts::<FRAME>::is_new(frames);
        let (inodes, names) = (Accounts::open(inodes, new), Accounts::open(names, new));
        let (frames, exchanges) = (Accounts::open(frames, new), Accounts::open(exchanges, new));
        let kept = Kept {
            instance,
            inodes: inodes.accounts.clone(),
            names: names.accounts.clone(),
            frames: frames.accounts.clone(),
            exchanges: exchanges.accounts.clone(),
            data,
        };
        let instance = (sealed == seal(0, &[known])).then_some(known);
        Found { kept, instance, new, inodes, names, frames, exchanges }
    }

    /// Notes which instance it is now.
    pub fn set_instance(&self, instance: u64) {
        self.instance[1].store(instance, Relaxed);
        self.instance[0].store(seal(0, &[instance]), Release);
    }

    /// Room for an inode; `ENOSPC`.
    pub fn inode(&self) -> Result<InodeAccount> {
        self.inodes.reserve().ok_or(Errno::ENOSPC)
    }

    /// Room for a name; `ENOSPC`.
    pub fn name(&self) -> Result<NameAccount> {
        self.names.reserve().ok_or(Errno::ENOSPC)
    }

    /// Room for a page; `ENOSPC`.
    pub fn frame(&self) -> Result<FrameAccount> {
        self.frames.reserve().ok_or(Errno::ENOSPC)
    }

    /// The words of a frame.
    pub fn data(&self, frame: &FrameAccount) -> &'static [AtomicU64] {
        &self.data[frame.place() * PAGE_WORDS..][..PAGE_WORDS]
    }

    /// Inodes and pages: of each, how many there is room for in all, and for how many still.
    pub fn room(&self) -> [(usize, usize); 2] {
        [self.inodes.room(), self.frames.room()]
    }

    /// The names at these places are to lead to these, both or neither: a successor does it, unless both are noted and this
    /// is dropped.
    pub fn exchange(&self, [(one, to_one), (other, to_other)]: [(usize, Lead); 2]) -> Result<ExchangeAccount> {
        let mut exchange = self.exchanges.reserve().ok_or(Errno::ENOSPC)?;
        let kinds = number(to_one.1) | number(to_other.1) << 8;
        exchange.set(&[one as u64 | (other as u64) << 32, to_one.0.0, to_other.0.0, kinds]);
        Ok(exchange)
    }
}

/// What names at these places are to lead to, by an exchange that was under way.
pub fn leads([places, one, other, kinds]: [u64; EXCHANGE]) -> [(usize, Option<Lead>); 2] {
    let lead = |ino, number| kind(number).map(|kind| (Ino(ino), kind));
    [(places as u32 as usize, lead(one, kinds & 0xFF)), ((places >> 32) as usize, lead(other, kinds >> 8))]
}

/// Notes an inode.
pub fn note_inode(account: &mut InodeAccount, words: &InodeWords) {
    account.set(&words.words());
}

/// Notes a name.
pub fn note_name(account: &mut NameAccount, words: &NameWords<'_>) {
    account.set(&words.words());
}
