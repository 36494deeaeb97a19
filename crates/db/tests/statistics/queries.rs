//! `pg_stat_statements`, present, absent, hidden, and in the shapes of its versions.

use std::fmt::Debug;

use tierkeep_db::statistics::{Completeness, Examined, QuerySnapshot, SlowQueries, SlowestBy, query_snapshot_postgres};
use tierkeep_testkit::{DatabaseClient, PostgresServer, TestDatabase};
use tokio::sync::OnceCell;

use crate::{as_nobody, postgres};

/// A server with the library preloaded, and a database with the extension.
async fn counting() -> (TestDatabase, DatabaseClient) {
    static SERVER: OnceCell<PostgresServer> = OnceCell::const_new();
    let launch = || PostgresServer::builder().setting("shared_preload_libraries", "pg_stat_statements").launch();
    let database = SERVER.get_or_try_init(launch).await.unwrap().database().await.unwrap();
    let client = database.client().await.unwrap();
    client.batch_execute("create extension pg_stat_statements").await.unwrap();
    (database, client)
}

fn found<T: Debug + Clone>(examined: &Examined<T>) -> T {
    examined.found().unwrap_or_else(|| panic!("{examined:?}")).clone()
}

async fn snapshot(client: &DatabaseClient) -> QuerySnapshot {
    found(&query_snapshot_postgres(client).await.unwrap())
}

/// The extension counts all databases of the server, whose other tests run beside this one.
fn of_table(snapshot: &QuerySnapshot, table: &str) -> QuerySnapshot {
    let queries = snapshot.queries.iter().filter(|query| query.text.contains(table)).cloned().collect();
    QuerySnapshot { queries, ..snapshot.clone() }
}

const EVERY: SlowQueries = SlowQueries { threshold_ms: 0.0, by: SlowestBy::Total, limit: 100 };

/// D2: the seed asked for columns that were renamed in version 13.
#[tokio::test]
async fn statements_are_counted_between_two_readings() {
    let (_database, client) = counting().await;
    client
        .batch_execute("create table periods (a int); insert into periods select generate_series(1, 100)")
        .await
        .unwrap();
    let run = async || {
        client.query("select a from periods where a > $1", &[&40]).await.unwrap();
    };
    run().await;
    let earlier = snapshot(&client).await;

    run().await;
    run().await;
    let later = snapshot(&client).await;

    let period = of_table(&later, "from periods").since(&of_table(&earlier, "from periods"));
    let slowest = period.slowest(EVERY);
    assert_eq!(slowest.len(), 1, "{slowest:?}");
    assert_eq!((slowest[0].calls, slowest[0].rows), (2, Some(120)));
    assert!(slowest[0].total_ms() > 0.0 && slowest[0].hit_ratio().is_some());
    assert!(period.from_us < Some(period.until_us));
    // What the extension of each version tells: 1.8 of PostgreSQL 13 no evictions, 1.11 of 17 since when it counts.
    let version = client.server_version().await.unwrap();
    let expected = if version >= 14 { Completeness::Complete } else { Completeness::Unknown };
    assert_eq!(period.completeness, expected);
    assert!(later.queries.iter().all(|query| query.since_us.is_some() == (version >= 17)), "{version}");
}

#[tokio::test]
async fn reading_resets_nothing() {
    let (_database, client) = counting().await;
    client.batch_execute("select 'kept'").await.unwrap();

    let first = snapshot(&client).await;
    let second = snapshot(&client).await;

    assert_eq!(first.reset_us, second.reset_us);
    assert!(second.queries.len() >= first.queries.len() || second.evictions > first.evictions);
}

/// Views as the extension's versions have them, made of the one that is there with [`names_of_all_versions`].
const SHAPES: [(&str, &str, &[&str]); 4] = [
    (
        "1.7",
        "total_exec_time as total_time, min_exec_time as min_time, max_exec_time as max_time, stddev_exec_time as stddev_time",
        &["select toplevel from pg_stat_statements", "select plans from pg_stat_statements"],
    ),
    (
        "1.8",
        "plans, total_exec_time, min_exec_time, max_exec_time, stddev_exec_time, total_plan_time, min_plan_time, max_plan_time, stddev_plan_time",
        &["select toplevel from pg_stat_statements"],
    ),
    (
        "1.10",
        "toplevel, plans, total_exec_time, min_exec_time, max_exec_time, stddev_exec_time, total_plan_time, min_plan_time, max_plan_time, stddev_plan_time, blk_read_time",
        &[],
    ),
    (
        "1.12",
        "toplevel, plans, total_exec_time, min_exec_time, max_exec_time, stddev_exec_time, total_plan_time, min_plan_time, max_plan_time, stddev_plan_time, blk_read_time as shared_blk_read_time, now() - interval '1 hour' as stats_since, 0::bigint as wal_buffers_full",
        &[],
    ),
];

