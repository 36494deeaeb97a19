//! Retention as data: rules become a plan, the plan a bounded, crash-safe run, the run a report that can be undone.
//!
//! The engine knows no learner and no session. Whoever uses it says in rules which rows of which tables
//! are to be quarantined, archived, deleted, anonymised or turned to another row, and it does that on PostgreSQL or SQLite
//! in batches that each move their rows by one statement in one transaction, with their record.

mod backlog;
mod batch;
mod chain;
mod companion;
mod count;
mod crash_points;
mod deletion;
mod dependants;
mod engine;
mod error;
pub mod export;
mod gate;
mod lease;
mod ledger;
mod pace;
mod partition;
mod plan;
pub mod preflight;
mod report;
mod restore;
mod rule;
mod running;
mod statements;
mod stop_sign;
mod survey;
mod throttle;
mod upkeep;
mod window;

pub use backlog::{Backlog, Remaining};
pub use chain::Broken;
pub use companion::{Companion, CompanionError, Preparation, Removed};
#[cfg(feature = "crash-points")]
pub use crash_points::{Fault, POINTS, TORN, install};
pub use engine::{Engine, Order, Outcome};
pub use error::RetentionError;
pub use lease::{Hold, Keeper};
pub use ledger::{Batch, Ended, Ledger, RunEntry, RunId, RunIdError, RunState};
pub use pace::{BatchSize, Pace, Share, ShareError};
pub use plan::{Plan, PlanLimits, Planned, TablePlan};
pub use report::{FileReport, Observer, Report, TableReport, Unobserved};
pub use restore::{NAMED, RestoreOrder, RestoreReport, Restored, Scope, Stay};
pub use rule::{Action, Blank, Dependant, Policy, Rule, Subject, Survivor, Sweep};
pub use stop_sign::{Ending, StopSign};
pub use throttle::{
    Band, Decision, Limits, LoadLimits, Reading, Replica, ReplicationLimits, Source, SqliteLimits, TableLimits,
    TableRows, Throttle, Verdict, Watched, health_postgres, health_sqlite,
};
pub use window::{WindowError, Windows};

/// The engine's tables on PostgreSQL, to be made once by the migrations of whoever uses it.
pub const TABLES_POSTGRES: &str = include_str!("sql/postgres/tables.sql");
/// The same on SQLite.
pub const TABLES_SQLITE: &str = include_str!("sql/sqlite/tables.sql");
