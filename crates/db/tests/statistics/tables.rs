//! What is said of tables, and of those that could not be looked at.

use rusqlite::Connection;
use tierkeep_db::TableName;
use tierkeep_db::statistics::{
    Bytes, Estimate, Examined, SAMPLES_POSTGRES, SAMPLES_SQLITE, TableSample, TableStatistics, growth,
    samples_postgres, samples_sqlite, store_samples_postgres, store_samples_sqlite, tables_postgres, tables_sqlite,
};
use tierkeep_testkit::DatabaseClient;

use crate::{as_nobody, postgres};

async fn read(client: &DatabaseClient, table: &str) -> TableStatistics {
    let tables = tables_postgres(client).await.unwrap();
    let table: TableName = table.parse().unwrap();
    tables.found().unwrap().iter().find(|found| found.table == table).unwrap().clone()
}

/// D1: the seed asked for a column `tablename`.
#[tokio::test]
async fn live_and_dead_rows_sizes_and_upkeep_are_told() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client
        .batch_execute(
            "create table t (id int primary key, body text) with (autovacuum_enabled = off);
             insert into t select n, repeat('x', 100) from generate_series(1, 10000) as n",
        )
        .await
        .unwrap();
    client.flush_statistics().await.unwrap();
    client.batch_execute("analyze t").await.unwrap();
    client.batch_execute("delete from t where id > 7500").await.unwrap();
    client.flush_statistics().await.unwrap();

    let table = read(&client, "public.t").await;

    assert_eq!(
        (table.live.clone(), table.dead.clone()),
        (Examined::Found(Estimate(7500)), Examined::Found(Estimate(2500)))
    );
    assert_eq!(table.dead_share(), Some(0.25));
    assert!(table.table_size.found().unwrap().0 >= 10_000 * 100);
    assert!(table.index_size.found().unwrap().0 > 0);
    assert!(table.upkeep.analysed.is_some() && table.upkeep.vacuumed.is_none());
    assert_eq!(table.upkeep.changed_since, Examined::Found(Estimate(2500)));
    let tells_times = client.server_version().await.unwrap() >= 18;
    assert_eq!(table.upkeep.vacuum_ms, tells_times.then_some(0.0), "from 18 on the server adds up times of vacuums");
    let shown = table.to_string();
    assert!(shown.starts_with("public.t: ~7500 rows, ") && shown.contains(", 25 % dead"), "{shown}");
}

#[tokio::test]
async fn bloat_is_near_the_part_that_was_deleted_and_none_where_nothing_was() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    for (table, rest) in [("whole", "true"), ("holes", "id % 5 = 0")] {
        let sql = format!(
            "create table {table} (id int, body text) with (autovacuum_enabled = off);
             insert into {table} select n, md5(n::text) from generate_series(1, 50000) as n;
             delete from {table} where not ({rest})"
        );
        client.batch_execute(&sql).await.unwrap();
        client.batch_execute(&format!("vacuum analyze {table}")).await.unwrap();
    }

    let whole = read(&client, "public.whole").await;
    let holes = read(&client, "public.holes").await;

    let share = |table: &TableStatistics| table.bloat.found().unwrap_or_else(|| panic!("{:?}", table.bloat)).share;
    assert!(share(&whole) < 0.1, "{}", whole.bloat);
    assert!((0.7..0.9).contains(&share(&holes)), "{}", holes.bloat);
    assert!(holes.to_string().contains("bloat ~"));
}

#[tokio::test]
async fn table_that_was_not_examined_says_why() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client
        .batch_execute(
            "create table small (a int);
             create table untended (a int, body text) with (autovacuum_enabled = off);
             insert into untended select n, repeat('x', 100) from generate_series(1, 20000) as n",
        )
        .await
        .unwrap();

    let small = read(&client, "public.small").await;
    let untended = read(&client, "public.untended").await;

    assert_eq!(small.bloat.to_string(), "not examined, smaller than 1.0 MiB");
    let Examined::NotExamined { command: Some(command), .. } = &untended.bloat else { panic!("{:?}", untended.bloat) };
    assert!(untended.upkeep.is_never_analysed && untended.to_string().ends_with("never analysed"), "{untended}");
    client.batch_execute(command).await.unwrap();
    let tended = read(&client, "public.untended").await;
    assert!(tended.bloat.found().is_some() && !tended.upkeep.is_never_analysed, "{tended:?}");
}

#[tokio::test]
async fn table_that_may_not_be_read_is_told_as_such_and_the_command_helps() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client
        .batch_execute(
            "create table secret (a int, body text);
             insert into secret select n, repeat('x', 100) from generate_series(1, 20000) as n;
             analyze secret",
        )
        .await
        .unwrap();
    let nobody = as_nobody(&database, "bloat_reader").await;

    let hidden = read(&nobody, "public.secret").await;

    let Examined::NotPermitted { needs, command } = &hidden.bloat else { panic!("{:?}", hidden.bloat) };
    assert_eq!(needs, "the right SELECT on public.secret");
    assert!(hidden.table_size.found().is_some(), "sizes are no secret");
    client.batch_execute(command).await.unwrap();
    assert!(read(&nobody, "public.secret").await.bloat.found().is_some());
}

