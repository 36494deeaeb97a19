//! The feed on SQLite.

use anyhow::Result;
use rusqlite::Connection;
use tierkeep_db::feed::{Feed, FeedHealth};
use tierkeep_testkit::SqliteFile;

use crate::fixture::{SQLITE_TABLES, Seen, everything, feed, noted, seen, touched};

struct File {
    file: SqliteFile,
    feed: Feed,
    db: Connection,
    after: u64,
}

impl File {
    fn watched() -> Result<Self> {
        let file = SqliteFile::new()?;
        let mut db = Connection::open(file.path())?;
        db.pragma_update(None, "journal_mode", "wal")?;
        db.execute_batch(SQLITE_TABLES)?;
        let feed = feed();
        let tx = db.transaction()?;
        assert!(feed.install_sqlite(&tx)?.changed);
        tx.commit()?;
        let mut file = Self { file, feed, db, after: 1 };
        assert_eq!(file.news()?, [everything("")]);
        Ok(file)
    }

    fn news(&mut self) -> Result<Vec<Seen>> {
        let polled = self.feed.poll_sqlite(&self.db, self.after, 1000)?;
        assert!(!polled.gap);
        self.after = polled.position;
        Ok(polled.events.iter().map(seen).collect())
    }

    fn noted(&mut self, statements: &str) -> Result<Vec<Seen>> {
        self.db.execute_batch(statements)?;
        self.news()
    }
}

#[test]
fn another_connection_is_seen() -> Result<()> {
    let mut file = File::watched()?;
    let other = Connection::open(file.file.path())?;

    other.execute_batch("insert into learners values (1, 'Asia/Tokyo'); insert into sessions values (10, 1, 5, '')")?;

    assert_eq!(file.news()?, [noted(1, Some("Asia/Tokyo")), touched("sessions", 1, 5, 5)]);
    assert_eq!(file.feed.poll_sqlite(&file.db, 1, 10)?.health, FeedHealth::Whole);
    assert_eq!(file.noted("delete from archive")?, []);
    Ok(())
}
