//! Transactions that only move rows, on SQLite, and a mark of silence that somebody left.

use std::time::Duration;

use anyhow::Result;
use rusqlite::{Connection, Transaction};
use tierkeep_db::Dialect;
use tierkeep_db::feed::{Feed, FeedHealth};

use crate::fixture::{SQLITE_TABLES, Seen, everything, feed, touched};
use crate::sqlite::File;

const TO_ARCHIVE: &str = "insert into archive select id, learner, start from sessions where id <= 2;
    delete from sessions where id <= 2";
const BACK: &str = "insert into sessions select id, learner, start, '' from archive where id <= 2;
    delete from archive where id <= 2";
/// Left by a transaction that committed its mark of silence.
const LEFT: &str = "insert into tierkeep_feed_quiet (only_row) values (1)";
const STILL_NOTED: &str = "update sessions set body = 'x' where id = 3";
const LEFT_PROBLEM: &str = "a row was left in tierkeep_feed_quiet, so nothing is noted; install it again";

fn with_rows() -> Result<File> {
    let mut file = File::new()?;
    file.noted(
        "insert into learners values (1, ''), (2, ''), (3, '');
        insert into sessions values (1, 1, 0, ''), (2, 2, 0, ''), (3, 3, 0, '')",
    )?;
    Ok(file)
}

fn run(statements: &str) -> impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()> {
    move |tx| tx.execute_batch(statements)
}

/// Runs statements quietly in a transaction of their own.
fn quietly(file: &mut File, statements: &str) -> Result<Vec<Seen>> {
    let tx = file.db.transaction()?;
    Feed::quietly_sqlite(&tx, run(statements))?;
    tx.commit()?;
    file.news()
}

fn count(db: &Connection, table: &str) -> Result<i64> {
    Ok(db.query_row(&format!("select count(*) from {table}"), [], |row| row.get(0))?)
}

#[test]
fn move_that_says_so_is_not_noted() -> Result<()> {
    let mut file = with_rows()?;
    let epoch = file.feed.poll_sqlite(&file.db, 1, 1)?.epoch;

    assert_eq!(quietly(&mut file, TO_ARCHIVE)?, []);
    assert_eq!(count(&file.db, "archive")?, 2, "it did move");
    assert_eq!(quietly(&mut file, BACK)?, []);
    let every_trigger = "insert into archive values (1, 1, 0), (2, 2, 0), (9, 3, 0);
        replace into archive values (9, 2, 1);
        update archive set start = 5 where id = 9;
        update or replace archive set id = 1 where id = 9;
        update learners set zone = 'UTC' where id = 1;
        update learners set id = 4 where id = 3;
        delete from learners where id = 2;
        delete from archive;
        insert into learners values (2, '')";
    file.db.pragma_update(None, "foreign_keys", false)?;
    assert_eq!(quietly(&mut file, every_trigger)?, []);
    let mut control = with_rows()?;
    control.db.pragma_update(None, "foreign_keys", false)?;
    assert!(control.noted(every_trigger)?.len() > 10, "the control: each of them is noted");

    assert_eq!(
        file.noted(&format!("begin; {TO_ARCHIVE}; commit"))?,
        [
            touched("archive", 1, 0, 0),
            touched("archive", 2, 0, 0),
            touched("sessions", 1, 0, 0),
            touched("sessions", 2, 0, 0)
        ],
        "the control, and the same connection is loud again"
    );
    let polled = file.feed.poll_sqlite(&file.db, 1, 1)?;
    assert_eq!((polled.health, polled.epoch), (FeedHealth::Whole, epoch));
    Ok(())
}

#[test]
fn before_and_after_the_moves_the_same_transaction_is_noted() -> Result<()> {
    let mut file = with_rows()?;

    let tx = file.db.transaction()?;
    tx.execute_batch("insert into archive values (8, 3, 8)")?;
    let moved: rusqlite::Result<usize> = Feed::quietly_sqlite(&tx, |tx| {
        tx.execute_batch("savepoint s; delete from sessions; rollback to s; release s")?;
        tx.execute("delete from sessions where id <= 2", [])
    });
    assert_eq!(moved?, 2);
    tx.execute_batch("insert into archive values (9, 3, 9)")?;
    tx.commit()?;

    assert_eq!(file.news()?, [touched("archive", 3, 8, 8), touched("archive", 3, 9, 9)]);
    Ok(())
}

