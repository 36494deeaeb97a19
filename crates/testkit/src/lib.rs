//! Private servers, faults and text checks for the tests of this workspace.
//!
//! A test that needs PostgreSQL or Redis gets a real one, started from the binaries that are
//! installed, listening on a Unix socket in a directory of its own:
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use tierkeep_testkit::PostgresServer;
//!
//! let server = PostgresServer::shared().await?;
//! let database = server.database().await?;
//! database.client().await?.batch_execute("create table notes (body text)").await?;
//! # Ok(())
//! # }
//! ```
//!
//! - [`PostgresServer`] and [`TestDatabase`]: one server per test process, one database per test.
//! - [`RedisServer`]: a server per test. [`SqliteFile`]: a file per test.
//! - [`ChaosProxy`]: connections that are cut, stalled, reset or delayed when the test says so.
//! - [`tidy`]: the rules of the workspace that a text can break, run by `tests/tidy.rs`.
//! - Servers end with the test process, whichever way it ends; nothing is left in the temporary directory.
//! - A server that is not installed fails the test with the line that installs it; nothing is skipped.
//!
//! This crate depends on no other crate of the workspace, so all of them can use it in their tests.

mod account;
mod directory;
mod postgres;
mod process;
mod programs;
mod proxy;
mod redis;
mod sqlite;
mod supervisor;
pub mod tidy;

pub use postgres::{DatabaseClient, Durability, PostgresBuilder, PostgresServer, TestDatabase};
pub use programs::SearchPath;
pub use proxy::{ChaosProxy, Endpoint, Mode, ProxyHandle};
pub use redis::{RedisBuilder, RedisServer};
pub use sqlite::SqliteFile;
