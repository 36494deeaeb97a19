//! Transactions that only move rows, on PostgreSQL.

use anyhow::Result;
use bytes::Bytes;
use futures_util::SinkExt;
use tierkeep_db::feed::{Feed, FeedHealth};

use crate::fixture::{Platform, Seen, everything, touched};

/// From the live table to the archive, as retention moves rows.
const TO_ARCHIVE: &str = "with gone as (delete from sessions where id <= 2 returning *)
    insert into archive select id, learner, start from gone";
const BACK: &str = "with gone as (delete from archive where id <= 2 returning *)
    insert into sessions select id, learner, start, '' from gone";
/// What one of them is noted as.
fn moved() -> [Seen; 4] {
    [
        touched("archive", 1, 0, 0),
        touched("archive", 2, 0, 0),
        touched("sessions", 1, 0, 0),
        touched("sessions", 2, 0, 0),
    ]
}

async fn with_rows() -> Result<Platform> {
    let mut platform = Platform::watched().await?;
    platform
        .noted(
            "insert into learners values (1, ''), (2, ''), (3, '');
            insert into sessions values (1, 1, 'epoch', ''), (2, 2, 'epoch', ''), (3, 3, 'epoch', '')",
        )
        .await?;
    Ok(platform)
}

fn quietly(statements: &str) -> String {
    format!("begin; {}; {statements}; commit", Feed::MOVE_POSTGRES)
}

#[tokio::test]
async fn move_that_says_so_is_not_noted_and_others_are() -> Result<()> {
    let mut platform = with_rows().await?;

    assert_eq!(platform.noted(&quietly(TO_ARCHIVE)).await?, []);
    let archived: i64 = platform.writer.query_one("select count(*) from archive", &[]).await?.get(0);
    assert_eq!(archived, 2, "it did move");
    assert_eq!(platform.noted(&quietly(BACK)).await?, []);
    assert_eq!(platform.noted(&quietly("update archive set learner = 3; update learners set zone = 'UTC'")).await?, []);

    assert_eq!(platform.noted(TO_ARCHIVE).await?, moved(), "the control, and the same connection is loud again");
    assert_eq!(platform.noted(&format!("begin; {BACK}; commit")).await?, moved());
    platform.writer.batch_execute(Feed::MOVE_POSTGRES).await?;
    assert_eq!(platform.noted(TO_ARCHIVE).await?, moved(), "outside a transaction it says nothing");
    assert_eq!(platform.poll().await?.health, FeedHealth::Whole);
    Ok(())
}

#[tokio::test]
async fn other_values_are_no_move() -> Result<()> {
    for value in ["", "import", "moved", "MOVE"] {
        let mut platform = with_rows().await?;

        let news =
            platform.noted(&format!("begin; set local tierkeep.origin = '{value}'; {TO_ARCHIVE}; commit")).await?;

        assert_eq!(news, moved(), "{value:?}");
    }
    Ok(())
}

#[tokio::test]
async fn truncate_in_a_move_is_noted() -> Result<()> {
    let mut platform = with_rows().await?;

    assert_eq!(platform.noted(&quietly("truncate sessions")).await?, [everything("sessions")]);
    Ok(())
}

#[tokio::test]
async fn copy_and_cascades_in_a_move_are_not_noted() -> Result<()> {
    let mut platform = with_rows().await?;
    platform.writer.batch_execute(&format!("begin; {}", Feed::MOVE_POSTGRES)).await?;

    let copy = "copy archive (id, learner, start) from stdin";
    let mut sink = Box::pin(platform.writer.copy_in::<_, Bytes>(copy).await?);
    sink.send(Bytes::from_static(b"50\t1\t1970-01-01 00:00:00+00\n")).await?;
    assert_eq!(sink.as_mut().finish().await?, 1);
    platform.writer.batch_execute("delete from learners where id = 3; commit").await?;

    assert_eq!(platform.news().await?, []);
    Ok(())
}

#[tokio::test]
async fn writers_beside_a_move_are_noted() -> Result<()> {
    let mut platform = with_rows().await?;
    let other = platform.db.client().await?;

    platform.writer.batch_execute(&format!("begin; {}", Feed::MOVE_POSTGRES)).await?;
    other.batch_execute("begin; update sessions set start = to_timestamp(1) where id = 3").await?;
    platform.writer.batch_execute(TO_ARCHIVE).await?;
    other.batch_execute("insert into archive values (9, 3, to_timestamp(9)); commit").await?;
    let during = platform.news().await?;
    platform.writer.batch_execute("commit").await?;

    assert_eq!(during, [touched("sessions", 3, 0, 1_000_000), touched("archive", 3, 9_000_000, 9_000_000)]);
    assert_eq!(platform.news().await?, []);
    Ok(())
}

