//! What is said of real indexes.

use rusqlite::Connection;
use tierkeep_db::statistics::{
    Examined, IndexFinding, IndexReading, IndexRole, Shortcoming, indexes_postgres, indexes_sqlite, judge,
};

use crate::{as_nobody, postgres};

/// What is told, by the name of the index or the columns, in order.
fn told(reading: &IndexReading) -> Vec<String> {
    judge(reading)
        .iter()
        .map(|finding| match &finding.shortcoming {
            Shortcoming::Invalid { index } => format!("invalid {}", index.name()),
            Shortcoming::Duplicate { index, of } => format!("{} = {}", index.name(), of.name()),
            Shortcoming::Redundant { index, covered_by } => format!("{} < {}", index.name(), covered_by.name()),
            Shortcoming::Unused { index, .. } => format!("unused {}", index.name()),
            Shortcoming::Oversized { index, .. } => format!("oversized {}", index.name()),
            Shortcoming::ForeignKeyWithoutIndex { columns, .. } => format!("no index for {}", columns.join(", ")),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn indexes_that_serve_nobody_are_told_and_the_commands_work() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client
        .batch_execute(
            "create table parent (id int primary key);
             create table t (
                 id int primary key, parent_id int references parent, second_parent int references parent,
                 name text, email text unique
             );
             insert into t (id, name) select n, n::text from generate_series(1, 2000) as n;
             create index name_again on t (name); create index name_first on t (name);
             create index name_and_email on t (name, email) include (parent_id);
             create index by_parent on t (parent_id); create index by_parent_again on t (parent_id);
             create index \"Odd lower\" on t (lower(name));
             create index part_of_names on t (name) where id > 10;
             create index pattern on t (name text_pattern_ops);
             analyze t",
        )
        .await
        .unwrap();

    let reading = indexes_postgres(&client).await.unwrap();

    assert_eq!(
        told(&reading),
        [
            "by_parent_again = by_parent",
            "name_again < name_and_email",
            "name_first < name_and_email",
            "unused Odd lower",
            "unused name_and_email",
            "unused part_of_names",
            "unused pattern",
            "no index for second_parent",
        ]
    );
    for IndexFinding { command, .. } in judge(&reading) {
        client.batch_execute(&command).await.unwrap_or_else(|error| panic!("{command}: {error}"));
    }
    // What was named is gone, and what holds something up is there.
    let left = indexes_postgres(&client).await.unwrap();
    assert!(told(&left).iter().all(|told| told.contains("second_parent")), "{:?}", told(&left));
    let names: Vec<&str> = left.indexes.iter().map(|index| index.name.name().as_str()).collect();
    assert_eq!(names, ["parent_pkey", "by_parent", "t_email_key", "t_pkey", "t_second_parent_idx"]);
}

#[tokio::test]
async fn index_that_was_scanned_is_not_unused() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client
        .batch_execute(
            "create table t (a int, b int); insert into t select n, n from generate_series(1, 5000) as n;
             create index scanned on t (a); create index idle on t (b); analyze t",
        )
        .await
        .unwrap();
    client.batch_execute("set enable_seqscan = off; select * from t where a = 7").await.unwrap();
    client.flush_statistics().await.unwrap();

    let reading = indexes_postgres(&client).await.unwrap();

    assert_eq!(told(&reading), ["unused idle"]);
    assert!(judge(&reading)[0].to_string().contains(" on this server"), "{}", judge(&reading)[0]);
}

#[tokio::test]
async fn what_a_failed_build_leaves_is_told_and_dropped() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client.batch_execute("create table t (a int); insert into t values (1), (1)").await.unwrap();
    client.batch_execute("create unique index concurrently broken on t (a)").await.unwrap_err();

    let reading = indexes_postgres(&client).await.unwrap();

    assert_eq!(told(&reading), ["invalid broken"]);
    client.batch_execute("delete from t").await.unwrap();
    client.batch_execute(&judge(&reading)[0].command).await.unwrap();
    assert!(indexes_postgres(&client).await.unwrap().indexes.iter().all(|index| index.is_valid));
}

#[tokio::test]
async fn index_full_of_holes_is_oversized_and_a_new_one_is_not() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client
        .batch_execute(
            "create table t (a bigint) with (autovacuum_enabled = off);
             insert into t select n from generate_series(1, 200000) as n;
             create index holes on t (a);
             delete from t where a % 10 > 0",
        )
        .await
        .unwrap();
    client.batch_execute("vacuum analyze t").await.unwrap();
    client.batch_execute("set enable_seqscan = off; select * from t where a = 10").await.unwrap();
    client.flush_statistics().await.unwrap();
    let reading = indexes_postgres(&client).await.unwrap();
    assert_eq!(told(&reading), ["oversized holes"]);

    client.batch_execute(&judge(&reading)[0].command).await.unwrap();
    // Until version 13 an index that was built anew begins to count anew.
    client.batch_execute("select * from t where a = 10").await.unwrap();
    client.flush_statistics().await.unwrap();

    let reading = indexes_postgres(&client).await.unwrap();
    assert_eq!(told(&reading), [] as [String; 0]);
    let index = &reading.indexes[0];
    let (size, expected) = (index.size.found().unwrap().0 as f64, index.expected_size.found().unwrap().0 as f64);
    assert!((0.8..1.3).contains(&(size / expected)), "{size} of {expected}");
}

