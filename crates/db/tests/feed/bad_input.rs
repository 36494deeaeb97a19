//! What cannot be installed is refused with a reason, before anything was done.

use anyhow::Result;
use tierkeep_db::feed::{Feed, FeedError, FeedSource, WatchedRows};
use tierkeep_db::{Ident, SqlType};

use crate::fixture::{Platform, TABLES, everything, feed, sources, touched};

async fn refusal(tables: &str, feed: Feed, setting: &str) -> Result<String> {
    let platform = Platform::unwatched(&format!("{TABLES} {tables}"), feed).await?;
    let mut client = platform.db.client().await?;
    client.batch_execute(setting).await?;
    let tx = client.transaction().await?;
    let error = platform.feed.install_postgres(&tx).await.expect_err("an error");
    Ok(error.to_string())
}

fn watching(table: &str, key: &str, key_type: SqlType) -> Feed {
    let ident = |name: &str| name.parse::<Ident>().expect("a name");
    let rows = WatchedRows::Owned { id: ident("id"), key: ident(key), at: None, shadow: None };
    let source = FeedSource { name: "it", table: table.parse().expect("a name"), rows, settles: true };
    Feed::new(key_type, vec![source]).expect("a feed")
}

#[tokio::test]
async fn what_is_no_table_or_does_not_exist_is_refused() -> Result<()> {
    let view = "create view v as select * from archive;";
    let cases = [
        (watching("v", "learner", SqlType::Bigint), "v is a view, only tables can be watched"),
        (watching("nowhere", "learner", SqlType::Bigint), "the table nowhere does not exist"),
        (watching("no.where", "learner", SqlType::Bigint), "the table no.where does not exist"),
        (watching("archive", "user", SqlType::Bigint), "the table archive has no column user"),
        (
            watching("archive", "learner", SqlType::Uuid),
            "the column learner of archive is of type bigint, the feed's keys need uuid",
        ),
    ];
    for (feed, expected) in cases {
        assert_eq!(refusal(view, feed, "").await?, expected);
    }
    Ok(())
}

#[tokio::test]
async fn role_without_privilege_is_told_which() -> Result<()> {
    let role = "do $$ begin create role feed_guest; exception when duplicate_object then null; end $$;
        grant usage, create on schema public to feed_guest; grant all on all tables in schema public to feed_guest;";
    let expected = "the role lacks ownership on sessions: let its owner (postgres) install the feed";
    assert_eq!(refusal(role, feed(), "set role feed_guest").await?, expected);

    let owner = "do $$ begin create role feed_owner; exception when duplicate_object then null; end $$;
        revoke create on schema public from public; alter table archive owner to feed_owner;";
    let refused = refusal(owner, watching("archive", "learner", SqlType::Bigint), "set role feed_owner").await?;
    assert!(refused.starts_with("the role lacks CREATE on schema public"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn what_cannot_write_and_what_has_no_schema_is_refused() -> Result<()> {
    let read_only = refusal("", feed(), "set default_transaction_read_only = on").await?;
    assert_eq!(read_only, "the feed cannot be installed in a read-only transaction or on a replica: use the primary");
    let nowhere =
        refusal("", watching("public.archive", "learner", SqlType::Bigint), "set search_path = nowhere").await?;
    assert_eq!(nowhere, "no schema of the search path exists, so there is no place for the feed's tables");
    Ok(())
}

#[tokio::test]
async fn table_that_somebody_else_made_is_refused() -> Result<()> {
    let refused = refusal("create table tierkeep_outbox (id bigint, user_id bigint);", feed(), "").await?;

    assert!(
        refused.contains("tierkeep_outbox is not one of this feed: it has (id bigint, user_id bigint)"),
        "{refused}"
    );
    Ok(())
}

#[tokio::test]
async fn triggers_of_an_older_version_are_replaced() -> Result<()> {
    let mut platform = Platform::watched().await?;
    platform
        .writer
        .batch_execute(
            "create or replace function tierkeep_note_archive() returns trigger language plpgsql as 'begin return null; end';
            create table former (id int);
            create function tierkeep_note_former() returns trigger language plpgsql as 'begin return null; end';
            create trigger tierkeep_insert after insert on former
                for each statement execute function tierkeep_note_former();
            update tierkeep_feed set fingerprint = 'older'",
        )
        .await?;

    assert!(platform.install().await?.changed);

    assert!(platform.news().await?.contains(&everything("")));
    assert_eq!(platform.noted("insert into archive values (1, 1, 'epoch')").await?, [touched("archive", 1, 0, 0)]);
    let former: i64 = platform
        .writer
        .query_one("select count(*) from pg_proc where proname = 'tierkeep_note_former'", &[])
        .await?
        .get(0);
    assert_eq!(former, 0);
    Ok(())
}

#[test]
fn description_that_cannot_be_used_is_refused() {
    let refusal = |sources| match Feed::new(SqlType::Bigint, sources) {
        Err(error) => error.to_string(),
        Ok(_) => String::new(),
    };
    let with = |change: &dyn Fn(&mut FeedSource)| {
        let mut sources = sources();
        change(&mut sources[0]);
        refusal(sources)
    };

    assert!(matches!(Feed::new(SqlType::Boolean, sources()), Err(FeedError::KeyType { .. })));
    assert!(with(&|source| source.name = "It's").ends_with("accepted are names of 1 to 40 of a-z, 0-9 and _"));
    assert!(with(&|source| source.name = "archive").ends_with("another source has that name"));
    assert!(
        with(&|source| source.table = "archive".parse().expect("a name"))
            .ends_with("another source watches that table")
    );
    let odd = with(&|source| source.table = "a$tierkeep$".parse().expect("a name"));
    assert!(odd.ends_with("names with $tierkeep cannot be quoted in a function"));
}
