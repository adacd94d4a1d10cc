//! The kinds of fault.

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An instruction reads another register than the one meant.
    SourceRegister,
    /// It writes another one.
    DestinationRegister,
    /// It computes an address by another register, or with another distance.
    Address,
    /// A call gets what its parameter's register held before, or another parameter.
    Parameter,
    /// A condition is inverted.
    Condition,
    /// A bit of an instruction is.
    BitFlip,
    /// An instruction is not there.
    Dropped,
    /// A constant is one more, or less.
    OffByOne,
    /// A bit of an object is inverted that a function of the component works on.
    Heap,
    /// A bit of the stack is, near its top.
    Stack,
    /// A bit of a variable of the component's own is.
    Data,
    /// Memory is taken until none is left.
    Leak,
    /// A lock is taken and never released.
    LockHeld,
    /// A loop does not end.
    EndlessLoop,
    /// A function calls itself and does not stop.
    Recursion,
}

impl Kind {
    /// All of them, in the order in which results list them.
    pub const ALL: [Kind; 15] = [
        Kind::SourceRegister,
        Kind::DestinationRegister,
        Kind::Address,
        Kind::Parameter,
        Kind::Condition,
        Kind::BitFlip,
        Kind::Dropped,
        Kind::OffByOne,
        Kind::Heap,
        Kind::Stack,
        Kind::Data,
        Kind::Leak,
        Kind::LockHeld,
        Kind::EndlessLoop,
        Kind::Recursion,
    ];

    /// Its name in results.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::SourceRegister => "source_register",
            Kind::DestinationRegister => "destination_register",
            Kind::Address => "address",
            Kind::Parameter => "parameter",
            Kind::Condition => "condition",
            Kind::BitFlip => "bit_flip",
            Kind::Dropped => "dropped",
            Kind::OffByOne => "off_by_one",
            Kind::Heap => "heap_bit",
            Kind::Stack => "stack_bit",
            Kind::Data => "data_bit",
            Kind::Leak => "leak",
            Kind::LockHeld => "lock_held",
            Kind::EndlessLoop => "endless_loop",
            Kind::Recursion => "recursion",
        }
    }

    /// The kind of a name.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
