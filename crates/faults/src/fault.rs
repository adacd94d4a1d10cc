//! The faults. After those that studies of driver failures inject (Swift et al., "Improving the Reliability of
//! Commodity Operating Systems", SOSP 2003; Herder et al., "Fault Isolation for Device Drivers", DSN 2009), each reduced
//! to one plain deed, so that a result can be told by its cause.

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// A load from address 0.
    NullDereference,
    /// [`WILD`] stored at an address that is none of the function's business; then it goes on.
    WildWrite,
    /// A store to the function's own text.
    WriteReadOnly,
    /// Recursion without end.
    StackOverflow,
    /// The C library's `abort`.
    Abort,
    /// An index out of bounds, by way of the code's own panic.
    Panic,
    /// A jump to itself.
    EndlessLoop,
    /// [`SMASHED`] bytes of [`SMASH`] stored from the object on that the function belongs to; then it goes on.
    HeapSmash,
    /// The lowest bit of a number argument flipped (a neighbouring sector); then it goes on.
    WrongData,
}

/// What a wild write stores: "WILDWRIT" in memory.
pub const WILD: [u8; 8] = *b"WILDWRIT";
/// The byte that a smashed heap is filled with.
pub const SMASH: u8 = 0xA5;
/// How many of them.
pub const SMASHED: usize = 4096;

impl Fault {
    /// All of them, in the order in which results list them.
    pub const ALL: [Fault; 9] = [
        Fault::NullDereference,
        Fault::WildWrite,
        Fault::WriteReadOnly,
        Fault::StackOverflow,
        Fault::Abort,
        Fault::Panic,
        Fault::EndlessLoop,
        Fault::HeapSmash,
        Fault::WrongData,
    ];

    /// Its name in results.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::NullDereference => "null_dereference",
            Fault::WildWrite => "wild_write",
            Fault::WriteReadOnly => "write_read_only",
            Fault::StackOverflow => "stack_overflow",
            Fault::Abort => "abort",
            Fault::Panic => "panic",
            Fault::EndlessLoop => "endless_loop",
            Fault::HeapSmash => "heap_smash",
            Fault::WrongData => "wrong_data",
        }
    }

    /// The fault of a name.
    pub fn from_name(name: &str) -> Option<Fault> {
        Fault::ALL.into_iter().find(|fault| fault.name() == name)
    }

    /// What it does, in a few words.
    pub const fn description(self) -> &'static str {
        match self {
            Fault::NullDereference => "loads from address 0",
            Fault::WildWrite => "stores 8 bytes over an object of somebody else, then goes on",
            Fault::WriteReadOnly => "stores to its own code",
            Fault::StackOverflow => "recurses without end",
            Fault::Abort => "calls abort",
            Fault::Panic => "panics on an index out of bounds",
            Fault::EndlessLoop => "loops without end",
            Fault::HeapSmash => "fills 4 KiB of heap from its own object on, then goes on",
            Fault::WrongData => "works on the neighbouring sector",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Fault;

    #[test]
    fn names_lead_back_to_their_faults() {
        for fault in Fault::ALL {
            assert_eq!(Fault::from_name(fault.name()), Some(fault));
        }
        assert_eq!(Fault::from_name("nothing"), None);
    }
}
