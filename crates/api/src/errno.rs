//! Errors as errno values, with Linux's numbers, so that a result of ours can be compared with one of the host's.
//!
//! Numbers from 512 upwards never reach an app in Linux either; here they say what only our kernels can say.

/// The result of every kernel operation.
pub type Result<T> = core::result::Result<T, Errno>;

macro_rules! errnos {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// Why an operation failed: a number of `errno(3)`, or one of the kernel-internal numbers above 511.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i16)]
        #[allow(clippy::upper_case_acronyms)]
        pub enum Errno { $($(#[$doc])* $name = $number,)* }

        impl Errno {
            /// The errno of a number, if it is one that this API knows.
            pub const fn from_number(number: i16) -> Option<Errno> {
                match number { $($number => Some(Errno::$name),)* _ => None }
            }
            /// Its name, as `errno -l` prints it.
            pub const fn name(self) -> &'static str {
                match self { $(Errno::$name => stringify!($name),)* }
            }
            /// Every errno that this API knows.
            pub const ALL: &'static [Errno] = &[$(Errno::$name,)*];
        }
    };
}

errnos! {
    /// Operation not permitted.
    EPERM = 1,
    /// No such file or directory.
    ENOENT = 2,
    /// Interrupted.
    EINTR = 4,
    /// Input/output error; also a server that died again and again.
    EIO = 5,
    /// No such device or address.
    ENXIO = 6,
    /// Bad file descriptor.
    EBADF = 9,
    /// Try again: a bounded pool (server threads, channel slots) is full.
    EAGAIN = 11,
    /// Out of memory.
    ENOMEM = 12,
    /// Permission denied.
    EACCES = 13,
    /// Bad address.
    EFAULT = 14,
    /// Device or resource busy.
    EBUSY = 16,
    /// File exists.
    EEXIST = 17,
    /// Invalid cross-device link: the two names lie on different mounts.
    EXDEV = 18,
    /// No such device.
    ENODEV = 19,
    /// Not a directory.
    ENOTDIR = 20,
    /// Is a directory.
    EISDIR = 21,
    /// Invalid argument.
    EINVAL = 22,
    /// Too many open files in system.
    ENFILE = 23,
    /// Too many open files.
    EMFILE = 24,
    /// Text file busy.
    ETXTBSY = 26,
    /// File too large.
    EFBIG = 27,
    /// No space left on device.
    ENOSPC = 28,
    /// Illegal seek.
    ESPIPE = 29,
    /// Read-only file system.
    EROFS = 30,
    /// Too many links.
    EMLINK = 31,
    /// Broken pipe.
    EPIPE = 32,
    /// File name too long.
    ENAMETOOLONG = 36,
    /// Function not implemented.
    ENOSYS = 38,
    /// Directory not empty.
    ENOTEMPTY = 39,
    /// Too many levels of symbolic links.
    ELOOP = 40,
    /// Protocol error: a peer answered with something no honest peer sends.
    EPROTO = 71,
    /// Value too large.
    EOVERFLOW = 75,
    /// Message malformed: a server refuses a request that no honest client sends.
    EBADMSG = 74,
    /// Structure needs cleaning: a file system found its medium damaged.
    EUCLEAN = 117,
    /// Operation not supported.
    EOPNOTSUPP = 95,
    /// Cancelled: whoever should have answered gave up.
    ECANCELED = 125,
    /// The server died with the call in hand and the call may not be repeated: whether it happened is unknown.
    EUNKNOWN = 513,
    /// The kernel killed the calling app: the fault happened on its behalf (Linux's oops).
    EKILLED = 514,
}

/// Numbers from here on never reach an app on Linux: a call of unknown outcome, an app that was killed.
const INTERNAL: i16 = 512;

impl Errno {
    /// Whether no app may miss it, though part of its call was done.
    pub const fn is_internal(self) -> bool {
        self as i16 >= INTERNAL
    }
}

impl core::fmt::Display for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl core::error::Error for Errno {}
