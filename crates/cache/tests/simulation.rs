//! The cache under faults: three nodes, a seed, and a checker that sees what clients saw.
//!
//! `TIERKEEP_SEEDS=from..to` runs other seeds than the usual ones, such as the one that a failure names.

#![expect(clippy::unwrap_used, reason = "a lock is poisoned only where the run has failed already")]
#![expect(clippy::print_stdout, reason = "each property tells what it exercised")]

#[path = "simulation/checker.rs"]
mod checker;
#[path = "simulation/controls.rs"]
mod controls;
#[path = "simulation/faults.rs"]
mod faults;
#[path = "simulation/profiles.rs"]
mod profiles;
#[path = "simulation/properties.rs"]
mod properties;
#[path = "simulation/regressions.rs"]
mod regressions;
#[path = "simulation/rng.rs"]
mod rng;
#[path = "simulation/run.rs"]
mod run;
#[path = "simulation/source.rs"]
mod source;
#[path = "simulation/toy.rs"]
mod toy;
#[path = "simulation/workload.rs"]
mod workload;
#[path = "simulation/world.rs"]
mod world;
