//! A partition that becomes a child of another watched table.

use anyhow::Result;
use tierkeep_db::SqlType;
use tierkeep_db::feed::{Feed, FeedHealth, FeedSource, WatchedRows};

use crate::fixture::{Platform, everything, touched};

const TABLES: &str = "create table log (id bigint, learner bigint, start timestamptz) partition by range (id);
    create table log_1 partition of log for values from (0) to (100);
    create table log_2 partition of log for values from (100) to (200);
    create table kept (id bigint, learner bigint, start timestamptz);
    create table aside () inherits (kept);
    insert into log values (1, 1, 'epoch'), (100, 2, 'epoch')";
const PASS: &str = "alter table log detach partition log_1; alter table log_1 inherit kept";

fn feed() -> Feed {
    let ident = |name: &str| name.parse().expect("a name");
    let source = |name: &'static str| FeedSource {
        name,
        table: name.parse().expect("a name"),
        rows: WatchedRows::Owned { id: ident("id"), key: ident("learner"), at: Some(ident("start")), shadow: None },
        settles: true,
    };
    Feed::new(SqlType::Bigint, vec![source("log"), source("kept")]).expect("a feed")
}

/// Passes the partition on as retention does; `between` is what happens to other tables meanwhile.
async fn pass(platform: &mut Platform, between: &str) -> Result<()> {
    let other = platform.db.client().await?;
    let feed = feed();
    let tx = platform.writer.transaction().await?;
    let before = feed.begin_rehanging_postgres(&tx, "log_1").await?;
    tx.batch_execute(PASS).await?;
    other.batch_execute(between).await?;
    feed.end_rehanging_postgres(&tx, before, Some("kept")).await?;
    tx.commit().await?;
    Ok(())
}

#[tokio::test]
async fn partition_that_passes_on_is_no_news_and_its_writes_are() -> Result<()> {
    let mut platform = Platform::watching(TABLES, feed()).await?;
    platform.news().await?;

    pass(&mut platform, "").await?;

    assert_eq!(platform.news().await?, []);
    assert!(!platform.install().await?.changed, "all is as it would be installed");
    assert_eq!(platform.poll().await?.health, FeedHealth::Whole);
    assert_eq!(
        platform.noted("update kept set learner = 3 where id = 1").await?,
        [touched("kept", 1, 0, 0), touched("kept", 3, 0, 0)]
    );
    assert_eq!(platform.noted("delete from log_1").await?, [touched("kept", 3, 0, 0)]);
    Ok(())
}

#[tokio::test]
async fn partition_that_passes_on_unannounced_means_everything() -> Result<()> {
    let mut platform = Platform::watching(TABLES, feed()).await?;
    platform.news().await?;

    platform.writer.batch_execute(PASS).await?;

    // its triggers are those of the other table
    assert!(platform.install().await?.changed, "the negative control");
    assert!(platform.news().await?.contains(&everything("")));
    Ok(())
}

#[tokio::test]
async fn what_others_alter_meanwhile_still_means_everything() -> Result<()> {
    for between in [
        "alter function tierkeep_note_log() cost 7",
        "create or replace trigger tierkeep_delete after delete on aside
        referencing old table as before_rows for each statement execute function tierkeep_note_kept()",
    ] {
        let mut platform = Platform::watching(TABLES, feed()).await?;
        let between = match platform.writer.server_version().await? {
            ..14 => between.replace("create or replace", "drop trigger tierkeep_delete on aside; create"),
            14.. => between.to_owned(),
        };
        platform.news().await?;

        pass(&mut platform, &between).await?;

        platform.poll().await?;
        platform.install().await?;
        assert!(platform.news().await?.contains(&everything("")), "{between}");
    }
    Ok(())
}

#[tokio::test]
async fn what_was_altered_before_and_not_told_yet_still_means_everything() -> Result<()> {
    let mut platform = Platform::watching(TABLES, feed()).await?;
    platform.news().await?;
    platform.writer.batch_execute("alter function tierkeep_note_log() cost 7").await?;

    pass(&mut platform, "").await?;

    assert_eq!(platform.news().await?, [everything("")]);
    Ok(())
}

#[tokio::test]
async fn part_that_is_dropped_is_no_news() -> Result<()> {
    let mut platform = Platform::watching(TABLES, feed()).await?;
    pass(&mut platform, "").await?;
    platform.noted("delete from log_1").await?;
    let tx = platform.writer.transaction().await?;
    let before = feed().begin_rehanging_postgres(&tx, "log_1").await?;

    tx.batch_execute("drop table log_1").await?;
    feed().end_rehanging_postgres(&tx, before, None).await?;
    tx.commit().await?;

    assert_eq!(platform.news().await?, []);
    assert_eq!(platform.poll().await?.health, FeedHealth::Whole);
    Ok(())
}
