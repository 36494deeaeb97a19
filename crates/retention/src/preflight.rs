//! What must be true of the tables before a run touches anything.
//!
//! Facts are read from the catalogs ([`TableFacts`], [`ServerFacts`]), the checks are pure functions of them: [`check`] for
//! a move of rows, [`check_server`] once for the database. Everything that stands in the way is told together, each with
//! a stable code word, what it is, and what helps.

mod archive;
mod checks;
mod ddl;
mod facts;
mod finding;
mod keeping;
mod partitions;
mod raw;
mod reading;
mod references;
mod server;
mod statements;

pub use checks::{Conditions, Dependant, Intent, Move, OwnColumn, check};
pub use facts::{
    CheckConstraint, ColumnFacts, Generated, Identity, Index, OnDelete, PointedAt, PointsTo, Privileges, RowSecurity,
    TableFacts, TableKind, Trigger, TriggerEvents, TriggerTime,
};
pub use finding::{Code, Finding, Findings};
pub use keeping::{Affinity, ColumnType, Keeping, keeping};
pub use partitions::{Bound, Partition, Partitioning, eligible};
pub use server::{Durability, ServerFacts, check_server};