/// The view of this server with the names that `SHAPES` picks from, whatever its version calls them.
async fn names_of_all_versions(client: &DatabaseClient) -> &'static str {
    match client.server_version().await.unwrap() {
        ..14 => "(select *, true as toplevel from public.pg_stat_statements) as counted",
        14..17 => "public.pg_stat_statements",
        17.. => "(select *, shared_blk_read_time as blk_read_time from public.pg_stat_statements) as counted",
    }
}

/// P-H1.
#[tokio::test]
async fn every_version_of_the_view_is_read_by_the_columns_that_it_has() {
    let (_database, client) = counting().await;
    client.batch_execute("create table shapes (a int); select count(*) from shapes").await.unwrap();
    client.batch_execute("create schema shadow; set search_path = shadow, public").await.unwrap();
    let counted = names_of_all_versions(&client).await;

    for (version, columns, missing) in SHAPES {
        let view = format!(
            "drop view if exists shadow.pg_stat_statements;
             create view shadow.pg_stat_statements as
             select userid, dbid, queryid, query, calls, rows, shared_blks_hit, shared_blks_read, temp_blks_read,
                 temp_blks_written, {columns}
             from {counted}"
        );
        client.batch_execute(&view).await.unwrap();

        let read = snapshot(&client).await;

        let whole = of_table(&read, "select count(*) from shapes").whole();
        assert_eq!(whole.queries.len(), 1, "{version}");
        let query = &whole.queries[0];
        assert_eq!((query.calls, query.rows), (1, Some(1)), "{version}");
        assert!(query.total_ms() > 0.0, "{version}");
        assert!(query.key.is_top_level, "{version}");
        assert_eq!(query.since_us.is_some(), version == "1.12");
        assert_eq!(
            whole.completeness,
            Completeness::Unknown,
            "{version}: the view of evictions is not beside this one"
        );
        // The control: a statement for another version fails here.
        for statement in missing {
            let error = client.query(*statement, &[]).await.unwrap_err();
            assert_eq!(error.code().unwrap().code(), "42703", "{version}: {statement}");
        }
    }
}

#[tokio::test]
async fn library_that_is_not_loaded_is_told_with_the_setting() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client.batch_execute("create extension pg_stat_statements").await.unwrap();
    let examined = query_snapshot_postgres(&client).await.unwrap();
    assert!(examined.reason().unwrap().contains("not in shared_preload_libraries"), "{examined:?}");

    // A role that is not shown the setting learns it from the view.
    let nobody = as_nobody(&database, "not_preloaded").await;
    let examined = query_snapshot_postgres(&nobody).await.unwrap();

    assert!(examined.reason().unwrap().contains("not in shared_preload_libraries"), "{examined:?}");
}

#[tokio::test]
async fn extension_that_was_not_created_is_told_with_its_command() {
    let (database, client) = counting().await;
    client.batch_execute("drop extension pg_stat_statements").await.unwrap();

    let examined = query_snapshot_postgres(&client).await.unwrap();

    let Examined::NotExamined { command: Some(command), .. } = examined else { panic!("{examined:?}") };
    client.batch_execute(&command).await.unwrap();
    assert!(query_snapshot_postgres(&client).await.unwrap().found().is_some());
    drop(database);
}

#[tokio::test]
async fn statements_that_are_hidden_are_not_permitted_and_the_command_helps() {
    let (database, client) = counting().await;
    client.batch_execute("create table secrets (a int); select * from secrets").await.unwrap();
    let nobody = as_nobody(&database, "\"Odd nobody\"").await;

    let examined = query_snapshot_postgres(&nobody).await.unwrap();

    let Examined::NotPermitted { needs, command } = examined else { panic!("{examined:?}") };
    assert!(needs.contains("pg_read_all_stats"));
    client.batch_execute(&command).await.unwrap();
    assert!(!snapshot(&nobody).await.queries.is_empty());
}

#[tokio::test]
async fn extension_in_a_schema_off_the_search_path_is_found() {
    let (_database, client) = counting().await;
    client
        .batch_execute(
            "create schema \"Elsewhere.\"; alter extension pg_stat_statements set schema \"Elsewhere.\"; select 'found'",
        )
        .await
        .unwrap();

    assert!(!snapshot(&client).await.queries.is_empty());
}
