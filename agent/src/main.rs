//! The `backscope` binary.
fn main() {}
