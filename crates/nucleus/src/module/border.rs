//! What comes over a module's border as raw memory.

/// Longest text taken from a module, in bytes.
const TEXT_MAX: usize = 512;

/// A text that a module hands to one of its host's functions. Modules are trusted with their own memory: by
/// `HostTable`'s contract there are `len` bytes at `text` for the duration of the call.
#[allow(clippy::not_unsafe_ptr_arg_deref)] // The table's functions are called by modules alone, under that contract.
pub fn border_text(text: *const u8, len: usize) -> String {
    // SAFETY: by the contract just named; cut, so that a wrong length cannot make us read far.
    let bytes = unsafe { std::slice::from_raw_parts(text, len.min(TEXT_MAX)) };
    String::from_utf8_lossy(bytes).into_owned()
}
