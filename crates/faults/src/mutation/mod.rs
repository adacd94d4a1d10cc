//! Mutations: faults as programmers make them, at the level of machine code.
//!
//! After Ng and Chen's Rio file cache and the campaigns that followed it (Swift et al., SOSP 2003; Herder et al., DSN
//! 2009). What is mutated is one instruction of one function of the component itself: nothing of the libraries that it is
//! linked with, nor of `module-rt`. Which one, and how, follows from a seed, a number and the bytes of the file alone, so
//! every kernel gets the same fault; see [`Code::mutation`].
//!
//! | module | what |
//! | --- | --- |
//! | `kind` | the kinds of fault |
//! | `code` | a component's functions, as its file has them; drawing a mutation |
//! | `change` | how an instruction is changed |
//! | `draw` | numbers that follow from a seed |

mod change;
mod code;
mod draw;
mod kind;

#[cfg(test)]
mod tests;

pub use code::{Code, Mutation};
pub use kind::Kind;
