//! What Python reaches of Tierkeep: `tierkeep._core`, the part of the wheel that is in Rust.
//!
//! The modules here know no Python and are tested by `cargo test`; with the feature `extension-module`, `module` puts
//! them before CPython.

pub mod node;

#[cfg(feature = "extension-module")]
mod module;