#[test]
fn others_see_nothing_of_a_move_that_is_under_way() -> Result<()> {
    let mut file = with_rows()?;
    let path = file.file.path().to_owned();
    let reader = Connection::open(&path)?;
    let (feed, after) = (file.feed.clone(), file.after);

    let tx = file.db.transaction()?;
    let during = Feed::quietly_sqlite(&tx, |tx| -> Result<_> {
        tx.execute_batch(TO_ARCHIVE)?;
        Ok(feed.poll_sqlite(&reader, after, 10)?)
    })?;
    tx.commit()?;
    reader.execute_batch("delete from sessions where id = 3")?;

    assert_eq!((during.health, during.events), (FeedHealth::Whole, vec![]));
    assert_eq!(file.news()?, [touched("sessions", 3, 0, 0)]);
    Ok(())
}

#[test]
fn move_that_fails_or_is_rolled_back_silences_nothing() -> Result<()> {
    let mut file = with_rows()?;
    let same_id_twice = format!("{TO_ARCHIVE}; insert into archive values (1, 1, 0)");

    let tx = file.db.transaction()?;
    assert!(Feed::quietly_sqlite(&tx, run(&same_id_twice)).is_err());
    drop(tx);
    assert_eq!(count(&file.db, "archive")?, 0);
    assert_eq!(file.noted(STILL_NOTED)?, [touched("sessions", 3, 0, 0)]);
    // Committed in spite of the failure.
    let tx = file.db.transaction()?;
    assert!(Feed::quietly_sqlite(&tx, run(&same_id_twice)).is_err());
    tx.commit()?;
    assert_eq!(file.problems()?, [] as [&str; 0]);
    assert_eq!(file.noted(STILL_NOTED)?, [touched("sessions", 3, 0, 0)]);
    // Rolled back as a whole in the middle, as a full disk does it.
    let tx = file.db.transaction()?;
    let failed = Feed::quietly_sqlite(&tx, run("insert or rollback into archive values (1, 1, 0)"));
    assert!(failed.expect_err("the id is taken").to_string().contains("UNIQUE"), "the error is that of the move");
    drop(tx);
    assert_eq!(file.problems()?, [] as [&str; 0]);
    assert_eq!(file.noted(STILL_NOTED)?, [touched("sessions", 3, 0, 0)]);
    Ok(())
}

/// The planted fault: what a committed mark would do if nobody looked for it.
#[test]
fn committed_mark_of_silence_is_named_and_whoever_comes_next_takes_it_away() -> Result<()> {
    type Mending = fn(&mut File) -> Result<()>;
    let by_install: Mending = |file| {
        assert!(file.install()?);
        assert!(!file.install()?);
        Ok(())
    };
    let by_printed: Mending = |file| {
        Ok(file.feed.install_sql(Dialect::Sqlite).iter().try_for_each(|statement| file.db.execute_batch(statement))?)
    };
    let by_upkeep: Mending = |file| {
        let tx = file.db.transaction()?;
        file.feed.prune_sqlite(&tx, Duration::from_hours(1), 1000)?;
        Ok(tx.commit()?)
    };
    let by_next_move: Mending = |file| {
        let tx = file.db.transaction()?;
        Feed::quietly_sqlite(&tx, run("update archive set start = 9"))?;
        Ok(tx.commit()?)
    };
    let by_hand: Mending = |file| Ok(file.db.execute_batch("delete from tierkeep_feed_quiet")?);
    for mend in [by_install, by_printed, by_upkeep, by_next_move, by_hand] {
        let mut file = with_rows()?;
        file.db.execute_batch(LEFT)?;
        assert_eq!(file.noted("insert into archive values (9, 3, 0)")?, [], "the fault: nobody is told");
        assert_eq!(file.problems()?, [LEFT_PROBLEM]);

        mend(&mut file)?;

        assert_eq!(file.news()?, [everything("")]);
        assert_eq!(file.problems()?, [] as [&str; 0]);
        assert_eq!(file.noted("delete from archive where id = 9")?.len(), 1, "all is noted again");
    }
    Ok(())
}