#[tokio::test]
async fn rest_of_the_transaction_is_noted_after_the_end_of_the_moves() -> Result<()> {
    let mut platform = with_rows().await?;

    let news = platform
        .noted(&format!(
            "begin; insert into archive values (8, 3, 'epoch'); {}; {TO_ARCHIVE}; {};
            delete from sessions where id = 3; commit",
            Feed::MOVE_POSTGRES,
            Feed::NOTE_POSTGRES
        ))
        .await?;

    assert_eq!(news, [touched("archive", 3, 0, 0), touched("sessions", 3, 0, 0)]);
    Ok(())
}

#[tokio::test]
async fn move_that_fails_or_is_rolled_back_silences_nothing() -> Result<()> {
    let mut platform = with_rows().await?;
    let delete = "delete from sessions where id = 3";
    let deleted = [touched("sessions", 3, 0, 0)];
    let insert = "insert into sessions values (3, 3, 'epoch', '')";

    assert_eq!(
        platform.noted(&format!("begin; {}; {TO_ARCHIVE}; rollback; {delete}", Feed::MOVE_POSTGRES)).await?,
        deleted
    );
    assert_eq!(platform.noted(insert).await?, deleted);
    // The same id twice.
    let broken = format!("begin; {}; {TO_ARCHIVE}; insert into archive values (1, 1, 'epoch')", Feed::MOVE_POSTGRES);
    assert!(platform.writer.batch_execute(&broken).await.is_err());
    platform.writer.batch_execute("rollback").await?;
    assert_eq!(platform.noted(delete).await?, deleted);
    assert_eq!(platform.noted(insert).await?, deleted);
    let undone = format!("begin; savepoint s; {}; {TO_ARCHIVE}; rollback to s; {delete}; commit", Feed::MOVE_POSTGRES);
    assert_eq!(platform.noted(&undone).await?, deleted);
    // A savepoint that is kept is part of the move, and so is what comes after a failure within.
    platform.noted(insert).await?;
    let kept = format!(
        "begin; savepoint s; {}; release s; savepoint t; insert into archive values (7, 1, 'epoch'); rollback to t;
        {TO_ARCHIVE}; commit",
        Feed::MOVE_POSTGRES
    );
    assert_eq!(platform.noted(&kept).await?, []);
    Ok(())
}

/// Set for the function, it would be quiet for everybody and for ever.
#[tokio::test]
async fn function_that_is_always_quiet_is_named() -> Result<()> {
    let mut platform = with_rows().await?;
    platform.writer.batch_execute("alter function tierkeep_note_archive() set tierkeep.origin = 'move'").await?;

    let health = platform.poll().await?.health;

    assert_eq!(health, FeedHealth::Broken(vec!["function tierkeep_note_archive differs".to_owned()]));
    assert_eq!(platform.noted("insert into archive values (1, 1, 'epoch')").await?, [], "the control: it is quiet");
    assert!(platform.install().await?.changed);
    assert!(platform.news().await?.contains(&everything("")));
    assert_eq!(platform.noted("delete from archive").await?, [touched("archive", 1, 0, 0)]);
    assert_eq!(platform.poll().await?.health, FeedHealth::Whole);
    Ok(())
}

#[tokio::test]
async fn feed_of_the_version_before_is_told_as_another_one_and_brought_up_to_date() -> Result<()> {
    let mut platform = with_rows().await?;
    platform
        .writer
        .batch_execute(
            "do $$
            declare
                body text;
                name text;
            begin
                foreach name in array array['sessions', 'archive', 'learners'] loop
                    select prosrc into strict body from pg_proc where proname = 'tierkeep_note_' || name;
                    execute format(
                        'create or replace function %I() returns trigger language plpgsql security definer '
                        'set search_path from current as %L',
                        'tierkeep_note_' || name, regexp_replace(body, '    -- Before the sub.*?end if;\\n', '')
                    );
                end loop;
                update tierkeep_feed set fingerprint = 'older';
            end
            $$",
        )
        .await?;
    assert_eq!(platform.noted(&quietly(TO_ARCHIVE)).await?, moved(), "the control: it notes moves");
    let FeedHealth::Broken(problems) = platform.poll().await?.health else { anyhow::bail!("it is whole") };
    assert_eq!(problems[0], "function tierkeep_note_archive differs");

    assert!(platform.install().await?.changed);

    assert!(platform.news().await?.contains(&everything("")));
    assert_eq!(platform.poll().await?.health, FeedHealth::Whole);
    assert_eq!(platform.noted(&quietly(BACK)).await?, []);
    assert!(!platform.install().await?.changed);
    Ok(())
}
