//! A component that does wrong at one of its calls, by a wrapper around it that every kernel puts there alike: its code is the
//! shipped one. What it does is really done: a wrong answer is given, memory is really read or written, the device is told
//! a wrong address.
//!
//! | file | what |
//! | --- | --- |
//! | `answers` | a driver that answers wrongly |
//! | `memory` | a component that goes at memory and handles that are not its own |
//! | `messages` | a server whose messages are wrong |
//! | `dma` | a driver that has its device go astray |

mod answers;
mod dma;
mod memory;
mod messages;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

pub use answers::Misbehaving;
pub use dma::Astray;
pub use memory::Trespasser;
pub use messages::Forger;

/// Where a misdeed is put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In what a driver answers.
    Answer,
    /// Beside a call: memory and handles. Whether it takes a call with bulk data.
    Call(bool),
    /// In a server's message: a component that is called directly has none.
    Message,
    /// In what a driver tells its device; whether that has an IOMMU.
    Device(bool),
}

macro_rules! misdeeds {
    ($($misdeed:ident $name:literal $place:expr, $does:literal;)*) => {
        /// What it does wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Misdeed {
            $(#[doc = $does] $misdeed,)*
        }

        impl Misdeed {
            /// All of them, in the order in which results list them.
            pub const ALL: &[Misdeed] = &[$(Misdeed::$misdeed),*];

            /// Its name in results.
            pub const fn name(self) -> &'static str {
                match self { $(Misdeed::$misdeed => $name,)* }
            }

            /// What it does, in a few words.
            pub const fn description(self) -> &'static str {
                match self { $(Misdeed::$misdeed => $does,)* }
            }

            /// Where it is put in.
            pub const fn place(self) -> Place {
                match self { $(Misdeed::$misdeed => $place,)* }
            }
        }
    };
}

misdeeds! {
    WrongData "reply_wrong_data" Place::Answer, "a byte of the data is another one";
    TooMuch "reply_too_much" Place::Answer, "it says that it moved a page more than asked for";
    TooLittle "reply_too_little" Place::Answer, "it moves all and says that it moved half";
    NotDone "reply_not_done" Place::Answer, "it says that it is done, and did nothing";
    Neighbour "reply_neighbour" Place::Answer, "it works on the next sector";
    False "reply_false_error" Place::Answer, "it does it and says that it failed";
    Silence "reply_never" Place::Answer, "it never answers";
    Foreign "foreign_handle" Place::Call(false), "it works on what another call named: another sector, inode or caller";
    WriteLate "buffer_written_late" Place::Call(true), "it writes to the buffer of a call that is over";
    ReadLate "buffer_read_late" Place::Call(true), "it reads the buffer of a call that is over";
    Stale "read_stale_buffer" Place::Call(true), "it reads what a buffer held before it was handed over";
    Recycled "read_recycled" Place::Call(false), "it reads fresh memory of its heap before anybody wrote to it";
    Secret "read_foreign_heap" Place::Call(false), "it reads another component's heap by its address";
    Cached "read_foreign_data" Place::Call(false), "it reads the other app's data by their address in another component";
    Twice "completion_twice" Place::Message, "it answers a call a second time, during the next one";
    Late "completion_late" Place::Message, "it says that a call failed, and answers it during the next one";
    Unasked "completion_unasked" Place::Message, "it answers in every slot in which nobody asked";
    Garbage "message_garbage" Place::Message, "its reply is noise";
    Overrun "window_overrun" Place::Message, "it writes beyond the end of its window";
    Beyond "window_length" Place::Message, "it says that it moved more than the window's room";
    Uninitialised "reply_uninitialised" Place::Message, "its reply is made of what the window held before";
    Dma "dma_astray" Place::Device(true), "it gives its device an address outside its buffers";
    DmaBare "dma_astray_no_iommu" Place::Device(false), "the same, where the device has no IOMMU";
}

impl Misdeed {
    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Misdeed> {
        Misdeed::ALL.iter().copied().find(|misdeed| misdeed.name() == name)
    }
}

/// When a component misbehaves: at one of its calls that count, counted from 1, or from that one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Misbehaviour {
    /// How.
    pub misdeed: Misdeed,
    /// At which call.
    pub call: u64,
    /// What else there is to choose: whose memory, which bytes, how far.
    pub salt: u64,
}

/// What a misdeed needs of the boot around it.
#[derive(Clone, Copy)]
pub struct World {
    /// Whether the component is to be good still, asked before each call.
    pub good: fn() -> bool,
    /// Told of each misdeed, before it is done.
    pub done: fn(),
    /// Takes what was read, for the harness to see.
    pub loot: fn(&[u8]),
    /// Where something of another component's lies.
    pub target: fn(Misbehaviour) -> Option<usize>,
}

/// Counts calls and says at which to misbehave.
pub struct Trigger {
    what: Misbehaviour,
    permanent: bool,
    world: World,
    calls: AtomicU64,
}

impl Trigger {
    /// Of calls that are still to be counted.
    pub const fn new(what: Misbehaviour, permanent: bool, world: World) -> Trigger {
        Trigger { what, permanent, world, calls: AtomicU64::new(0) }
    }

    /// Counts a call; whether it is one to do wrong in.
    fn strikes(&self) -> bool {
        if (self.world.good)() {
            return false;
        }
        let call = self.calls.fetch_add(1, Relaxed) + 1;
        if self.permanent { call >= self.what.call } else { call == self.what.call }
    }

    /// The same, where nothing hinders the misdeed: it is noted.
    fn strikes_now(&self) -> bool {
        let strikes = self.strikes();
        if strikes {
            (self.world.done)();
        }
        strikes
    }
}
