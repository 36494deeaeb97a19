//! Columns whose schema changes: values may be others, and no trigger has told.

use anyhow::Result;
use tierkeep_db::feed::{Feed, FeedHealth};

use crate::fixture::{Platform, TABLES, everything, feed};

fn watching(columns: &[&str]) -> Feed {
    let names = columns.iter().map(|name| name.parse().expect("a plain name")).collect();
    feed().watching_columns(&[("sessions".parse().expect("a plain name"), names)])
}

#[tokio::test]
async fn a_column_that_is_rewritten_renamed_or_dropped_changes_everything() -> Result<()> {
    let mut platform = Platform::watching(TABLES, watching(&["body", "later"])).await?;
    for change in [
        "alter table sessions alter column body type text using body || '!'",
        "alter table sessions alter column body type varchar(80)",
        "alter table sessions rename column body to old_body",
        "alter table sessions rename column old_body to body",
        "alter table sessions drop column body",
        "alter table sessions add column later integer not null default 7",
    ] {
        assert_eq!(platform.noted(change).await?, [everything("")], "{change}");
        assert_eq!(platform.news().await?, [], "{change}: it is told once");
    }
    for change in ["alter table sessions add column other integer", "vacuum sessions", "analyze sessions"] {
        assert_eq!(platform.noted(change).await?, [], "{change}");
    }
    Ok(())
}

/// Negative control: a feed that watches no columns is told nothing.
#[tokio::test]
async fn without_watching_columns_a_rewritten_one_goes_unnoticed() -> Result<()> {
    let mut platform = Platform::watched().await?;

    assert_eq!(platform.noted("alter table sessions alter column body type text using body || '!'").await?, []);
    Ok(())
}

#[tokio::test]
async fn nodes_that_watch_other_columns_are_another_installation_and_do_not_disturb_the_first() -> Result<()> {
    let mut platform = Platform::watching(TABLES, watching(&["body"])).await?;
    let other = watching(&["start"]);

    for _ in 0..3 {
        let polled = other.poll_postgres(&platform.poller().await?, platform.after, 100).await?;
        assert!(matches!(polled.health, FeedHealth::Broken(why) if why[0].contains("another version")));
        assert_eq!(platform.news().await?, []);
        assert_eq!(platform.poll().await?.health, FeedHealth::Whole);
    }
    Ok(())
}
