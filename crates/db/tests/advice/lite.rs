//! Advice for SQLite, against the planner and the machine that has to run it.

use rusqlite::StatementStatus;
use tierkeep_db::advice::create::{CreateOptions, Created, create};
use tierkeep_db::advice::{Advice, AdviceOptions, Method, OmissionReason, RedundantReason, Workload, advise};
use tierkeep_db::{Database, Dialect, Error, SqliteDatabase};
use tierkeep_testkit::SqliteFile;

use crate::sqlite;

const SHOP: &str = "
    create table customers (id integer primary key, email text not null, city text not null, vip integer not null);
    with recursive i (i) as (select 1 union all select i + 1 from i where i < 10000)
    insert into customers select i, 'Name' || i || '@Example.org', 'city ' || i % 200, i % 100 = 0 from i;
    create table orders (id integer primary key, customer integer not null, state text not null, placed integer not null,
        total integer not null, note text not null, gone integer);
    with recursive i (i) as (select 1 union all select i + 1 from i where i < 30000)
    insert into orders select i, (i * 7919) % 10000 + 1, case when i % 50 = 0 then 'open' else 'done' end,
        i * 7867 % 30000, i % 977, 'note', case when i % 100 = 0 then i end from i;
    create table items (order_id integer not null, line integer not null, product integer not null,
        primary key (order_id, line)) without rowid;
    with recursive i (i) as (select 1 union all select i + 1 from i where i < 30000)
    insert into items select i / 3, i % 3, (i * 31) % 2000 from i;
    create view open_orders as select id, customer, placed from orders where state = 'open';";

/// Statements, each of which is a workload of its own.
const STATEMENTS: [&str; 10] = [
    "select * from orders where customer = 4711",
    "select * from orders where customer = 4711 order by placed desc limit 10",
    "select id, total from orders where state = 'open' and placed between 100 and 200",
    "select id from customers where lower(email) = 'name77@example.org'",
    "select id, placed from orders where gone is not null and placed > 29000",
    "select c.email, o.total from customers c join orders o on o.customer = c.id where c.city = 'city 17'",
    "select order_id, line from items where product = 77",
    "select max(placed) from orders where customer = 33",
    "select placed from open_orders where customer = 50",
    "select * from customers c where c.vip and exists (select 1 from orders o where o.customer = c.id and o.total = 5)",
];

async fn advice(db: &SqliteDatabase, statements: &[&str]) -> Advice {
    let mut workload = Workload::new(Dialect::Sqlite);
    statements.iter().for_each(|sql| workload.add(sql, 100.0, None));
    advise(&Database::Sqlite(db.clone()), &workload, &AdviceOptions::default()).await.unwrap()
}

/// Steps of SQLite's machine for a statement, and its plan.
async fn steps(db: &SqliteDatabase, sql: &'static str) -> (i32, String) {
    db.read(move |connection| {
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.raw_query();
        while rows.next()?.is_some() {}
        drop(rows);
        let steps = statement.get_status(StatementStatus::VmStep);
        let mut plan = connection.prepare(&["explain query plan ", sql].concat())?;
        let lines = plan.query_map([], |row| row.get::<_, String>(3))?.collect::<Result<Vec<_>, _>>()?;
        Ok::<_, Error>((steps, lines.join("\n")))
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_suggested_index_is_used_and_saves_steps() {
    for is_analysed in [false, true] {
        for sql in STATEMENTS {
            let file = SqliteFile::new().unwrap();
            let db = sqlite(&file, SHOP).await;
            if is_analysed {
                db.write(|tx| Ok::<_, Error>(tx.execute_batch("analyze")?)).await.unwrap();
            }
            let advice = advice(&db, &[sql]).await;
            assert_eq!(advice.method, Method::Clone);
            assert!(!advice.suggestions.is_empty(), "{sql}: nothing suggested\n{advice}");
            let (before, _) = steps(&db, sql).await;

            for suggestion in &advice.suggestions {
                let made = create(&Database::Sqlite(db.clone()), &suggestion.index, &CreateOptions::default()).await;
                assert!(matches!(made.unwrap(), Created::New { .. }));
            }
            if is_analysed {
                db.write(|tx| Ok::<_, Error>(tx.execute_batch("analyze")?)).await.unwrap();
            }

            let (after, plan) = steps(&db, sql).await;
            for suggestion in &advice.suggestions {
                assert!(plan.contains(suggestion.index.name().as_str()), "{sql}: not used\n{advice}\n{plan}");
            }
            assert!(after < before, "{sql}: {before} steps before, {after} after\n{advice}");
        }
    }
}

#[tokio::test]
async fn nothing_is_written_and_nothing_is_suggested_twice() {
    let file = SqliteFile::new().unwrap();
    let db = sqlite(&file, SHOP).await;
    let schema = async || {
        db.read(|connection| {
            let sql = "select group_concat(type || name || tbl_name || coalesce(sql, ''), ';') from sqlite_schema";
            Ok::<_, Error>(connection.query_row(sql, [], |row| row.get::<_, String>(0))?)
        })
        .await
        .unwrap()
    };
    let before = schema().await;

    let first = advice(&db, &STATEMENTS).await;

    assert_eq!(schema().await, before);
    assert!(first.suggestions.len() >= 4, "{first}");
    for suggestion in &first.suggestions {
        create(&Database::Sqlite(db.clone()), &suggestion.index, &CreateOptions::default()).await.unwrap();
    }
    let again = advice(&db, &STATEMENTS).await;
    let definitions: Vec<_> = first.suggestions.iter().map(|suggestion| &suggestion.index).collect();
    assert!(!again.suggestions.iter().any(|suggestion| definitions.contains(&&suggestion.index)), "{again}");
}

#[tokio::test]
async fn omissions_and_redundant_indexes_are_named() {
    let file = SqliteFile::new().unwrap();
    let db = sqlite(
        &file,
        "create table t (id integer primary key, a, b); create table tiny (a);
         with recursive i (i) as (select 1 union all select i + 1 from i where i < 3000) insert into t select i, i % 90, i from i;
         create index wide on t (a, b); create index narrow on t (a); create unique index only on t (b);
         create index part on t (b) where a > 5;",
    )
    .await;

    let advice =
        advice(&db, &["select * from tiny where a = 1", "select 1 from t where a = ?", "pragma user_version"]).await;

    assert!(
        advice.omissions.iter().any(|omission| matches!(omission.reason, OmissionReason::SmallTable { .. })),
        "{advice}"
    );
    assert!(advice.omissions.iter().any(|omission| omission.reason == OmissionReason::Utility), "{advice}");
    let redundant: Vec<(&str, &RedundantReason)> =
        advice.redundant.iter().map(|redundant| (redundant.index.as_str(), &redundant.reason)).collect();
    assert_eq!(redundant.len(), 1, "{advice}");
    assert_eq!(redundant[0].0, "narrow");
    assert_eq!(advice.redundant[0].statement, "drop index \"main\".\"narrow\"");
}
