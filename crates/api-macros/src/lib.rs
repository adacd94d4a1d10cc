//! `#[interface]`: from one trait, its client, its server, its wrapper and its table of operations.
//!
//! The rules stand in [`parse`], what is generated in [`expand`]. A trait that cannot be marshalled is refused with an
//! error at the argument that cannot.

mod expand;
mod parse;

use proc_macro::TokenStream;
use syn::parse_macro_input;

/// Makes a trait an interface: something one subsystem offers to others across any boundary.
///
/// Methods take `&self`; then, in any order, `caller: Caller` (filled in by the channel), scalars, identifiers,
/// structures that implement `Wire`, `&str`, at most one of `&mut InBuf<'_>` and `&mut OutBuf<'_>`, and return
/// `Result<T>` with `T: Wire`. Their words must fit into a message's six.
///
/// On a method, `#[idempotent]` allows repeating it after its server's restart, `#[blocking]` says that it may wait for
/// another app, `#[event]` makes it one-way (words only, no result), and a last argument `Completion<T>` makes it
/// deferred: answered later, holding no thread meanwhile. `#[submittable]` adds a method `submit_...` that returns a
/// `Ticket<T>` (`kd_api::ticket`) and takes buffers by value; arguments are words and at most one buffer then. Nobody
/// implements it: an implementation is called at submission.
///
/// Beside `trait X` stand `XClient`, `XServer`, `XAround` and the table `XClient::INFO`.
#[proc_macro_attribute]
pub fn interface(_: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as syn::ItemTrait);
    parse::Interface::parse(item)
        .map(|interface| expand::expand(&interface))
        .unwrap_or_else(|e| e.to_compile_error())
        .into()
}
