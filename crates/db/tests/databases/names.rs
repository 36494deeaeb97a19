//! Whatever an identifier is, both databases give it back as it was.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rusqlite::Connection;
use tierkeep_db::{ColumnExpr, Dialect, Ident, TableName, columns_postgres, columns_sqlite, projection, with_prefix};

use crate::postgres;

fn ident() -> impl Strategy<Value = Ident> {
    prop_oneof![
        "[^\0]{1,20}".prop_filter("fits", |name| name.len() <= 63).prop_map(|name| Ident::new(&name).unwrap()),
        prop::sample::select(vec![
            "\"", "\"\"", "a\"b", "select", "a.b", "a;--", "'", "%s", "\\", " ", "$1", "Ü", "\r\n"
        ])
        .prop_map(|name| Ident::new(name).unwrap()),
    ]
}

/// Without a file of past failures, which needs the macro.
fn runner(cases: u32) -> TestRunner {
    TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() })
}

/// Reads a column under its own name, through a common table expression of the table's name.
fn select(dialect: Dialect, table: &TableName, column: &Ident) -> String {
    let cte = projection(dialect, table.name(), table, &[(column.clone(), ColumnExpr::Column(column.clone()))]);
    with_prefix(&[cte], &["select * from ", &table.name().quoted()].concat()).unwrap()
}

#[test]
fn any_name_survives_quoting_on_sqlite() {
    let mut runner = runner(128);

    runner
        .run(&(ident(), ident()), |(table, column)| {
            // SQLite keeps this prefix for itself.
            prop_assume!(!table.as_str().to_ascii_lowercase().starts_with("sqlite_"));
            let connection = Connection::open_in_memory().unwrap();
            let name = TableName::new(None, table);
            let (t, c) = (name.quoted(), column.quoted());
            connection
                .execute_batch(&format!("create table {t} ({c} integer); insert into {t} ({c}) values (7)"))
                .unwrap();

            let sql = select(Dialect::Sqlite, &name, &column);
            let value: i64 = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
            let columns = columns_sqlite(&connection, &name).unwrap().unwrap();

            prop_assert_eq!(value, 7);
            prop_assert_eq!(&columns[0].name, column.as_str());
            Ok(())
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_name_survives_quoting_on_postgres() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    let handle = tokio::runtime::Handle::current();
    let mut runner = runner(64);

    let check = |(schema, table, column): (Ident, Ident, Ident)| {
        prop_assume!(!schema.as_str().starts_with("pg_"));
        handle.block_on(async {
            let name = TableName::new(Some(schema.clone()), table);
            let (s, t, c) = (schema.quoted(), name.quoted(), column.quoted());
            client
                .batch_execute(&format!(
                    "create schema if not exists {s}; create table {t} ({c} integer); insert into {t} ({c}) values (7)"
                ))
                .await
                .unwrap();

            let row = client.query_one(&select(Dialect::Postgres, &name, &column), &[]).await.unwrap();
            let columns = columns_postgres(&client, &name).await.unwrap().unwrap();
            client.batch_execute(&format!("drop table {t}")).await.unwrap();

            prop_assert_eq!(row.get::<_, i32>(0), 7);
            prop_assert_eq!(row.columns()[0].name(), column.as_str());
            prop_assert_eq!(&columns[0].name, column.as_str());
            Ok(())
        })
    };
    tokio::task::block_in_place(|| runner.run(&(ident(), ident(), ident()), check)).unwrap();
}
