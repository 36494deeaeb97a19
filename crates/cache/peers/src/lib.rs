//! Rust caches side by side: what they serve after a race, what a hit costs, what a herd of misses does.
//!
//! A [`Peer`] is a cache in front of a [`Source`]; each library has one module that makes it a peer and, where a
//! hit is measured too, a [`HitPath`]. The three measurements know nothing of the libraries: [`stale_fill`]
//! invalidates while a load is under way, [`hits`] reads keys that are all present, [`single_flight`] lets many
//! callers miss at once. [`contestants`] says who takes part in which; `benches/peers.rs` runs and prints them.
//!
//! To add a library: a module like [`quick_cache`], a line in each function of [`contestants`], and the tests in
//! `tests/contract.rs` run it.

pub mod contestants;
pub mod foyer;
pub mod hitbox;
pub mod hits;
pub mod moka;
pub mod multi_tier;
pub mod quick_cache;
pub mod single_flight;
pub mod stale_fill;
pub mod table;
pub mod tierkeep;

mod peer;
mod source;
mod zipf;

pub use peer::{HitPath, Kept, Lookup, Peer, Reads};
pub use source::{LoadError, Payload, Source};
pub use table::Table;
pub use zipf::Zipf;
