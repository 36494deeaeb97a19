//! `#[measured]` on functions of all kinds, and what is counted.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may unwrap, like the tests")]

mod endings;
mod kinds;
mod spans;
mod switched;
