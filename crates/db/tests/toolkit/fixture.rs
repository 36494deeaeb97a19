//! Both databases with the same tables.

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use tierkeep_db::keyset::CursorKey;
use tierkeep_db::raw::{Params, Raw};
use tierkeep_db::{
    Database, DatabaseUrl, Error, Ident, Pool, PoolConfig, Queries, Relation, Row, Selection, SqliteConfig,
    SqliteDatabase,
};
use tierkeep_testkit::{PostgresServer, SqliteFile, TestDatabase};

/// A database of each kind; the first is PostgreSQL.
pub(crate) struct Bases {
    pub(crate) all: [Database; 2],
    pub(crate) server: TestDatabase,
    _file: SqliteFile,
}

impl Bases {
    pub(crate) async fn new() -> Self {
        let server = PostgresServer::shared().await.unwrap().database().await.unwrap();
        let pool = Pool::new(&server.url().parse().unwrap(), PoolConfig::default()).unwrap();
        let file = SqliteFile::new().unwrap();
        let DatabaseUrl::Sqlite(path) = file.url().parse().unwrap() else { panic!("no file") };
        let sqlite = SqliteDatabase::open(&path, SqliteConfig::default()).await.unwrap();
        Self { all: [Database::Postgres(pool), Database::Sqlite(sqlite)], server, _file: file }
    }

    pub(crate) fn postgres(&self) -> &Database {
        &self.all[0]
    }

    pub(crate) fn sqlite(&self) -> &Database {
        &self.all[1]
    }

    /// Runs the same statements on both.
    pub(crate) async fn run(&self, sql: &str) {
        for db in &self.all {
            run(db, sql).await;
        }
    }
}

/// Runs statements.
pub(crate) async fn run(db: &Database, sql: &str) {
    match db {
        Database::Postgres(pool) => pool.get().await.unwrap().batch_execute(sql).await.unwrap(),
        Database::Sqlite(db) => {
            let sql = sql.to_owned();
            db.write(move |tx| Ok::<_, Error>(tx.execute_batch(&sql)?)).await.unwrap();
        }
    }
}

/// All rows of a statement without parameters.
pub(crate) async fn rows(db: &Database, sql: &str) -> Vec<Row> {
    let raw = Raw::new(db.dialect(), sql, Params::none()).unwrap();
    db.query(raw.statement()).await.unwrap()
}

/// The numbers of a statement's first column.
pub(crate) async fn numbers(db: &Database, sql: &str) -> Vec<i64> {
    rows(db, sql).await.iter().map(|row| row.get(&row.columns()[0]).unwrap()).collect()
}

pub(crate) fn ident(name: &str) -> Ident {
    Ident::new(name).unwrap()
}

pub(crate) fn idents(names: &[&str]) -> Vec<Ident> {
    names.iter().map(|name| ident(name)).collect()
}

pub(crate) fn relation(table: &str, columns: &[&str]) -> Relation {
    Relation::plain(table.parse().unwrap(), &idents(columns))
}

pub(crate) fn selection(table: &str, columns: &[&str]) -> Selection {
    Selection::of(relation(table, columns))
}

pub(crate) fn key() -> CursorKey {
    CursorKey::new(b"a key of the tests").unwrap()
}

/// Runs an asynchronous property from a test on several threads.
pub(crate) fn check<S, F>(cases: u32, strategy: &S, property: F)
where
    S: Strategy,
    F: AsyncFn(S::Value) -> Result<(), TestCaseError>,
{
    let handle = tokio::runtime::Handle::current();
    // without a file of past failures, which needs the macro
    let mut runner = TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() });
    tokio::task::block_in_place(|| runner.run(strategy, |value| handle.block_on(property(value)))).unwrap();
}
