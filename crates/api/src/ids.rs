//! Identifiers that cross boundaries: each is one word, and each is a claim until its owner has looked it up.

macro_rules! word_ids {
    ($($(#[$doc:meta])* $name:ident($inner:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $inner);

        impl crate::wire::Wire for $name {
            const WORDS: usize = 1;
            fn put(&self, to: &mut crate::wire::Encoder<'_>) -> crate::Result<()> { self.0.put(to) }
            fn get(from: &mut crate::wire::Decoder<'_>) -> crate::Result<Self> {
                Ok($name(<$inner as crate::wire::Wire>::get(from)?))
            }
        }
    )*};
}

word_ids! {
    /// An app: what issues system calls.
    AppId(u32);
    /// A file descriptor of one app; never negative when valid.
    Fd(i32);
    /// An inode number within one file system.
    Ino(u64);
    /// A pipe within the pipe subsystem.
    PipeId(u64);
}

/// Who calls. It is never sent: a server takes it from the channel a message arrived on, so it cannot be forged.
///
/// In a direct call the caller passes it along; a client stub ignores what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The app, or [`Caller::KERNEL`]'s for calls on behalf of no app.
    pub app: AppId,
}

impl Caller {
    /// The kernel itself, on behalf of no app.
    pub const KERNEL: Caller = Caller { app: AppId(0) };

    /// The app with this number.
    pub const fn app(number: u32) -> Caller {
        Caller { app: AppId(number) }
    }
}
