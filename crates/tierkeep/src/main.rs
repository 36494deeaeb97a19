//! tierkeep
fn main() {}
