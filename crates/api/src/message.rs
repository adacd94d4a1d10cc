//! Messages: one cache line, after L4's message registers, and the tables that say what may be in one.

/// Words of a message that carry arguments or results.
pub const WORDS: usize = 6;

/// What crosses a boundary besides the window: one request or one reply.
///
/// With the state word that a channel keeps in front it fills exactly one cache line of 64 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Message {
    /// Which exchange of the slot this is; a reply repeats the number of its request.
    pub sequence: u32,
    /// Request: number of the operation. Reply: the same number again.
    pub operation: u16,
    /// Reply: 0, or an errno. Request: 0 for bulk data in the window; else a pool's number from 1, and the window says where
    /// in that the data lie ([`crate::grant`]).
    pub status: i16,
    /// Request: bytes of bulk data sent (input) or room offered (output). Reply: bytes consumed or written.
    pub bulk: u32,
    /// Arguments or results.
    pub words: [u64; WORDS],
}

impl Message {
    /// Makes this an empty message of an operation, field by field in its place: a whole message that is built
    /// elsewhere and copied costs more than the rest of a call, since the copy waits for the stores before it.
    #[inline]
    pub fn begin(&mut self, operation: u16) {
        self.sequence = 0;
        self.operation = operation;
        self.status = 0;
        self.bulk = 0;
        self.words = [0; WORDS];
    }

    /// Makes this a refusal.
    #[inline]
    pub fn refuse(&mut self, operation: u16, errno: crate::Errno) {
        self.begin(operation);
        self.status = errno as i16;
    }
}

/// One operation of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The interface's name.
    pub interface: &'static str,
    /// The method's name.
    pub name: &'static str,
    /// Its number within the interface.
    pub number: u16,
    /// It may be repeated after its server was restarted.
    pub idempotent: bool,
    /// It may wait for another app: it may not hold the last thread of a server.
    pub blocking: bool,
    /// It is one-way: posted, never answered, never waited for.
    pub event: bool,
    /// Bytes of what the method returns: more than a register's, and it is returned through memory.
    pub result: usize,
    /// It is answered later through a [`crate::Completion`]: it holds no thread meanwhile.
    pub deferred: bool,
}

/// An interface as data.
#[derive(Debug, PartialEq, Eq)]
pub struct InterfaceInfo {
    /// The trait's name.
    pub name: &'static str,
    /// The same with the modules it is in, as it stands in the names of symbols.
    pub path: &'static str,
    /// Its operations, in order of their numbers.
    pub operations: &'static [Operation],
    /// A hash of the trait's text: two sides with different hashes do not speak the same interface.
    pub hash: u64,
}

impl InterfaceInfo {
    /// The operation of a number that a peer claims.
    #[inline]
    pub fn operation(&self, number: u16) -> Option<&'static Operation> {
        self.operations.get(usize::from(number))
    }
}