#[test]
fn moves_within_moves_are_told_as_everything() -> Result<()> {
    let mut file = with_rows()?;

    let tx = file.db.transaction()?;
    Feed::quietly_sqlite(&tx, |tx| {
        tx.execute_batch("delete from sessions where id = 1")?;
        Feed::quietly_sqlite(tx, run("delete from sessions where id = 2"))?;
        tx.execute_batch("delete from sessions where id = 3")
    })?;
    tx.commit()?;

    assert_eq!(file.news()?, [everything(""), touched("sessions", 3, 0, 0)]);
    assert_eq!(file.problems()?, [] as [&str; 0]);
    Ok(())
}

#[test]
fn without_a_feed_rows_are_moved_all_the_same() -> Result<()> {
    let mut db = Connection::open_in_memory()?;
    db.execute_batch(&format!("{SQLITE_TABLES} insert into sessions values (1, null, 0, '')"))?;

    let tx = db.transaction()?;
    Feed::quietly_sqlite(&tx, run("delete from sessions"))?;
    tx.commit()?;

    assert_eq!(count(&db, "sessions")?, 0);
    Ok(())
}

#[test]
fn table_of_marks_that_is_gone_is_named_and_comes_back() -> Result<()> {
    let mut file = with_rows()?;
    file.db.execute_batch("drop table tierkeep_feed_quiet")?;
    assert_eq!(file.problems()?, ["the table tierkeep_feed_quiet is missing"]);

    assert!(file.install()?);

    assert_eq!(file.problems()?, [] as [&str; 0]);
    assert_eq!(file.news()?, [everything("")]);
    assert_eq!(quietly(&mut file, TO_ARCHIVE)?, []);
    let tx = file.db.transaction()?;
    tx.execute_batch("drop table tierkeep_feed_quiet; create table tierkeep_feed_quiet (id integer)")?;
    let error = feed().install_sqlite(&tx).expect_err("somebody else's");
    assert!(error.to_string().contains("tierkeep_feed_quiet is not one of this feed: it has (id)"), "{error}");
    Ok(())
}

#[test]
fn feed_of_the_version_before_is_told_as_another_one_and_brought_up_to_date() -> Result<()> {
    let mut file = with_rows()?;
    to_the_version_before(&file.db)?;
    let tx = file.db.transaction()?;
    Feed::quietly_sqlite(&tx, run(TO_ARCHIVE))?;
    file.feed.prune_sqlite(&tx, Duration::from_hours(1), 1000)?;
    tx.commit()?;
    assert!(
        count(&file.db, "tierkeep_outbox where source in ('sessions', 'archive')")? >= 7,
        "the control: it notes moves"
    );
    let problems = file.problems()?;
    assert_eq!(problems[0], "the table tierkeep_feed_quiet is missing");
    assert!(problems.contains(&"trigger tierkeep_archive_insert on archive differs".to_owned()));

    assert!(file.install()?);

    assert!(file.news()?.contains(&everything("")));
    assert_eq!(file.problems()?, [] as [&str; 0]);
    assert_eq!(quietly(&mut file, BACK)?, []);
    assert!(!file.install()?);
    Ok(())
}

/// Triggers that look for no mark, and no table for it.
fn to_the_version_before(db: &Connection) -> Result<()> {
    let triggers: Vec<(String, String)> = db
        .prepare("select name, sql from sqlite_schema where type = 'trigger' and tbl_name not like 'tierkeep%'")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mark = "not exists (select 1 from tierkeep_feed_quiet)";
    for (name, sql) in triggers {
        let before = sql.replace(&format!("when {mark} and "), "when ").replace(&format!("when {mark}\n"), "");
        anyhow::ensure!(!before.contains("quiet") && before != sql, "{before}");
        db.execute_batch(&format!("drop trigger {name}; {before}"))?;
    }
    Ok(db.execute_batch("drop table tierkeep_feed_quiet; update tierkeep_feed set fingerprint = 'older'")?)
}
