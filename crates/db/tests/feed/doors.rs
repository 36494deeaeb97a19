//! Every way to write to a watched table on PostgreSQL.

use anyhow::Result;
use tierkeep_db::SqlType;
use tierkeep_db::feed::{Feed, FeedHealth, FeedSource, WatchedRows};

use crate::fixture::{Platform, everything, noted, touched};

/// Instants in the tests are seconds after 1970; spans are in microseconds.
const SECOND: i64 = 1_000_000;
/// Learners 1 to 3, and sessions 10 of learner 1, 20 and 21 of learner 2, at as many seconds as their ids say.
const ROWS: &str = "insert into learners values (1, 'Asia/Tokyo'), (2, null), (3, 'UTC');
    insert into sessions values (10, 1, to_timestamp(10), ''), (20, 2, to_timestamp(20), ''), (21, 2, to_timestamp(21), '')";

async fn with_rows() -> Result<Platform> {
    let mut platform = Platform::watched().await?;
    platform.noted(ROWS).await?;
    Ok(platform)
}

#[tokio::test]
async fn insert_names_each_key_with_the_span_of_its_rows() -> Result<()> {
    let mut platform = Platform::watched().await?;
    assert_eq!(platform.poll().await?.health, FeedHealth::Whole);

    let news = platform.noted(ROWS).await?;

    assert_eq!(
        news,
        [
            noted(1, Some("Asia/Tokyo")),
            noted(2, Some("")),
            noted(3, Some("UTC")),
            touched("sessions", 1, 10 * SECOND, 10 * SECOND),
            touched("sessions", 2, 20 * SECOND, 21 * SECOND),
        ]
    );
    assert_eq!(platform.noted("insert into sessions values (1, null, 'epoch')").await?, [], "a row of nobody");
    assert_eq!(platform.noted("insert into sessions select * from sessions where false").await?, [], "no row");
    Ok(())
}

#[tokio::test]
async fn update_names_keys_and_instants_of_before_and_after() -> Result<()> {
    let mut platform = with_rows().await?;

    let news = platform.noted("update sessions set learner = 3, start = to_timestamp(99) where id = 21").await?;

    assert_eq!(
        news,
        [touched("sessions", 2, 21 * SECOND, 21 * SECOND), touched("sessions", 3, 99 * SECOND, 99 * SECOND)]
    );
    let news = platform.noted("update sessions set start = to_timestamp(30) where id = 10").await?;
    assert_eq!(news, [touched("sessions", 1, 10 * SECOND, 30 * SECOND)]);
    assert_eq!(platform.noted("update sessions set start = null where id = 99").await?, []);
    Ok(())
}

#[tokio::test]
async fn upsert_and_merge_name_what_they_insert_and_what_they_update() -> Result<()> {
    let mut platform = with_rows().await?;

    let upsert = "insert into sessions values (10, 1, to_timestamp(1)), (30, 3, to_timestamp(3))
        on conflict (id) do update set start = excluded.start";
    let merge = "merge into sessions using (values (20, 99), (40, 40)) as new (id, at) on sessions.id = new.id
        when matched then update set start = to_timestamp(new.at)
        when not matched then insert values (new.id, 1, to_timestamp(new.at))";

    assert_eq!(
        platform.noted(upsert).await?,
        [touched("sessions", 1, SECOND, 10 * SECOND), touched("sessions", 3, 3 * SECOND, 3 * SECOND)]
    );
    // MERGE exists from PostgreSQL 15 on.
    let version: i32 =
        platform.writer.query_one("select current_setting('server_version_num')::int", &[]).await?.get(0);
    if version >= 150_000 {
        assert_eq!(
            platform.noted(merge).await?,
            [touched("sessions", 1, 40 * SECOND, 40 * SECOND), touched("sessions", 2, 20 * SECOND, 99 * SECOND)]
        );
    }
    Ok(())
}

#[tokio::test]
async fn copy_is_seen() -> Result<()> {
    let mut platform = with_rows().await?;

    let mut sink =
        Box::pin(platform.writer.copy_in::<_, bytes::Bytes>("copy sessions (id, learner, start) from stdin").await?);
    futures_util::SinkExt::send(&mut sink, bytes::Bytes::from_static(b"50\t1\t1970-01-01 00:00:05+00\n")).await?;
    assert_eq!(sink.as_mut().finish().await?, 1);

    assert_eq!(platform.news().await?, [touched("sessions", 1, 5 * SECOND, 5 * SECOND)]);
    Ok(())
}

#[tokio::test]
async fn delete_and_cascade_and_truncate_are_seen() -> Result<()> {
    let mut platform = with_rows().await?;

    assert_eq!(
        platform.noted("delete from sessions where id = 10").await?,
        [touched("sessions", 1, 10 * SECOND, 10 * SECOND)]
    );
    assert_eq!(
        platform.noted("delete from learners where id = 2").await?,
        [noted(2, None), touched("sessions", 2, 20 * SECOND, 21 * SECOND)]
    );
    assert_eq!(platform.noted("truncate learners cascade").await?, [everything("learners"), everything("sessions")]);
    Ok(())
}

#[tokio::test]
async fn what_is_rolled_back_is_not_noted() -> Result<()> {
    let mut platform = with_rows().await?;

    let news = platform
        .noted(
            "begin; delete from sessions; rollback;
            begin; savepoint s; delete from sessions; rollback to s;
            insert into sessions values (30, 3, to_timestamp(3)); commit",
        )
        .await?;

    assert_eq!(news, [touched("sessions", 3, 3 * SECOND, 3 * SECOND)]);
    Ok(())
}

