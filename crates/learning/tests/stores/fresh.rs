//! A fresh database for each case, the store on it, and a connection beside the store.

use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use tierkeep_db::{DatabaseUrl, Dialect, PoolConfig};
use tierkeep_learning::calendar::{DayStart, Zone};
use tierkeep_learning::key::KeyType;
use tierkeep_learning::mapping::Mapping;
use tierkeep_learning::store::{OpenMode, OpenOptions, Store, StoreError, migrate, open};
use tierkeep_testkit::{DatabaseClient, PostgresServer, SqliteFile, TestDatabase};

/// Makes a test on each database from functions over a [`Dialect`].
macro_rules! on_both {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $case() {
                Box::pin(super::$case(tierkeep_db::Dialect::Sqlite)).await;
            })+
        }

        mod postgres {
            $(#[tokio::test]
            async fn $case() {
                Box::pin(super::$case(tierkeep_db::Dialect::Postgres)).await;
            })+
        }
    };
}

/// Makes a test on each database and for each type of key from functions over both.
macro_rules! on_both_with_both_keys {
    ($($case:ident),+ $(,)?) => {
        mod sqlite_with_uuids {
            $(#[tokio::test]
            async fn $case() {
                Box::pin(super::$case(tierkeep_db::Dialect::Sqlite, tierkeep_learning::key::KeyType::Uuid)).await;
            })+
        }

        mod sqlite_with_integers {
            $(#[tokio::test]
            async fn $case() {
                Box::pin(super::$case(tierkeep_db::Dialect::Sqlite, tierkeep_learning::key::KeyType::Int)).await;
            })+
        }

        mod postgres_with_uuids {
            $(#[tokio::test]
            async fn $case() {
                Box::pin(super::$case(tierkeep_db::Dialect::Postgres, tierkeep_learning::key::KeyType::Uuid)).await;
            })+
        }

        mod postgres_with_integers {
            $(#[tokio::test]
            async fn $case() {
                Box::pin(super::$case(tierkeep_db::Dialect::Postgres, tierkeep_learning::key::KeyType::Int)).await;
            })+
        }
    };
}

/// A database of one test, gone with it.
pub(crate) struct Fresh {
    place: Place,
    pub(crate) url: DatabaseUrl,
    /// The address as text.
    pub(crate) text: String,
    pub(crate) dialect: Dialect,
}

enum Place {
    Sqlite(SqliteFile),
    Postgres(TestDatabase),
}

impl Fresh {
    /// No table at all.
    pub(crate) async fn empty(dialect: Dialect) -> Self {
        let place = match dialect {
            Dialect::Sqlite => Place::Sqlite(SqliteFile::new().unwrap()),
            Dialect::Postgres => Place::Postgres(PostgresServer::shared().await.unwrap().database().await.unwrap()),
        };
        Self::at(place, dialect)
    }

    /// A platform's tables on PostgreSQL.
    pub(crate) async fn with_schema(sql: &str) -> Self {
        let fresh = Self::empty(Dialect::Postgres).await;
        fresh.outside().await.run(sql).await;
        fresh
    }

    /// Tierkeep's own tables, empty.
    pub(crate) async fn migrated(dialect: Dialect, keys: KeyType) -> Self {
        let place = match dialect {
            Dialect::Sqlite => Place::Sqlite(SqliteFile::new().unwrap()),
            Dialect::Postgres => {
                let template = match keys {
                    KeyType::Uuid => "own_uuid",
                    KeyType::Int => "own_int",
                };
                let server = PostgresServer::shared().await.unwrap();
                let make = async |url: String| {
                    migrate(&url.parse()?, &options(OpenMode::Create { ids: Some(keys) })).await?;
                    Ok(())
                };
                Place::Postgres(server.database_from(template, make).await.unwrap())
            }
        };
        let fresh = Self::at(place, dialect);
        if dialect == Dialect::Sqlite {
            migrate(&fresh.url, &options(OpenMode::Create { ids: Some(keys) })).await.unwrap();
        }
        fresh
    }

    fn at(place: Place, dialect: Dialect) -> Self {
        let text = match &place {
            Place::Sqlite(file) => file.url(),
            Place::Postgres(database) => database.url().to_owned(),
        };
        Self { place, url: text.parse().unwrap(), text, dialect }
    }

    /// The store on the existing tables.
    pub(crate) async fn store(&self) -> Arc<dyn Store> {
        self.open(OpenMode::Existing).await.unwrap()
    }

    /// A store that only reads.
    pub(crate) async fn reader(&self) -> Arc<dyn Store> {
        self.open(OpenMode::ReadOnly).await.unwrap()
    }

    pub(crate) async fn open(&self, mode: OpenMode) -> Result<Arc<dyn Store>, StoreError> {
        open(&self.url, &options(mode)).await
    }

    /// A connection that knows nothing of the store.
    pub(crate) async fn outside(&self) -> Outside {
        match &self.place {
            Place::Sqlite(file) => {
                let connection = Connection::open(file.path()).unwrap();
                connection.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
                Outside::Sqlite(Mutex::new(connection))
            }
            Place::Postgres(database) => Outside::Postgres(database.client().await.unwrap()),
        }
    }
}

/// Options of a small installation in UTC.
pub(crate) fn options(mode: OpenMode) -> OpenOptions {
    OpenOptions {
        mode,
        pool: PoolConfig { size: 4, overflow: 8, ..PoolConfig::default() },
        default_zone: Zone::utc(),
        day_start: DayStart::default(),
        mapping: Mapping::default(),
    }
}

/// A connection beside the store, as a platform's code would have it.
pub(crate) enum Outside {
    Sqlite(Mutex<Connection>),
    Postgres(DatabaseClient),
}

impl Outside {
    /// Runs statements, all of one text in one transaction on PostgreSQL.
    pub(crate) async fn run(&self, sql: &str) {
        self.attempt(sql).await.unwrap_or_else(|error| panic!("{error}\n{sql}"));
    }

    pub(crate) async fn attempt(&self, sql: &str) -> Result<(), String> {
        match self {
            Self::Sqlite(connection) => {
                connection.lock().unwrap().execute_batch(sql).map_err(|error| error.to_string())
            }
            Self::Postgres(client) => client.batch_execute(sql).await.map_err(|error| format!("{error:?}")),
        }
    }

    /// Makes what was written through this connection visible in the server's statistics; SQLite keeps none.
    pub(crate) async fn flush_statistics(&self) {
        if let Self::Postgres(client) = self {
            client.flush_statistics().await.unwrap();
        }
    }

    /// The one number that a query gives.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        match self {
            Self::Sqlite(connection) => connection.lock().unwrap().query_row(sql, [], |row| row.get(0)).unwrap(),
            Self::Postgres(client) => client.query_one(sql, &[]).await.unwrap().get(0),
        }
    }

    /// The first column of each row, as text.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        match self {
            Self::Sqlite(connection) => {
                let connection = connection.lock().unwrap();
                let mut statement = connection.prepare(sql).unwrap();
                let rows = statement.query_map([], |row| row.get(0)).unwrap();
                rows.map(Result::unwrap).collect()
            }
            Self::Postgres(client) => client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect(),
        }
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        self.number(&format!("select count(*) from {table}")).await
    }

    /// The connection to PostgreSQL, in cases that have no twin on SQLite.
    pub(crate) fn postgres(&mut self) -> &mut DatabaseClient {
        match self {
            Self::Postgres(client) => client,
            Self::Sqlite(_) => panic!("this case is for PostgreSQL"),
        }
    }
}
