//! Where examples run: on a file of their own, and on each database whose address is given.

use std::path::Path;

use anyhow::Result;
use tierkeep_db::raw::{Params, Raw};
use tierkeep_db::{Database, DatabaseUrl, Pool, PoolConfig, SqliteConfig, SqliteDatabase, SqlitePath};

/// A file in the directory, and what the arguments of the program name.
pub(crate) async fn databases(directory: &Path) -> Result<Vec<Database>> {
    let file = SqlitePath::new(directory.join("example.db"));
    let mut all = vec![Database::Sqlite(SqliteDatabase::open(&file, SqliteConfig::default()).await?)];
    for address in std::env::args().skip(1) {
        all.push(match address.parse()? {
            DatabaseUrl::Postgres(url) => Database::Postgres(Pool::new(&url, PoolConfig::default())?),
            DatabaseUrl::Sqlite(path) => Database::Sqlite(SqliteDatabase::open(&path, SqliteConfig::default()).await?),
        });
    }
    Ok(all)
}

/// Runs statements one after the other.
pub(crate) async fn run(db: &Database, statements: &[&str]) -> Result<()> {
    for sql in statements {
        Raw::new(db.dialect(), sql, Params::none())?.write(db).await?;
    }
    Ok(())
}