#[tokio::test]
async fn keys_that_change_are_keys_that_went_and_came() -> Result<()> {
    let mut platform = with_rows().await?;

    assert_eq!(platform.noted("update learners set zone = 'UTC' where id in (1, 3)").await?, [noted(1, Some("UTC"))]);
    assert_eq!(platform.noted("update learners set zone = null where id = 1").await?, [noted(1, Some(""))]);
    assert_eq!(
        platform.noted("update learners set id = 4 where id = 3").await?,
        [noted(3, None), noted(4, Some("UTC"))]
    );
    Ok(())
}

#[tokio::test]
async fn statement_on_a_row_touches_the_row_that_it_shadows() -> Result<()> {
    let mut platform = with_rows().await?;
    platform.noted("insert into archive values (10, 3, to_timestamp(7)), (11, 2, to_timestamp(8))").await?;

    assert_eq!(
        platform.noted("delete from sessions where id = 10").await?,
        [touched("sessions", 1, 10 * SECOND, 10 * SECOND), touched("sessions", 3, 7 * SECOND, 7 * SECOND)]
    );
    assert_eq!(
        platform.noted("insert into sessions values (11, 2, to_timestamp(30))").await?,
        [touched("sessions", 2, 8 * SECOND, 30 * SECOND)]
    );
    // Many rows take another path through the function.
    let news = platform
        .noted(
            "insert into sessions select i, 1, to_timestamp(i) from generate_series(1000, 1999) as i;
            insert into archive select i, 2, to_timestamp(i) from generate_series(1000, 1001) as i;
            delete from sessions where id >= 1000",
        )
        .await?;
    assert_eq!(
        news,
        [
            touched("archive", 2, 1000 * SECOND, 1001 * SECOND),
            touched("sessions", 1, 1000 * SECOND, 1999 * SECOND),
            touched("sessions", 1, 1000 * SECOND, 1999 * SECOND),
            touched("sessions", 2, 1000 * SECOND, 1001 * SECOND),
        ]
    );
    Ok(())
}

#[tokio::test]
async fn over_500_keys_are_one_event_except_in_an_import() -> Result<()> {
    let mut platform = Platform::watched().await?;
    let insert = |count: i64| {
        format!(
            "truncate archive; insert into archive select i, i, to_timestamp(i) from generate_series(1, {count}) as i"
        )
    };

    assert_eq!(platform.noted(&insert(500)).await?.len(), 501);
    assert_eq!(
        platform.noted(&insert(501)).await?,
        [everything("archive"), ("archive".to_owned(), None, Some(SECOND), Some(501 * SECOND), None)]
    );
    platform.writer.batch_execute("set tierkeep.origin = 'import'").await?;
    assert_eq!(platform.noted(&insert(501)).await?.len(), 502);
    Ok(())
}

#[tokio::test]
async fn infinite_instants_are_the_ends_of_the_range() -> Result<()> {
    let mut platform = Platform::watched().await?;

    let news =
        platform.noted("insert into archive values (1, 1, 'infinity'), (2, 1, '-infinity'), (3, 2, 'epoch')").await?;

    assert_eq!(news, [touched("archive", 1, i64::MIN, i64::MAX), touched("archive", 2, 0, 0)]);
    Ok(())
}

#[tokio::test]
async fn session_that_switches_triggers_off_is_seen() -> Result<()> {
    let mut platform = Platform::watched().await?;

    let news =
        platform.noted("set session_replication_role = replica; insert into archive values (1, 1, 'epoch')").await?;

    assert_eq!(news, [touched("archive", 1, 0, 0)]);
    Ok(())
}

#[tokio::test]
async fn writer_without_rights_on_the_outbox_and_with_a_table_in_its_place_is_seen() -> Result<()> {
    let mut platform = Platform::watched().await?;

    let news = platform
        .noted(
            "create role feed_writer; grant insert on archive to feed_writer; set role feed_writer;
            create temporary table tierkeep_outbox (source text, settled boolean);
            insert into archive values (1, 1, 'epoch'); reset role; drop table pg_temp.tierkeep_outbox;
            revoke all on archive from feed_writer; drop role feed_writer",
        )
        .await?;

    assert_eq!(news, [touched("archive", 1, 0, 0)]);
    Ok(())
}

#[tokio::test]
async fn wall_times_are_utc_whatever_the_zone_of_the_writer() -> Result<()> {
    let source = FeedSource {
        name: "notes",
        table: "\"odd \"\"name\"\" {source}\"".parse()?,
        rows: WatchedRows::Owned { id: "id".parse()?, key: "who's".parse()?, at: Some("at".parse()?), shadow: None },
        settles: true,
    };
    let feed = Feed::new(SqlType::Text, vec![source])?;
    let tables = "create table \"odd \"\"name\"\" {source}\" (id int primary key, \"who's\" varchar(9), at timestamp)";
    let mut platform = Platform::watching(tables, feed).await?;

    platform
        .writer
        .batch_execute(
            "set timezone to 'Asia/Tokyo'; insert into \"odd \"\"name\"\" {source}\" values (1, 'me', '1970-01-01 00:00:01')",
        )
        .await?;

    let polled = platform.poll().await?;
    let event = &polled.events[0];
    assert_eq!((event.key.as_deref(), event.first, event.last), (Some("me"), Some(SECOND), Some(SECOND)));
    platform.after = polled.position;
    Ok(())
}
