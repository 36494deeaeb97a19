//! Clean-up that is killed: whatever dies, and wherever, each row stays in exactly one place and the next run ends where an
//! undisturbed one does.
//!
//! Real processes die: this binary starts itself as the worker that cleans up, and kills it at named places between two effects
//! ([`points`]), at random moments while others write and look on ([`kills`]), or takes the server away from it ([`server`]).
//! What is left is judged by [`verdict`], which plants of faults must not get past ([`controls`]).
//!
//! `TIERKEEP_CRASHES=200` kills that often on each database, `TIERKEEP_SEEDS=from..to` by other random numbers.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may unwrap, like the tests")]
#![expect(clippy::print_stdout, reason = "each test tells what it exercised")]

mod chance;
mod connection;
mod controls;
mod exports;
mod fixture;
mod kills;
mod observer;
mod places;
mod points;
mod reference;
mod server;
mod site;
mod verdict;
mod worker;
mod writers;
