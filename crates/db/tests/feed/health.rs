//! Whatever is done to the feed by hand is named by the next poll.

use anyhow::Result;
use tierkeep_db::feed::FeedHealth;

use crate::fixture::{Platform, everything, touched};

async fn problems(platform: &Platform) -> Result<Vec<String>> {
    Ok(match platform.poll().await?.health {
        FeedHealth::Whole => Vec::new(),
        FeedHealth::Broken(problems) => problems,
    })
}

/// Breaks the feed, asserts what is said about it twice, repairs it by installing and asserts that all is forgotten.
async fn assert_named(break_it: &str, expected: &[&str]) -> Result<()> {
    let mut platform = Platform::watched().await?;
    assert_eq!(problems(&platform).await?, [] as [&str; 0]);

    platform.writer.batch_execute(break_it).await?;

    assert_eq!(problems(&platform).await?, expected, "{break_it}");
    assert_eq!(problems(&platform).await?, expected, "{break_it}, again");
    platform.news().await?;
    assert!(platform.install().await?.changed, "{break_it}");
    assert_eq!(problems(&platform).await?, [] as [&str; 0], "{break_it}");
    assert!(platform.news().await?.contains(&everything("")), "{break_it}");
    assert!(!platform.install().await?.changed, "{break_it}");
    assert_eq!(platform.news().await?, [], "{break_it}: nothing is repeated");
    Ok(())
}

