//! The outbox stays small, and whoever missed events is told.

use std::time::Duration;

use anyhow::Result;

use crate::fixture::{Platform, everything, touched};

const DAY: Duration = Duration::from_hours(24);

async fn with_events(count: i64) -> Result<Platform> {
    let platform = Platform::watched().await?;
    platform
        .writer
        .execute("insert into archive select i, i, 'epoch' from generate_series(1, $1::bigint) as i", &[&count])
        .await?;
    Ok(platform)
}

#[tokio::test]
async fn pruning_spares_what_is_unsettled_unnumbered_or_young() -> Result<()> {
    let platform = with_events(5).await?;
    let (db, writer) = (platform.poller().await?, &platform.writer);
    writer.batch_execute("update tierkeep_outbox set settled = true").await?;
    let prune = async |keep, most_rows| platform.feed.prune_postgres(&db, keep, most_rows).await;

    assert_eq!(prune(DAY, 100).await?, 0, "young and few");
    assert_eq!(prune(Duration::ZERO, 100).await? + prune(DAY, 0).await?, platform.after - 1, "none unnumbered");
    let numbered = platform.poll().await?;
    assert_eq!(numbered.events.len(), 5);
    let second = i64::try_from(numbered.events[1].position)?;
    writer.execute("update tierkeep_outbox set settled = position <> $1", &[&second]).await?;
    assert_eq!(prune(DAY, 3).await?, 1, "more than three positions back and settled");
    assert_eq!(platform.poll().await?.floor, numbered.events[0].position);
    assert_eq!(prune(Duration::ZERO, 100).await?, 3);

    let polled = platform.poll().await?;
    assert_eq!(polled.floor, numbered.events[4].position);
    assert_eq!((polled.gap, polled.unsettled), (true, true), "the caller has seen nothing of these");
    assert_eq!(polled.events.len(), 1, "the unsettled one stays");
    let polled = platform.feed.poll_postgres(&db, polled.position, 10).await?;
    assert!(!polled.gap, "who has seen all is not concerned");
    Ok(())
}

#[tokio::test]
async fn outbox_that_is_too_large_becomes_one_everything() -> Result<()> {
    let mut platform = with_events(499).await?;
    let db = platform.poller().await?;
    let before = platform.news().await?;
    assert_eq!(before.len(), 499);
    assert!(!platform.feed.collapse_postgres(&db, 100_000_000).await?);

    // A writer in the middle of a transaction is not held up, and what it commits stays.
    let open = platform.db.client().await?;
    open.batch_execute("begin; insert into archive values (1000, 1000, 'epoch')").await?;
    platform.writer.batch_execute("insert into archive values (1001, 1001, 'epoch')").await?;
    assert!(platform.feed.collapse_postgres(&db, 10_000).await?);
    open.batch_execute("commit").await?;

    let late = platform.feed.poll_postgres(&db, 2, 10).await?;
    assert!(late.gap);
    assert_eq!(late.floor, platform.after);
    assert_eq!(platform.news().await?, [everything(""), touched("archive", 1000, 0, 0)]);
    let rows: i64 = platform.writer.query_one("select count(*) from tierkeep_outbox", &[]).await?.get(0);
    assert_eq!(rows, 2);
    Ok(())
}

#[tokio::test]
async fn outbox_that_is_emptied_by_hand_means_everything() -> Result<()> {
    let mut platform = with_events(3).await?;

    platform.writer.batch_execute("truncate tierkeep_outbox").await?;

    assert_eq!(platform.news().await?, [everything("")]);
    assert_eq!(platform.news().await?, []);
    Ok(())
}

#[tokio::test]
async fn position_of_another_feed_is_a_gap() -> Result<()> {
    let platform = with_events(1).await?;
    let db = platform.poller().await?;

    assert!(platform.feed.poll_postgres(&db, 1_000_000, 10).await?.gap);
    assert!(platform.feed.poll_postgres(&db, 0, 10).await?.gap, "0 is before the beginning");
    assert!(!platform.feed.poll_postgres(&db, 1, 10).await?.gap);
    Ok(())
}

