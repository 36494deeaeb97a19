//! Warm-up: jobs, what is learnt of accesses, its snapshot, and restarts (S12).
//!
//! Time is tokio's paused clock. That no path of a warm-up leaves anything old behind is shown in `properties`, which goes
//! through every path by which a value is stored.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod gate;
mod hot;
mod jobs;
mod restart;
mod sharing;
mod snapshot;
mod sources;
mod trace;
mod value;
mod waste;
