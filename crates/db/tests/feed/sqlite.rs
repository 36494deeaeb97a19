//! The feed on SQLite.

use std::time::Duration;

use anyhow::Result;
use rusqlite::Connection;
use tierkeep_db::feed::{Feed, FeedError, FeedHealth, own_change_sqlite};
use tierkeep_db::{Dialect, SqlType};
use tierkeep_testkit::SqliteFile;

use crate::fixture::{SQLITE_TABLES, Seen, everything, feed, noted, seen, sources, touched};

/// A database file with the tables and the feed.
pub(crate) struct File {
    pub(crate) file: SqliteFile,
    pub(crate) feed: Feed,
    pub(crate) db: Connection,
    pub(crate) after: u64,
}

impl File {
    /// With the feed installed, and what that notes read; the tables with `from` replaced by `to`.
    pub(crate) fn watched(from: &str, to: &str) -> Result<Self> {
        let file = SqliteFile::new()?;
        let db = Connection::open(file.path())?;
        db.pragma_update(None, "journal_mode", "wal")?;
        db.pragma_update(None, "foreign_keys", true)?;
        db.execute_batch(&SQLITE_TABLES.replace(from, to).replace(
            "references learners on delete cascade",
            if from == to { "references learners on delete cascade" } else { "" },
        ))?;
        let mut file = Self { file, feed: feed(), db, after: 1 };
        assert!(file.install()?);
        assert_eq!(file.news()?, [everything("")]);
        Ok(file)
    }

    pub(crate) fn new() -> Result<Self> {
        Self::watched("", "")
    }

    pub(crate) fn install(&mut self) -> Result<bool> {
        let tx = self.db.transaction()?;
        let installed = self.feed.install_sqlite(&tx)?;
        tx.commit()?;
        Ok(installed.changed)
    }

    pub(crate) fn news(&mut self) -> Result<Vec<Seen>> {
        let polled = self.feed.poll_sqlite(&self.db, self.after, 1000)?;
        self.after = polled.position;
        Ok(polled.events.iter().map(seen).collect())
    }

    /// Runs statements and returns what they were noted as.
    pub(crate) fn noted(&mut self, statements: &str) -> Result<Vec<Seen>> {
        self.db.execute_batch(statements)?;
        self.news()
    }

    pub(crate) fn problems(&self) -> Result<Vec<String>> {
        Ok(match self.feed.poll_sqlite(&self.db, 1, 1)?.health {
            FeedHealth::Whole => Vec::new(),
            FeedHealth::Broken(problems) => problems,
        })
    }
}

#[test]
fn every_statement_and_another_connection_is_seen() -> Result<()> {
    let mut file = File::new()?;
    let other = Connection::open(file.file.path())?;

    other.execute_batch(
        "insert into learners values (1, 'Asia/Tokyo'), (2, null);
        insert into sessions values (10, 1, 5, ''), (11, null, 6, '')",
    )?;

    assert_eq!(file.news()?, [noted(1, Some("Asia/Tokyo")), noted(2, Some("")), touched("sessions", 1, 5, 5)]);
    assert_eq!(
        file.noted("update sessions set learner = 2, start = 9 where id = 10")?,
        [touched("sessions", 1, 5, 5), touched("sessions", 2, 9, 9)]
    );
    assert_eq!(file.noted("insert into archive values (10, 1, 3)")?, [touched("archive", 1, 3, 3)]);
    // The row that is replaced, and the one that is shadowed.
    assert_eq!(
        file.noted("replace into sessions values (10, 1, 7, '')")?,
        [touched("sessions", 2, 9, 9), touched("sessions", 1, 3, 3), touched("sessions", 1, 7, 7)]
    );
    file.noted("insert into sessions values (12, 2, 12, '')")?;
    // The row that is displaced.
    assert!(
        file.noted("update or replace sessions set id = 12 where id = 10")?.contains(&touched("sessions", 2, 12, 12))
    );
    assert_eq!(file.noted("update learners set zone = 'UTC' where id = 2")?, [noted(2, Some("UTC"))]);
    assert_eq!(file.noted("update learners set zone = 'UTC' where id = 2")?, []);
    assert_eq!(file.noted("update learners set id = 3 where id = 2")?, [noted(2, None), noted(3, Some("UTC"))]);
    let mut cascade = file.noted("delete from learners where id = 1")?;
    cascade.sort();
    assert_eq!(cascade, [noted(1, None), touched("sessions", 1, 7, 7)]);
    assert_eq!(file.noted("begin; delete from learners; rollback")?, []);
    assert_eq!(file.noted("delete from archive")?, [touched("archive", 1, 3, 3)], "also without a condition");
    Ok(())
}