#[tokio::test]
async fn roles_of_indexes_are_read() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client
        .batch_execute(
            "create table t (a int primary key, b int not null, c int, span int4range, exclude using gist (span with &&));
             create unique index named on t (b); alter table t replica identity using index named;
             create index sorted on t (c); cluster t using sorted;
             create table whole (a int) partition by range (a); create index on whole (a);
             create table part partition of whole for values from (0) to (10)",
        )
        .await
        .unwrap();

    let reading = indexes_postgres(&client).await.unwrap();

    let roles: Vec<(&str, &[IndexRole])> =
        reading.indexes.iter().map(|index| (index.name.name().as_str(), index.roles.as_slice())).collect();
    assert_eq!(
        roles,
        [
            ("part_a_idx", &[IndexRole::Partition][..]),
            ("named", &[IndexRole::Unique, IndexRole::ReplicaIdentity]),
            ("sorted", &[IndexRole::Clustered]),
            ("t_pkey", &[IndexRole::PrimaryKey, IndexRole::Unique]),
            ("t_span_excl", &[IndexRole::Exclusion]),
        ]
    );
    assert_eq!(told(&reading), [] as [String; 0]);
}

/// Up to version 13 the catalog says zero rows of it, as of a table that is empty.
#[tokio::test]
async fn rows_of_a_table_that_was_never_analysed_are_not_examined() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client
        .batch_execute(
            "create table parent (id int primary key);
             create table child (parent_id int references parent) with (autovacuum_enabled = off);
             create table void (parent_id int references parent); analyze void;
             insert into child select from generate_series(1, 20000)",
        )
        .await
        .unwrap();

    let reading = indexes_postgres(&client).await.unwrap();

    let [child, void] = reading.foreign_keys.as_slice() else { panic!("{reading:?}") };
    assert!(matches!(child.rows, Examined::NotExamined { .. }), "{child:?}");
    assert_eq!(void.rows.found().map(|rows| rows.0), Some(0), "the control: this one was looked at");
}

#[tokio::test]
async fn role_without_rights_sees_indexes_and_is_told_what_it_does_not_see() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client
        .batch_execute("create table t (a int); create index i on t (a); insert into t values (1); analyze t")
        .await
        .unwrap();
    let nobody = as_nobody(&database, "index_reader").await;

    let hidden = indexes_postgres(&nobody).await.unwrap();

    assert!(indexes_postgres(&client).await.unwrap().indexes[0].expected_size.found().is_some());
    assert!(matches!(&hidden.indexes[0].expected_size, Examined::NotExamined { why, .. } if why.contains("hidden")));
    assert_eq!(told(&hidden), ["unused i"]);
}

/// P-H1: the view as 16 has it.
#[tokio::test]
async fn time_of_the_last_scan_is_told_where_the_view_has_it() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client
        .batch_execute(
            "create table t (a int); create index i on t (a); create schema shadow;
             create view shadow.pg_stat_user_indexes as
             select indexrelid, idx_scan, now() - interval '1 day' as last_idx_scan from pg_stat_user_indexes",
        )
        .await
        .unwrap();
    let last = async || indexes_postgres(&client).await.unwrap().indexes[0].scans.found().unwrap().last;
    assert_eq!(last().await, None, "this server does not tell");

    client.batch_execute("set search_path = shadow, pg_catalog, public").await.unwrap();

    assert_eq!(last().await.map(|since| since.as_secs()), Some(86_400));
}

#[test]
fn indexes_of_sqlite_are_compared_and_foreign_keys_looked_after() {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch(
        "create table parent (a, b, primary key (a, b));
         create table t (
             id integer primary key, a, b, name text unique,
             foreign key (a, b) references parent, foreign key (id) references t
         );
         create index one on t (a, name); create index two on t (a, name); create index short on t (a);
         create index backwards on t (a desc); create index folded on t (a collate nocase);
         create index some on t (a) where b > 0; create index computed on t (a + 1)",
    )
    .unwrap();

    let reading = indexes_sqlite(&db).unwrap();

    assert_eq!(told(&reading), ["short < one", "two = one", "no index for a, b"], "the row number needs no index");
    assert_eq!(reading.window.to_string(), "not examined, SQLite does not count scans");
    for finding in judge(&reading) {
        db.execute_batch(&finding.command).unwrap();
    }
    assert_eq!(told(&indexes_sqlite(&db).unwrap()), [] as [String; 0]);
}
