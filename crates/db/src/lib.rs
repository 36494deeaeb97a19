//! A database toolkit for PostgreSQL and SQLite.
//!
//! Two databases, one way of working: an address is parsed once ([`DatabaseUrl`]), a [`Pool`] lends connections to
//! PostgreSQL, a [`SqliteDatabase`] runs closures on threads that own their connections, [`Migrations`] bring either of
//! them to the version this program knows, and whatever SQL must be put together at run time is put together in
//! one place from checked identifiers. Values are always bound.
//!
//! - Addresses: [`DatabaseUrl`]; passwords are never printed.
//! - PostgreSQL: [`Pool`], with the exact meaning of size, overflow, recycling and pings written there.
//! - SQLite: [`SqliteDatabase`], one writer and several readers.
//! - Versions: [`migrate_postgres`] and [`migrate_sqlite`], each run all or nothing.
//! - Dynamic SQL: [`Ident`], [`TableName`], [`projection`], which maps a platform's table to canonical names, and
//!   [`Condition`], what must hold of a row.
//! - Facts: [`columns_postgres`] and [`columns_sqlite`] say which columns a table has.
//! - Changes: [`feed`], an ordered feed of the changes of watched tables, whoever writes them.
//! - Pages: [`Cursor`], [`PageSize`] and [`Page`], by key instead of by offset, for statements of the program's own.
//! - Values and rows of either database: [`Value`], [`Row`], [`FromRow`].
//! - Pages of what is known at run time only: [`keyset`], both ways and signed, and [`offset`].
//! - Many rows: [`bulk`] writes them, [`relations`] loads what belongs to them.
//! - SQL of the caller: [`raw`], with named parameters.
//! - Who asks too often: [`QueryCount`].
//! - Statistics: [`statistics`], what the databases know of statements, tables and indexes.
//! - Advice (feature `advice`): `query` says what a statement reads, `plan` where its time goes, `advice` which indexes a
//!   workload is missing and how to make them safely.
//! - Answers that are kept until a table changes: `query_cache`, with the feature `cache`.
//!
//! # Examples
//!
//! ```
//! use tierkeep_db::{Access, Error, Migrations, SqliteConfig, SqliteDatabase, SqlitePath, migrate_sqlite};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let directory = tempfile::tempdir()?;
//! let file = SqlitePath::new(directory.path().join("notes.db"));
//! let db = SqliteDatabase::open(&file, SqliteConfig::default()).await?;
//!
//! let migrations = Migrations::new([(1, "notes", "create table notes (id integer primary key, text text not null) strict")])?;
//! migrate_sqlite(&db, &migrations).await?;
//!
//! db.write(|tx| Ok::<_, Error>(tx.execute("insert into notes (text) values (?1)", ["hello"])?)).await?;
//! let count: i64 = db
//!     .read(|connection| Ok::<_, Error>(connection.query_row("select count(*) from notes", [], |row| row.get(0))?))
//!     .await?;
//! assert_eq!(count, 1);
//! db.close().await;
//! # Ok(()) })
//! # }
//! ```

#[cfg(feature = "advice")]
pub mod advice;
mod asking;
pub mod bulk;
mod catalog;
mod database;
mod error;
pub mod feed;
mod fence;
pub mod keyset;
mod migrate;
pub mod offset;
mod page;
#[cfg(feature = "advice")]
pub mod plan;
mod postgres;
#[cfg(feature = "advice")]
pub mod query;
#[cfg(feature = "cache")]
pub mod query_cache;
pub mod raw;
pub mod relations;
mod row;
mod sqlite;
mod statement;
pub mod statistics;
mod url;
mod value;

pub use asking::{BoundSql, Param, Queries, QueryCount, TooManyQueries};
pub use catalog::{CatalogColumn, columns_postgres, columns_sqlite};
pub use database::Database;
pub use error::Error;
pub use fence::Fence;
pub use migrate::{
    MigrationReport, Migrations, MigrationsError, applied_version_postgres, applied_version_sqlite,
    lock_migrations_postgres, migrate_postgres, migrate_sqlite, pending_postgres,
};
pub use page::{Cursor, CursorError, Page, PageSize, PageSizeError};
pub use postgres::{ClosedConnections, Connection, Pool, PoolConfig, PoolCounts, PoolStatus};
pub use row::{FromRow, FromValue, Row};
pub use sqlite::{Access, SqliteConfig, SqliteDatabase, StatementCounts, Synchronous};
pub use statement::{
    ColumnExpr, Comparison, Condition, Conversion, Dialect, Direction, Filter, Ident, Nulls, Operand, Relation,
    Selection, SelectionError, SortColumn, SqlType, StatementError, TableName, UnknownColumn, WrittenColumn,
    delete_rows, insert_row, lock_row, projection, update_row, with_prefix,
};
#[cfg(feature = "advice")]
pub use statement::{IndexDefinition, IndexKey, IndexMethod, IndexPredicate, KeyFunction, KeyOrder, Keyed, drop_index};
pub use url::{DatabaseUrl, PostgresUrl, SqlitePath, UrlError};
pub use value::{Kind, Value, ValueError};
