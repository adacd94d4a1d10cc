//! The harness: cargo bench and the debate command line.
