//! Scheduled tasks in a table: due by the clock of the database, each run once on any number of nodes.
//!
//! Any number of processes follow the same tables. When a task is due one of them takes it, by the database's clock, under
//! a lease with a *fence*: a number that rises whenever the task changes hands. A task that writes in a transaction lets
//! that transaction check the fence ([`tierkeep_db::Fence`]), so a process that stood still while another took over commits
//! nothing. What ran, when, why and how it ended is in the tables, too.
//!
//! # How to read this crate
//!
//! - [`Timing`] is when a task is due, in a zone, across changes of its clocks; [`Missed`] what becomes of the times at which
//!   nobody ran. Both are pure.
//! - [`Task`] is a name with these, [`Job`] what it does.
//! - [`Scheduler`] joins them with a database.

mod claim;
mod error;
mod jitter;
mod job;
mod missed;
mod presence;
mod rows;
mod run;
mod scheduler;
mod tables;
mod task;
mod timing;

pub use error::ScheduleError;
pub use jitter::jittered;
pub use job::{Attempt, Job, JobError};
pub use missed::{Due, Missed, MissedError, due};
pub use run::{RunEntry, RunId, RunState, TaskState};
pub use scheduler::counts::TaskCounts;
pub use scheduler::{Pace, Scheduler};
pub use task::{Retries, Task, TaskName, TaskNameError};
pub use timing::{Expression, Field, Timing, TimingError};

/// The tables on PostgreSQL, to be made once by the migrations of whoever uses them.
pub const TABLES_POSTGRES: &str = include_str!("sql/postgres/tables.sql");
/// The same on SQLite.
pub const TABLES_SQLITE: &str = include_str!("sql/sqlite/tables.sql");