#[tokio::test]
async fn what_nobody_settles_is_born_settled() -> Result<()> {
    let mut platform = Platform::watched().await?;
    platform.writer.batch_execute("update tierkeep_outbox set settled = true").await?;

    platform
        .noted("insert into learners values (1, ''); update learners set zone = 'UTC'; delete from learners")
        .await?;

    assert!(!platform.poll().await?.unsettled);
    platform.noted("insert into archive values (1, 1, 'epoch')").await?;
    assert!(platform.poll().await?.unsettled);
    Ok(())
}

/// Nobody polls or prunes; writers go on.
#[tokio::test]
async fn writers_keep_the_outbox_bounded_while_nobody_polls() -> Result<()> {
    let mut sizes = Vec::new();
    for most_bytes in [i64::MAX, 500_000] {
        let mut platform = Platform::watched().await?;
        platform.writer.execute("update tierkeep_feed set most_bytes = $1", &[&most_bytes]).await?;
        for _ in 0..40 {
            // each statement notes 400 keys
            let many =
                "insert into archive select i, i % 400, 'epoch' from generate_series(1, 800) as i; truncate archive";
            platform.writer.batch_execute(many).await?;
        }
        let rows: i64 = platform.writer.query_one("select count(*) from tierkeep_outbox", &[]).await?.get(0);
        sizes.push(rows);
        if most_bytes < i64::MAX {
            assert!(platform.news().await?.contains(&everything("")), "who comes back knows that something is missing");
        }
    }
    let [unbounded, bounded] = sizes[..] else { unreachable!("two rounds") };
    assert!(unbounded > 16_000, "the control: {unbounded}");
    // 2,500 rows at 200 bytes, and what comes until the next look
    assert!(bounded < 12_000, "{bounded}");
    Ok(())
}

#[tokio::test]
async fn rolled_back_bounding_takes_nothing_away() -> Result<()> {
    let mut platform = with_events(400).await?;
    platform.writer.execute("update tierkeep_feed set most_bytes = 1", &[]).await?;

    platform.writer.batch_execute("begin; select tierkeep_bound_outbox(); rollback").await?;
    assert_eq!(platform.news().await?.len(), 400);
    platform.writer.batch_execute("select tierkeep_bound_outbox()").await?;

    assert_eq!(platform.news().await?, [everything("")]);
    let rows: i64 = platform.writer.query_one("select count(*) from tierkeep_outbox", &[]).await?.get(0);
    assert_eq!(rows, 1);
    Ok(())
}

/// What a poll costs must not depend on when the outbox was last analyzed.
#[tokio::test]
async fn poll_does_not_read_the_whole_outbox_because_it_was_analyzed_while_most_of_it_waited() -> Result<()> {
    let mut platform = Platform::watched().await?;
    platform
        .writer
        .batch_execute(
            "begin; set local tierkeep.origin = 'import';
             insert into archive select i, i, 'epoch' from generate_series(1, 9000) as i; commit;
             analyze tierkeep_outbox",
        )
        .await?;
    while platform.poll().await?.more {
        platform.news().await?;
    }
    platform.writer.batch_execute("update tierkeep_outbox set settled = true").await?;

    let read = include_str!("../../src/feed/sql/postgres/read.sql");
    platform.writer.batch_execute(&format!("prepare read as {read}")).await?;
    let polled = plan(&platform, "explain execute read (1, 10000, '{archive}', '{}', '{}')").await?;
    let naive = plan(&platform, "explain select exists (select from tierkeep_outbox where position is null)").await?;

    assert!(!polled.contains("Seq Scan on tierkeep_outbox"), "{polled}");
    assert!(naive.contains("Seq Scan on tierkeep_outbox"), "the statistics mislead nobody: {naive}");
    Ok(())
}

async fn plan(platform: &Platform, explain: &str) -> Result<String> {
    let rows = platform.writer.query(explain, &[]).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?.join("\n"))
}
