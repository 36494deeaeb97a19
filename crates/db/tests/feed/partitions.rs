//! A statement fires the triggers of the table it names, which may be a partition.

use anyhow::Result;
use tierkeep_db::SqlType;
use tierkeep_db::feed::{Feed, FeedHealth, FeedSource, WatchedRows};

use crate::fixture::{Platform, everything, touched};

const TABLES: &str = "create table log (id bigint, learner bigint, start timestamptz) partition by range (id);
    create table log_1 partition of log for values from (0) to (100);
    create table log_2 partition of log for values from (100) to (200) partition by range (id);
    create table log_2a partition of log_2 for values from (100) to (150);";

fn feed() -> Feed {
    let ident = |name: &str| name.parse().expect("a name");
    let rows = WatchedRows::Owned { id: ident("id"), key: ident("learner"), at: Some(ident("start")), shadow: None };
    let source = FeedSource { name: "log", table: "log".parse().expect("a name"), rows, settles: true };
    Feed::new(SqlType::Bigint, vec![source]).expect("a feed")
}

#[tokio::test]
async fn write_to_parent_or_partition_is_noted_once() -> Result<()> {
    let mut platform = Platform::watching(TABLES, feed()).await?;

    let insert = "insert into log values (1, 1, 'epoch'); insert into log_1 values (2, 2, 'epoch');
        insert into log_2 values (100, 3, 'epoch'); insert into log_2a values (101, 4, 'epoch')";

    assert_eq!(platform.noted(insert).await?, [1, 2, 3, 4].map(|key| touched("log", key, 0, 0)));
    // A row that moves to another partition.
    assert_eq!(platform.noted("update log set id = 102 where id = 1").await?, [touched("log", 1, 0, 0)]);
    assert_eq!(platform.noted("truncate log_1").await?, [everything("log")]);
    Ok(())
}

#[tokio::test]
async fn triggers_on_the_parent_only_miss_writes_to_partitions() -> Result<()> {
    let mut platform = Platform::watching(TABLES, feed()).await?;

    let parent_only = "drop trigger tierkeep_insert on log_1; drop trigger tierkeep_update on log_1;
        drop trigger tierkeep_delete on log_1; drop trigger tierkeep_truncate on log_1";
    platform.writer.batch_execute(parent_only).await?;

    assert_eq!(platform.noted("insert into log_1 values (2, 2, 'epoch')").await?, [], "the negative control");
    assert_eq!(platform.poll().await?.health, FeedHealth::Broken(vec!["partition log_1 has no triggers".to_owned()]));
    Ok(())
}

#[tokio::test]
async fn partition_that_comes_is_named_and_one_that_goes_means_everything() -> Result<()> {
    let mut platform = Platform::watching(TABLES, feed()).await?;

    platform.writer.batch_execute("create table log_3 partition of log for values from (200) to (300)").await?;
    assert_eq!(platform.poll().await?.health, FeedHealth::Broken(vec!["partition log_3 has no triggers".to_owned()]));
    assert!(platform.install().await?.changed);
    assert!(platform.news().await?.contains(&everything("")));
    assert_eq!(platform.noted("insert into log_3 values (200, 2, 'epoch')").await?, [touched("log", 2, 0, 0)]);

    platform.writer.batch_execute("alter table log detach partition log_3").await?;
    assert_eq!(platform.news().await?, [everything("")]);
    assert_eq!(platform.poll().await?.health, FeedHealth::Whole);

    // Its triggers come back with it, but not what was written meanwhile.
    platform.writer.batch_execute("alter table log attach partition log_3 for values from (200) to (300)").await?;
    assert_eq!(platform.news().await?, [everything("")]);

    // Installing takes the triggers off a table that is not a partition any more.
    platform.writer.batch_execute("alter table log detach partition log_3").await?;
    assert!(platform.install().await?.changed);
    platform.news().await?;
    assert_eq!(platform.noted("insert into log_3 values (201, 2, 'epoch')").await?, []);
    Ok(())
}
