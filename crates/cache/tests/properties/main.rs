//! The properties S1 to S21, one example each at least, and every path by which a value is stored.
//!
//! Time is tokio's paused clock; loads wait at gates that the test opens. Random orders are `simulation.rs`.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod adaptive;
mod bad_input;
mod bound;
mod cancellation;
mod dependencies;
mod encoding;
mod events;
mod fencing;
mod fixture;
mod line;
mod model;
mod origins;
mod paths;
mod promises;
mod stale;
mod stampede;
mod tags;
mod wire;
mod writes;