/// P-H1: the view as 13 has it, and as 18 has it.
#[tokio::test]
async fn every_version_of_the_view_is_read_by_the_columns_that_it_has() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client.batch_execute("create table t (a int); create schema shadow").await.unwrap();
    client.batch_execute("set search_path = shadow, pg_catalog, public").await.unwrap();
    let of_18 = ", 2.5::float8 as total_vacuum_time, 4::float8 as total_autovacuum_time, now() as last_seq_scan";

    for (columns, vacuum_ms) in [("", None), (of_18, Some(6.5))] {
        let view = format!(
            "drop view if exists shadow.pg_stat_user_tables;
             create view shadow.pg_stat_user_tables as
             select relid, schemaname, relname, seq_scan, idx_scan, n_live_tup, n_dead_tup, n_mod_since_analyze,
                 last_vacuum, last_autovacuum, last_analyze, last_autoanalyze{columns}
             from pg_catalog.pg_stat_user_tables"
        );
        client.batch_execute(&view).await.unwrap();

        assert_eq!(read(&client, "public.t").await.upkeep.vacuum_ms, vacuum_ms);
    }
}

#[test]
fn sqlite_tells_rows_and_sizes_before_anybody_analysed() {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch(
        "create table t (a integer primary key, b text); create index i on t (b); create table bare (a);
         create table keyed (k text primary key, v blob) without rowid;
         with recursive n (n) as (values (1) union all select n + 1 from n where n < 1000)
         insert into t select n, hex(randomblob(50)) from n;
         insert into keyed select b, randomblob(case a when 7 then 50000 else 10 end) from t;
         delete from t where a > 990",
    )
    .unwrap();
    let read = |name: &str| tables_sqlite(&db).unwrap().into_iter().find(|t| t.table.name().as_str() == name).unwrap();
    let before = read("t");
    assert!(before.upkeep.is_never_analysed);
    assert_eq!(before.live, Examined::Found(Estimate(990)));
    assert_eq!(before.sample(0).unwrap().rows, 990, "it can grow before anybody analysed it");
    assert_eq!(read("keyed").live, Examined::Found(Estimate(1000)));
    assert_eq!(read("bare").live, Examined::Found(Estimate(0)));

    db.execute_batch("analyze").unwrap();
    let after = read("t");

    assert!(!after.upkeep.is_never_analysed && read("bare").upkeep.is_never_analysed);
    assert_eq!(after.live, Examined::Found(Estimate(990)));
    assert!(after.table_size.found().unwrap().0 >= 100_000, "{after:?}");
    assert!(after.index_size.found().unwrap().0 >= 100_000, "{after:?}");
    assert!(after.dead.found().is_none() && after.dead_share().is_none());
    assert_eq!(tables_sqlite(&db).unwrap().len(), 3, "SQLite's own tables are left out");
}

fn sample(at_us: i64, rows: u64) -> TableSample {
    TableSample { table: "public.\"odd.name\"".parse().unwrap(), at_us, rows, size: Bytes(rows * 100) }
}

#[tokio::test]
async fn samples_are_stored_once_per_moment_and_read_in_order_on_both_databases() {
    let day = 86_400_000_000;
    let samples = [sample(2 * day, 30), sample(0, 10), sample(day, 20), sample(day, 21)];
    let table = &samples[0].table;
    let wanted = [sample(0, 10), sample(day, 21), sample(2 * day, 30)];
    let database = postgres().await;
    let client = database.client().await.unwrap();
    let file = Connection::open_in_memory().unwrap();
    for _ in 0..2 {
        client.batch_execute(SAMPLES_POSTGRES).await.unwrap();
        file.execute_batch(SAMPLES_SQLITE).unwrap();
        store_samples_postgres(&client, &samples).await.unwrap();
        store_samples_sqlite(&file, &samples).unwrap();
    }

    assert_eq!(samples_postgres(&client, table, 0).await.unwrap(), wanted);
    assert_eq!(samples_sqlite(&file, table, 0).unwrap(), wanted);
    assert_eq!(samples_postgres(&client, table, 1).await.unwrap(), wanted[1..]);
    assert_eq!(samples_sqlite(&file, &"t".parse().unwrap(), 0).unwrap(), []);
    assert!((growth(&wanted).unwrap().rows_per_day - 10.0).abs() < 0.5);
}

#[tokio::test]
async fn growth_is_found_from_readings_of_a_real_table() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client.batch_execute(SAMPLES_POSTGRES).await.unwrap();
    client.batch_execute("create table t (body text) with (autovacuum_enabled = off)").await.unwrap();
    let hour = 3_600_000_000;

    for n in 0..3 {
        client.batch_execute("insert into t select repeat('x', 500) from generate_series(1, 1000)").await.unwrap();
        client.flush_statistics().await.unwrap();
        let moment = read(&client, "public.t").await.sample(n * hour).unwrap();
        store_samples_postgres(&client, &[moment]).await.unwrap();
    }

    let growth = growth(&samples_postgres(&client, &"public.t".parse().unwrap(), 0).await.unwrap()).unwrap();
    assert!((growth.rows_per_day - 24_000.0).abs() < 1.0, "{growth:?}");
    assert!(growth.bytes_per_day > 24_000.0 * 500.0, "{growth:?}");
}
