//! What Python reaches of Tierkeep: `tierkeep._core`, the part of the wheel that is in Rust.
//!
//! The modules here know no Python and are tested by `cargo test`; with the feature `extension-module`, `module` puts
//! them before CPython.
//!
//! [`remote`] is the second level of the cache, in Redis or Valkey; [`envelope`] is what values are wrapped in there. [`node`]
//! is the client of a node, [`gate`] what the end of the interpreter and our threads agree by.

pub mod envelope;
pub mod gate;
pub mod glob;
#[cfg(feature = "extension-module")]
mod module;
pub mod node;
pub mod remote;
pub mod store;
