//! How values become words, and how claims of a peer become values again.
//!
//! Scalars and identifiers take one word each; structured values are serialised (postcard) into the window's spill
//! area and take one word for their length; strings likewise. A [`Decoder`] checks everything it is given: what it
//! returns is private memory, and a malformed message is an error and nothing else.

use serde::{Serialize, de::DeserializeOwned};

use crate::message::WORDS;
use crate::window::Window;
use crate::{Errno, Result};

/// Longest serialised form of one structured value, in bytes.
pub const STRUCT_MAX: usize = 512;

/// A value that can cross a protection boundary.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot cross a protection boundary",
    label = "not a scalar, an identifier or a structure marked with `wire_by_codec!`",
    note = "pass bulk data as `&mut InBuf<'_>` or `&mut OutBuf<'_>`, text as `&str`"
)]
pub trait Wire: Sized {
    /// Words it takes of a message's six.
    const WORDS: usize;
    /// Whether it needs a window beside its words.
    const SPILLS: bool = false;
    /// Appends the value.
    fn put(&self, to: &mut Encoder<'_>) -> Result<()>;
    /// Takes the next value; [`Errno::EBADMSG`] if it is none.
    fn get(from: &mut Decoder<'_>) -> Result<Self>;
}

/// Builds the words and the spill of one message.
pub struct Encoder<'a> {
    words: &'a mut [u64; WORDS],
    used: usize,
    window: Option<Window<'a>>,
    spilled: usize,
}

/// Takes one message apart.
pub struct Decoder<'a> {
    words: &'a [u64; WORDS],
    used: usize,
    window: Window<'a>,
    spilled: usize,
    scratch: &'a mut [u8],
}

impl<'a> Encoder<'a> {
    /// Writes a message's `words`, which are zero so far; strings and structures go to `window`.
    #[inline]
    pub fn new(words: &'a mut [u64; WORDS], window: Window<'a>) -> Encoder<'a> {
        Encoder { words, used: 0, window: Some(window), spilled: 0 }
    }

    /// The same for a message that has no window: strings and structures are refused.
    #[inline]
    pub fn words_only(words: &'a mut [u64; WORDS]) -> Encoder<'a> {
        Encoder { words, used: 0, window: None, spilled: 0 }
    }

    /// Bytes spilled into the window so far.
    #[inline]
    pub fn spilled(&self) -> usize {
        self.spilled
    }

    /// Appends one word.
    #[inline]
    pub fn word(&mut self, word: u64) -> Result<()> {
        *self.words.get_mut(self.used).ok_or(Errno::EOVERFLOW)? = word;
        self.used += 1;
        Ok(())
    }

    /// Appends bytes to the spill and their length as a word.
    pub fn spill(&mut self, bytes: &[u8]) -> Result<()> {
        let window = self.window.as_ref().ok_or(Errno::EOVERFLOW)?;
        if !window.write_spill(self.spilled, bytes) {
            return Err(Errno::ENAMETOOLONG);
        }
        self.spilled += bytes.len();
        self.word(bytes.len() as u64)
    }
}

impl<'a> Decoder<'a> {
    /// The message with these words; strings are copied into `scratch` before they are looked at.
    #[inline]
    pub fn new(words: &'a [u64; WORDS], window: Window<'a>, scratch: &'a mut [u8]) -> Decoder<'a> {
        Decoder { words, used: 0, window, spilled: 0, scratch }
    }

    /// The next word.
    #[inline]
    pub fn word(&mut self) -> Result<u64> {
        let word = *self.words.get(self.used).ok_or(Errno::EBADMSG)?;
        self.used += 1;
        Ok(word)
    }

    /// The next string.
    pub fn string(&mut self) -> Result<&'a str> {
        let len = usize::try_from(self.word()?).map_err(|_| Errno::EBADMSG)?;
        let scratch = core::mem::take(&mut self.scratch);
        if len > scratch.len() {
            return Err(Errno::EBADMSG);
        }
        let (bytes, rest) = scratch.split_at_mut(len);
        self.scratch = rest;
        self.fill(bytes)?;
        core::str::from_utf8(bytes).map_err(|_| Errno::EBADMSG)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        if !self.window.read_spill(self.spilled, bytes) {
            return Err(Errno::EBADMSG);
        }
        self.spilled += bytes.len();
        Ok(())
    }
}

/// Appends a structured value by the codec.
pub fn put_struct<T: Serialize>(value: &T, to: &mut Encoder<'_>) -> Result<()> {
    let mut bytes = [0; STRUCT_MAX];
    let used = postcard::to_slice(value, &mut bytes).map_err(|_| Errno::EOVERFLOW)?;
    to.spill(used)
}

/// Takes a structured value by the codec.
pub fn get_struct<T: DeserializeOwned>(from: &mut Decoder<'_>) -> Result<T> {
    let len = usize::try_from(from.word()?).map_err(|_| Errno::EBADMSG)?;
    let mut bytes = [0; STRUCT_MAX];
    let bytes = bytes.get_mut(..len).ok_or(Errno::EBADMSG)?;
    from.fill(bytes)?;
    postcard::from_bytes(bytes).map_err(|_| Errno::EBADMSG)
}

/// Lets structures that implement serde's traits cross by the codec.
#[macro_export]
macro_rules! wire_by_codec {
    ($($name:ty),* $(,)?) => {$(
        impl $crate::wire::Wire for $name {
            const WORDS: usize = 1;
            const SPILLS: bool = true;
            fn put(&self, to: &mut $crate::wire::Encoder<'_>) -> $crate::Result<()> { $crate::wire::put_struct(self, to) }
            fn get(from: &mut $crate::wire::Decoder<'_>) -> $crate::Result<Self> { $crate::wire::get_struct(from) }
        }
    )*};
}

macro_rules! scalars {
    ($($name:ty),*) => {$(
        impl Wire for $name {
            const WORDS: usize = 1;
            #[inline]
            fn put(&self, to: &mut Encoder<'_>) -> Result<()> { to.word(*self as i128 as u64) }
            #[inline]
            fn get(from: &mut Decoder<'_>) -> Result<Self> {
                let word = from.word()?;
                let value = word as $name;
                // A narrow type must not silently drop the upper bits of what a peer sent.
                if value as i128 as u64 == word { Ok(value) } else { Err(Errno::EBADMSG) }
            }
        }
    )*};
}
scalars!(u8, u16, u32, u64, usize, i32, i64);

impl Wire for bool {
    const WORDS: usize = 1;
    #[inline]
    fn put(&self, to: &mut Encoder<'_>) -> Result<()> {
        to.word(u64::from(*self))
    }
    #[inline]
    fn get(from: &mut Decoder<'_>) -> Result<Self> {
        match from.word()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Errno::EBADMSG),
        }
    }
}

impl Wire for () {
    const WORDS: usize = 0;
    #[inline]
    fn put(&self, _: &mut Encoder<'_>) -> Result<()> {
        Ok(())
    }
    #[inline]
    fn get(_: &mut Decoder<'_>) -> Result<Self> {
        Ok(())
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    const WORDS: usize = A::WORDS + B::WORDS;
    const SPILLS: bool = A::SPILLS || B::SPILLS;
    #[inline]
    fn put(&self, to: &mut Encoder<'_>) -> Result<()> {
        self.0.put(to)?;
        self.1.put(to)
    }
    #[inline]
    fn get(from: &mut Decoder<'_>) -> Result<Self> {
        Ok((A::get(from)?, B::get(from)?))
    }
}