#[tokio::test]
async fn tampering_with_triggers_is_named() -> Result<()> {
    let insert = "create trigger tierkeep_insert after insert on sessions";
    for (break_it, expected) in [
        ("drop trigger tierkeep_insert on sessions", "trigger tierkeep_insert on sessions is missing"),
        ("alter table archive disable trigger tierkeep_delete", "trigger tierkeep_delete on archive is disabled"),
        (
            "alter table learners enable trigger tierkeep_update",
            "trigger tierkeep_update on learners is not ENABLE ALWAYS",
        ),
        (
            &format!(
                "drop trigger tierkeep_insert on sessions;
                {insert} referencing new table as after_rows for each statement when (false)
                execute function tierkeep_note_sessions();
                alter table sessions enable always trigger tierkeep_insert"
            ),
            "trigger tierkeep_insert on sessions differs",
        ),
        (
            &format!(
                "drop trigger tierkeep_insert on sessions;
                {insert} referencing new table as after_rows for each statement execute function tierkeep_note_archive();
                alter table sessions enable always trigger tierkeep_insert"
            ),
            "trigger tierkeep_insert on sessions differs",
        ),
    ] {
        assert_named(break_it, &[expected]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn tampering_with_functions_is_named() -> Result<()> {
    for (break_it, expected) in [
        (
            "create or replace function tierkeep_note_archive() returns trigger language plpgsql
            security definer set search_path from current as 'begin return null; end'",
            "function tierkeep_note_archive differs",
        ),
        ("alter function tierkeep_note_archive() security invoker", "function tierkeep_note_archive differs"),
        ("alter function tierkeep_note_archive() reset search_path", "function tierkeep_note_archive differs"),
    ] {
        assert_named(break_it, &[expected]).await?;
    }
    let dropped = "drop function tierkeep_note_learners() cascade";
    assert_named(
        dropped,
        &[
            "function tierkeep_note_learners is missing",
            "trigger tierkeep_delete on learners is missing",
            "trigger tierkeep_insert on learners is missing",
            "trigger tierkeep_truncate on learners is missing",
            "trigger tierkeep_update on learners is missing",
        ],
    )
    .await
}

#[tokio::test]
async fn tampering_with_the_tables_of_the_feed_is_named() -> Result<()> {
    let missing = "the outbox is missing, or is not the one of this version";
    assert_named("drop table tierkeep_outbox", &[missing]).await?;
    assert_named("drop table tierkeep_feed", &[missing]).await?;
    assert_named("drop sequence tierkeep_feed_lost", &[missing]).await?;
    assert_named("delete from tierkeep_feed", &[missing]).await?;
    let other = "the feed was installed by another version or for other tables; install it again";
    assert_named("update tierkeep_feed set fingerprint = 'older'", &[other]).await
}

#[tokio::test]
async fn feed_that_was_made_anew_is_another_one() -> Result<()> {
    let platform = Platform::watched().await?;
    let before = platform.poll().await?;

    platform.writer.batch_execute("drop table tierkeep_feed, tierkeep_outbox").await?;
    let gone = platform.poll().await?;
    platform.install().await?;
    let after = platform.poll().await?;

    assert!(gone.gap && gone.events.is_empty());
    assert_ne!(after.epoch, before.epoch);
    Ok(())
}

#[tokio::test]
async fn trigger_that_was_away_for_a_moment_means_everything() -> Result<()> {
    let mut platform = Platform::watched().await?;
    let definition: String = platform
        .writer
        .query_one("select pg_get_triggerdef(oid) from pg_trigger where tgrelid = 'archive'::regclass and tgname = 'tierkeep_insert'", &[])
        .await?
        .get(0);

    platform
        .writer
        .batch_execute(&format!(
            "drop trigger tierkeep_insert on archive; insert into archive values (1, 1, 'epoch'); {definition};
            alter table archive enable always trigger tierkeep_insert"
        ))
        .await?;

    let polled = platform.poll().await?;
    assert_eq!(polled.health, FeedHealth::Whole);
    assert_eq!(platform.news().await?, [everything("")]);
    assert_eq!(platform.news().await?, []);
    Ok(())
}

#[tokio::test]
async fn restart_of_the_server_means_everything() -> Result<()> {
    let server = tierkeep_testkit::PostgresServer::launch().await?;
    let mut platform = Platform::on(&server, crate::fixture::TABLES, crate::fixture::feed()).await?;
    platform.install().await?;
    platform.news().await?;
    let before = platform.poll().await?;
    assert_eq!(before.events, []);
    assert_eq!(platform.poll().await?.epoch, before.epoch);

    server.restart().await?;

    assert_eq!(platform.news().await?, [everything("")]);
    assert_ne!(platform.poll().await?.epoch, before.epoch);
    assert_eq!(platform.news().await?, []);
    Ok(())
}

#[tokio::test]
async fn removal_leaves_no_trace_and_the_tables_can_be_written() -> Result<()> {
    let platform = Platform::watched().await?;
    for statement in platform.feed.remove_sql(tierkeep_db::Dialect::Postgres) {
        platform.writer.batch_execute(&statement).await?;
    }

    platform.writer.batch_execute("insert into archive values (1, 1, 'epoch')").await?;

    let traces: i64 = platform
        .writer
        .query_one(
            "select (select count(*) from pg_class where relname like 'tierkeep%')
            + (select count(*) from pg_proc where proname like 'tierkeep%')
            + (select count(*) from pg_trigger where tgname like 'tierkeep%')",
            &[],
        )
        .await?
        .get(0);
    assert_eq!(traces, 0);
    assert!(platform.install().await?.changed, "and it can be installed again");
    Ok(())
}

#[tokio::test]
async fn printed_statements_do_what_installing_does() -> Result<()> {
    let mut platform = Platform::unwatched(crate::fixture::TABLES, crate::fixture::feed()).await?;
    for statement in platform.feed.install_sql(tierkeep_db::Dialect::Postgres) {
        platform.writer.batch_execute(&statement).await?;
    }
    assert!(!platform.install().await?.changed);
    platform.news().await?;

    assert_eq!(platform.noted("insert into archive values (1, 1, 'epoch')").await?, [touched("archive", 1, 0, 0)]);
    assert_eq!(problems(&platform).await?, [] as [&str; 0]);
    Ok(())
}
