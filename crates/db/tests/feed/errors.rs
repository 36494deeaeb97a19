//! A write of the platform never fails because of the feed.

use anyhow::Result;
use tierkeep_db::feed::FeedHealth;

use crate::fixture::{Platform, Seen, everything};

const INSERT: &str = "insert into sessions select 2, 1, to_timestamp(2)";
const UPDATE: &str = "update sessions set body = 'new'";
const DELETE: &str = "delete from sessions";

/// Changes the tables in a session that has written before, writes in every way, and returns what was noted.
async fn after_change(change: &str, insert: &str) -> Result<Vec<Seen>> {
    let mut platform = Platform::watched().await?;
    platform.noted("insert into learners values (1, '')").await?;
    // Plans of the triggers are cached now, those of few rows and those of many.
    for count in [1, 300] {
        platform
            .noted(&format!(
                "insert into sessions select i, 1, to_timestamp(i), '' from generate_series(1, {count}) as i;
                update sessions set body = 'old'; delete from sessions"
            ))
            .await?;
    }
    platform
        .noted("insert into archive values (1, 1, 'epoch'); insert into sessions values (1, 1, 'epoch', '')")
        .await?;
    platform.noted(&format!("{UPDATE}; {DELETE}")).await?;

    platform.writer.batch_execute(change).await?;

    for statement in [insert, UPDATE, DELETE] {
        platform.writer.batch_execute(statement).await?;
    }
    let news = platform.news().await?;
    Ok(news.into_iter().filter(|event| event.0 == "sessions").collect())
}

#[tokio::test]
async fn every_mapped_column_can_be_renamed_and_dropped_under_writes() -> Result<()> {
    for column in ["id", "learner", "start"] {
        for change in [
            format!("alter table sessions rename {column} to other"),
            format!("alter table sessions drop {column} cascade"),
        ] {
            let insert = match (column, change.contains("drop")) {
                (_, false) => INSERT,
                ("id", true) => "insert into sessions (learner, start) values (1, to_timestamp(2))",
                ("learner", true) => "insert into sessions (id, start) values (2, to_timestamp(2))",
                (_, true) => "insert into sessions (id, learner) values (2, 1)",
            };
            let news = after_change(&change, insert).await?;
            assert_eq!(news.len(), 3, "{change}: {news:?}");
            // A cached plan knows a renamed column by its number, which is as good.
            for event in news {
                let is_right = event == everything("sessions") || event.1 == Some(1);
                assert!(is_right, "{change}: {event:?}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_mapped_column_can_change_its_type_under_writes() -> Result<()> {
    for (change, insert) in [
        ("alter table sessions alter id type text", "insert into sessions values ('x', 1, to_timestamp(2))"),
        ("alter table sessions alter id type integer", INSERT),
        (
            "alter table sessions drop constraint sessions_learner_fkey, alter learner type text",
            "insert into sessions values (2, 'not a number', to_timestamp(2))",
        ),
        ("alter table sessions alter learner type integer", INSERT),
        ("alter table sessions alter start type text", "insert into sessions values (2, 1, 'once')"),
        ("alter table sessions alter start type date", INSERT),
    ] {
        let news = after_change(change, insert).await?;
        assert_eq!(news.len(), 3, "{change}: {news:?}");
        for event in news {
            let is_right = event == everything("sessions") || (event.1 == Some(1) && event.2 <= Some(2_000_000));
            assert!(is_right, "{change}: {event:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn shadow_can_be_dropped_under_writes() -> Result<()> {
    let news = after_change("drop table archive", INSERT).await?;

    assert_eq!(news, [everything("sessions"), everything("sessions"), everything("sessions")]);
    Ok(())
}

#[tokio::test]
async fn write_that_cannot_be_noted_passes_and_is_counted() -> Result<()> {
    for change in [
        "alter table tierkeep_outbox rename to elsewhere",
        "alter table tierkeep_outbox rename source to elsewhere",
        "alter table tierkeep_outbox add constraint never check (id < 0) not valid",
        // A restored table whose identity starts over.
        "alter table tierkeep_outbox alter id restart with 1",
    ] {
        let mut platform = Platform::watched().await?;
        platform.noted("insert into archive values (1, 1, 'epoch'), (2, 2, 'epoch')").await?;

        platform.writer.batch_execute(change).await?;
        platform.writer.batch_execute("insert into archive values (3, 3, 'epoch')").await?;

        let written: i64 = platform.writer.query_one("select count(*) from archive", &[]).await?.get(0);
        assert_eq!(written, 3, "{change}");
        if change.ends_with("elsewhere") {
            let back = change
                .replace("elsewhere", "#")
                .replace("tierkeep_outbox rename to #", "elsewhere rename to tierkeep_outbox");
            platform.writer.batch_execute(&back.replace("source to #", "elsewhere to source")).await?;
        } else {
            platform
                .writer
                .batch_execute(
                    "alter table tierkeep_outbox drop constraint if exists never;
                    select setval(pg_get_serial_sequence('tierkeep_outbox', 'id'), 100)",
                )
                .await?;
        }
        let expected = "1 writes could not be noted since the feed was installed; install it again";
        assert_eq!(platform.poll().await?.health, FeedHealth::Broken(vec![expected.to_owned()]), "{change}");
        assert!(platform.install().await?.changed);
        assert_eq!(platform.poll().await?.health, FeedHealth::Whole, "{change}");
        assert!(platform.news().await?.contains(&everything("")));
    }
    Ok(())
}

#[tokio::test]
async fn write_passes_without_any_table_of_the_feed() -> Result<()> {
    let platform = Platform::watched().await?;
    platform.writer.batch_execute("insert into archive values (1, 1, 'epoch')").await?;

    platform
        .writer
        .batch_execute("drop table tierkeep_outbox, tierkeep_feed; drop sequence tierkeep_feed_lost")
        .await?;
    platform.writer.batch_execute("insert into archive values (2, 2, 'epoch'); truncate archive").await?;

    assert!(matches!(platform.poll().await?.health, FeedHealth::Broken(_)));
    Ok(())
}