#[test]
fn value_of_another_type_does_not_make_a_write_fail() -> Result<()> {
    let mut file = File::watched("learner integer not null", "learner not null")?;

    assert_eq!(file.noted("insert into archive values (1, 'me', 'today')")?, [everything("archive")]);
    Ok(())
}

#[test]
fn poll_writes_nothing_and_can_be_made_by_a_reader() -> Result<()> {
    let mut file = File::new()?;
    file.db.execute_batch("insert into archive values (1, 1, 1)")?;
    let reader = Connection::open_with_flags(file.file.path(), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;

    let polled = file.feed.poll_sqlite(&reader, file.after, 1000)?;

    assert_eq!(polled.events.iter().map(seen).collect::<Vec<_>>(), file.news()?);
    Ok(())
}

#[test]
fn tampering_is_named_and_changes_the_epoch() -> Result<()> {
    let mut file = File::new()?;
    let epoch = file.feed.poll_sqlite(&file.db, 1, 1)?.epoch;
    assert_eq!(file.problems()?, [] as [&str; 0]);
    assert!(!file.install()?);

    for (break_it, expected) in [
        ("drop trigger tierkeep_archive_insert", "trigger tierkeep_archive_insert on archive is missing"),
        (
            "drop trigger tierkeep_archive_insert;
            create trigger tierkeep_archive_insert after insert on archive begin select 1; end",
            "trigger tierkeep_archive_insert on archive differs",
        ),
        (
            "update tierkeep_feed set fingerprint = 'older'",
            "the feed was installed by another version or for other tables; install it again",
        ),
    ] {
        file.db.execute_batch(break_it)?;
        assert_eq!(file.problems()?, [expected]);
        assert!(file.install()?);
        assert_eq!(file.problems()?, [] as [&str; 0]);
        assert_eq!(file.news()?, [everything("")]);
    }
    assert_ne!(file.feed.poll_sqlite(&file.db, 1, 1)?.epoch, epoch);

    file.db.execute_batch("drop table tierkeep_outbox")?;
    assert_eq!(file.problems()?, ["the outbox is missing"]);
    assert!(file.install()?);
    file.after = 1;
    assert_eq!(file.news()?, [everything("")]);
    Ok(())
}

#[test]
fn bulk_write_without_triggers_leaves_the_epoch() -> Result<()> {
    let mut file = File::new()?;
    let epoch = file.feed.poll_sqlite(&file.db, 1, 1)?.epoch;

    let tx = file.db.transaction()?;
    let suspended = file.feed.suspend_sqlite(&tx, "archive")?;
    tx.execute_batch("insert into archive values (1, 1, 1)")?;
    file.feed.resume_sqlite(&tx, suspended)?;
    tx.commit()?;

    assert_eq!(file.news()?, []);
    let polled = file.feed.poll_sqlite(&file.db, file.after, 1)?;
    assert_eq!((polled.health, polled.epoch), (FeedHealth::Whole, epoch));
    assert_eq!(file.noted("delete from archive")?, [touched("archive", 1, 1, 1)]);
    // What is broken cannot be suspended, or resuming would hide it.
    file.db.execute_batch("drop trigger tierkeep_archive_insert")?;
    let tx = file.db.transaction()?;
    assert!(matches!(file.feed.suspend_sqlite(&tx, "archive"), Err(FeedError::NotWhole { .. })));
    assert!(matches!(file.feed.suspend_sqlite(&tx, "nothing"), Err(FeedError::Source { .. })));
    Ok(())
}

#[test]
fn pruning_and_collapsing_raise_the_floor() -> Result<()> {
    let mut file = File::new()?;
    file.db.execute_batch(
        "insert into archive values (1, 1, 1), (2, 2, 2), (3, 3, 3); update tierkeep_outbox set settled = key is not 2",
    )?;
    let last = file.feed.poll_sqlite(&file.db, 1, 1)?.position;
    let day = Duration::from_hours(24);

    let tx = file.db.transaction()?;
    assert_eq!(file.feed.prune_sqlite(&tx, day, 100)?, 0);
    assert_eq!(file.feed.prune_sqlite(&tx, day, 2)?, 2);
    assert_eq!(file.feed.prune_sqlite(&tx, day, 0)?, 1);
    tx.commit()?;
    let polled = file.feed.poll_sqlite(&file.db, 1, 100)?;
    assert_eq!((polled.gap, polled.floor, polled.unsettled), (true, last, true));

    file.db.execute_batch("insert into archive values (4, 4, 4)")?;
    let tx = file.db.transaction()?;
    assert!(!file.feed.collapse_sqlite(&tx, 100_000)?);
    assert!(file.feed.collapse_sqlite(&tx, 50)?);
    tx.commit()?;
    assert!(file.feed.poll_sqlite(&file.db, last, 100)?.gap);
    file.after = last + 1;
    assert_eq!(file.news()?, [everything("")]);
    assert!(file.feed.poll_sqlite(&file.db, 1_000_000, 100)?.gap);
    Ok(())
}

#[test]
fn printed_statements_do_what_installing_does_and_removal_leaves_no_trace() -> Result<()> {
    let mut file = File::new()?;
    for statement in file.feed.remove_sql(Dialect::Sqlite) {
        file.db.execute_batch(&statement)?;
    }
    let traces: i64 =
        file.db.query_row("select count(*) from sqlite_schema where name like 'tierkeep%'", [], |row| row.get(0))?;
    assert_eq!(traces, 0);
    file.db.execute_batch("insert into archive values (1, 1, 1)")?;

    for statement in file.feed.install_sql(Dialect::Sqlite) {
        file.db.execute_batch(&statement)?;
    }

    file.after = 1;
    assert!(!file.install()?);
    assert_eq!(file.noted("insert into archive values (2, 2, 2)")?, [everything(""), touched("archive", 2, 2, 2)]);
    Ok(())
}

#[test]
fn what_cannot_be_installed_is_refused() -> Result<()> {
    let refusal = |tables: &str| -> Result<String> {
        let mut db = Connection::open_in_memory()?;
        db.execute_batch(tables)?;
        let tx = db.transaction()?;
        Ok(feed().install_sqlite(&tx).expect_err("an error").to_string())
    };

    assert_eq!(refusal("")?, "the table sessions does not exist");
    assert_eq!(refusal("create view sessions as select 1")?, "sessions is a view, only tables can be watched");
    let without = SQLITE_TABLES.replace("start integer, body", "body");
    assert_eq!(refusal(&without)?, "the table sessions has no column start");
    let other = format!("{SQLITE_TABLES} create table tierkeep_outbox (id integer, user_id integer)");
    assert!(refusal(&other)?.contains("tierkeep_outbox is not one of this feed: it has (id, user_id)"));
    let mut sources = sources();
    sources[0].table = "other.sessions".parse()?;
    let mut db = Connection::open_in_memory()?;
    let tx = db.transaction()?;
    let error = Feed::new(SqlType::Bigint, sources)?.install_sqlite(&tx).expect_err("an error");
    assert!(error.to_string().ends_with("other.sessions is in another schema, accepted is main"), "{error}");
    Ok(())
}

/// Nobody polls or prunes; writers go on.
#[test]
fn writers_keep_the_outbox_bounded_while_nobody_polls() -> Result<()> {
    let mut sizes = Vec::new();
    for most_bytes in [i64::MAX, 100_000] {
        let mut file = File::new()?;
        file.db.execute("update tierkeep_feed set most_bytes = ?1", [most_bytes])?;
        file.db.execute_batch(
            "with recursive n (i) as (select 1 union all select i + 1 from n where i < 5000)
             insert into archive (id, learner, start) select i, i, 0 from n",
        )?;
        sizes.push(file.db.query_row("select count(*) from tierkeep_outbox", [], |row| row.get::<_, i64>(0))?);
        let last = file.news()?;
        assert_eq!(last.contains(&everything("")), most_bytes < i64::MAX);
    }
    assert!(sizes[0] >= 5000, "the control");
    assert!(sizes[1] <= 2500, "1,000 rows at 100 bytes, and what comes until the next look: {}", sizes[1]);
    Ok(())
}

#[test]
fn tables_and_indexes_of_our_own_are_no_reason_to_forget() -> Result<()> {
    let mut file = File::new()?;
    let epoch = |file: &File| -> Result<u64> { Ok(file.feed.poll_sqlite(&file.db, 1, 1)?.epoch) };
    let before = epoch(&file)?;

    let tx = file.db.transaction()?;
    own_change_sqlite(&tx, |tx| tx.execute_batch("create table own (a); create index own_a on own (a); analyze own"))?;
    tx.commit()?;
    assert_eq!(epoch(&file)?, before);

    // the control: what somebody else does may have taken triggers away for a while
    file.db.execute_batch("create table other (a)")?;
    assert_ne!(epoch(&file)?, before);

    let bare = Connection::open_in_memory()?;
    let tx = bare.unchecked_transaction()?;
    own_change_sqlite(&tx, |tx| tx.execute_batch("create table own (a)"))?;
    Ok(())
}
