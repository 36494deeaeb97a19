//! Function timing and benchmarks.
//!
//! ```
//! use tierkeep_measure::{Benchmark, measured};
//!
//! #[measured("shop::price")]
//! fn price(cents: u64) -> Result<u64, std::num::TryFromIntError> {
//!     Ok(u64::from(u32::try_from(cents)?))
//! }
//!
//! let _ = (price(250), price(u64::MAX));
//!
//! let report = tierkeep_measure::report();
//! let prices = report.function("shop::price").expect("it was called");
//! assert_eq!((prices.calls(), prices.values, prices.errors), (2, 1, 1));
//!
//! let measurement = Benchmark::new("price").runs(200).run(|| price(250));
//! println!("{measurement}");
//! assert!(measurement.p90 <= measurement.p99);
//! ```
//!
//! # How to read this crate
//!
//! - [`#[measured]`](macro@measured) counts what becomes of a function's calls and how long they take, in the running program;
//!   [`report`] tells. Bounded memory, no locks, switched by [`set_enabled`].
//! - [`Benchmark`] calls a function many times and gives a [`Measurement`]: exact percentiles of all runs. A closed loop of
//!   several callers ([`ClosedLoop`]) says how much is done; an open loop ([`OpenLoop`]), whose arrivals are fixed before, says how
//!   long those wait who come while others are served.
//! - A [`Baseline`] is a measurement in a file, and [`compare`] says whether two differ: that they do not is an answer, too.
//!
//! Time is an argument ([`Clock`], [`Timer`]), so that tests of what measures do not wait.

mod baseline;
mod benchmark;
#[doc(hidden)]
pub mod call;
mod clock;
mod comparison;
mod machine;
mod measurement;
mod nanos;
mod quantile;
mod recorder;
mod registry;
mod report;
mod scale;
mod table;

pub use baseline::{Baseline, BaselineError, MAX_KEPT, Series};
pub use benchmark::{Benchmark, ClosedLoop, MAX_RUNS, OpenLoop, Rate, RateError};
#[cfg(feature = "tokio")]
pub use clock::TokioTimer;
pub use clock::{Clock, Monotonic, Timer};
pub use comparison::{CompareError, Comparison, Interval, MIN_RUNS, SMALLEST_NAMED, Verdict, compare, compare_above};
pub use machine::Machine;
pub use measurement::Measurement;
pub use nanos::{Nanos, NanosError};
pub use registry::{is_enabled, report, reset, set_enabled};
pub use report::{FunctionReport, Report};
pub use scale::RELATIVE_ERROR;
pub use tierkeep_macros::measured;
