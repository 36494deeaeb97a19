//! The promises about freshness, F1 to F5, under random histories: whoever writes, no reader sees the past.
//!
//! Three nodes over one database and one Redis, writers through five doors, slow readers, and faults, all from a seed. What
//! clients saw is recorded, and a checker judges it by a slow model of the rows. `TIERKEEP_SEEDS=from..to` runs other seeds
//! than the usual ones, such as the one that a failure names.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may unwrap, like the tests")]
#![expect(clippy::print_stdout, reason = "each property tells what it exercised")]

mod checker;
mod checks;
mod controls;
mod doors;
mod driver;
mod faults;
mod nodes;
mod place;
mod properties;
mod regressions;
mod restart;
mod rng;
mod rows;
mod store;
mod totals;
mod writers;
