//! What measuring is worth: percentiles of known distributions, stalls that are seen, differences that are found and
//! differences that are not there. Everything drawn by lot has a seed.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may unwrap, like the tests")]

mod differences;
mod distributions;
mod stalls;
mod variates;
