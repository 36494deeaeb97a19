//! A connection beside the store, as a platform's code would have it.

use std::sync::Mutex;
use std::time::Duration;

use tierkeep_db::Dialect;
use tierkeep_testkit::DatabaseClient;

/// Longest wait of a test for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) enum Connection {
    Sqlite(Mutex<rusqlite::Connection>),
    Postgres(DatabaseClient),
}

impl Connection {
    pub(crate) async fn open(url: &str) -> Result<Self, String> {
        if let Some(path) = url.strip_prefix("sqlite://") {
            let connection = rusqlite::Connection::open(path).map_err(|error| error.to_string())?;
            connection.busy_timeout(PATIENCE).map_err(|error| error.to_string())?;
            return Ok(Self::Sqlite(Mutex::new(connection)));
        }
        let client = DatabaseClient::connect(url).await.map_err(|error| format!("{error:#}"))?;
        client.batch_execute("set timezone = 'UTC'").await.map_err(|error| error.to_string())?;
        Ok(Self::Postgres(client))
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs statements.
    pub(crate) async fn run(&self, sql: &str) {
        match self {
            Self::Sqlite(connection) => connection.lock().unwrap().execute_batch(sql).unwrap(),
            Self::Postgres(client) => client.batch_execute(sql).await.unwrap(),
        }
    }

    /// Runs one statement; how many rows it changed.
    pub(crate) async fn change(&self, sql: &str) -> Result<u64, String> {
        match self {
            Self::Sqlite(connection) => {
                let changed = connection.lock().unwrap().execute(sql, []);
                changed.map(|rows| rows as u64).map_err(|error| error.to_string())
            }
            Self::Postgres(client) => client.execute(sql, &[]).await.map_err(|error| error.to_string()),
        }
    }

    /// The whole numbers of the one row that a statement gives.
    pub(crate) async fn numbers(&self, sql: &str) -> Result<Vec<i64>, String> {
        match self {
            Self::Sqlite(connection) => {
                let connection = connection.lock().unwrap();
                let mut statement = connection.prepare_cached(sql).map_err(|error| error.to_string())?;
                let columns = statement.column_count();
                let numbers = statement.query_row([], |row| (0..columns).map(|place| row.get(place)).collect());
                numbers.map_err(|error| error.to_string())
            }
            Self::Postgres(client) => {
                let row = client.query_one(sql, &[]).await.map_err(|error| error.to_string())?;
                Ok((0..row.len()).map(|place| row.get(place)).collect())
            }
        }
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.numbers(sql).await.unwrap_or_else(|error| panic!("{error}\n{sql}"))[0]
    }
}
