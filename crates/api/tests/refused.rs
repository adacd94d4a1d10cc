//! What cannot be marshalled is refused at compile time, with our message at the offending place.
//!
//! Each file of `refused/` is one such trait; the `.stderr` beside it is the compiler's whole answer. After a change of
//! wording, `TRYBUILD=overwrite cargo test -p kd-api --test refused` writes them anew: read the difference.
//! (`not_wire*` list the types that can cross, so a new one may change them.)

#[test]
fn traits_that_cannot_be_marshalled_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
