//! What the catalogs say about tables.

use rusqlite::Connection;
use tierkeep_db::{CatalogColumn, Error, TableName, columns_postgres, columns_sqlite};
use tierkeep_testkit::SqliteFile;

use crate::{postgres, sqlite};

fn column(name: &str, type_name: &str, nullable: bool) -> CatalogColumn {
    CatalogColumn { name: name.to_owned(), type_name: type_name.to_owned(), nullable }
}

fn table(name: &str) -> TableName {
    name.parse().unwrap()
}

#[tokio::test]
async fn columns_of_postgres_come_in_order_with_their_types() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client
        .batch_execute(
            "create table t (id uuid primary key, gone int, name varchar(80) not null, at timestamptz, marks numeric(5,2));
             alter table t drop column gone;
             create table empty ();",
        )
        .await
        .unwrap();

    let columns = columns_postgres(&client, &table("t")).await.unwrap();

    assert_eq!(
        columns,
        Some(vec![
            column("id", "uuid", false),
            column("name", "character varying(80)", false),
            column("at", "timestamp with time zone", true),
            column("marks", "numeric(5,2)", true),
        ])
    );
    assert_eq!(columns_postgres(&client, &table("empty")).await.unwrap(), Some(vec![]));
}

#[tokio::test]
async fn postgres_finds_relations_along_the_search_path_and_nothing_else() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client
        .batch_execute(
            "create schema platform; create table platform.t (a int); create index i on platform.t (a);
             create materialized view platform.m as select a from platform.t",
        )
        .await
        .unwrap();
    let is_there = async |name: &str| columns_postgres(&client, &table(name)).await.unwrap().is_some();

    assert!(is_there("platform.t").await);
    assert!(is_there("platform.m").await);
    assert!(!is_there("t").await);
    assert!(!is_there("platform.i").await, "an index is no relation to read from");
    assert!(!is_there("nowhere.t").await);
    client.batch_execute("set search_path to platform").await.unwrap();
    assert!(is_there("t").await);
}

#[test]
fn columns_of_sqlite_come_in_order_as_declared() {
    let connection = Connection::open_in_memory().unwrap();
    connection
        .execute_batch(
            "create table t (id integer primary key, name varchar(80) not null, anything, twice generated always as (id * 2));
             create table pair (a integer, b integer, primary key (a, b));
             attach ':memory:' as other; create table other.t (x text);",
        )
        .unwrap();

    assert_eq!(
        columns_sqlite(&connection, &table("t")).unwrap(),
        Some(vec![
            column("id", "INTEGER", false),
            column("name", "varchar(80)", false),
            column("anything", "", true),
            column("twice", "", true),
        ])
    );
    assert_eq!(
        columns_sqlite(&connection, &table("pair")).unwrap(),
        Some(vec![column("a", "INTEGER", true), column("b", "INTEGER", true)])
    );
    assert_eq!(columns_sqlite(&connection, &table("other.t")).unwrap(), Some(vec![column("x", "TEXT", true)]));
    assert_eq!(columns_sqlite(&connection, &table("nothing")).unwrap(), None);
}

#[tokio::test]
async fn every_reader_of_sqlite_sees_a_column_as_soon_as_it_is_committed() {
    let file = SqliteFile::new().unwrap();
    let db = sqlite(&file).await;
    let count = async || {
        db.read(|connection| columns_sqlite(connection, &table("t"))).await.unwrap().map_or(0, |columns| columns.len())
    };

    for (sql, expected) in [("create table t (a)", 1), ("alter table t add column b", 2), ("drop table t", 0)] {
        db.write(move |tx| Ok::<_, Error>(tx.execute_batch(sql)?)).await.unwrap();
        for _ in 0..20 {
            assert_eq!(count().await, expected, "{sql}");
        }
    }
}
