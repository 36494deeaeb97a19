//! Traces of real processes, as a collector sees them that decodes what it is sent.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may unwrap, like the tests")]

mod collector;
mod place;
mod requests;
mod tasks;
mod trouble;

use std::time::Duration;

/// The longest wait for anything, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);
