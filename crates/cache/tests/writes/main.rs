//! Writes: through, around, back, and within database transactions. S11, S14, S15 and S19.
//!
//! What overlaps is tried in every order: [`orders::every_order`] stops at each point where a task waits for something,
//! and goes on with each of those that could.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

#[cfg(feature = "write-back")]
mod back;
#[cfg(feature = "write-back")]
mod crash;
#[cfg(feature = "write-back")]
mod journal;
mod orders;
mod pending;
mod stage;
mod through;
