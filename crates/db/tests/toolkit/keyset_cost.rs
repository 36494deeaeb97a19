//! A page costs the same wherever it is: pages of the database that are touched, and steps of SQLite's machine.

use rusqlite::StatementStatus;
use tierkeep_db::keyset::{Keyset, Start};
use tierkeep_db::offset::{Listing, PageNumber};
use tierkeep_db::{BoundSql, Database, Dialect, Error, Nulls, PageSize, Param, SortColumn};
use tierkeep_testkit::DatabaseClient;

use crate::fixture::{Bases, key, run, selection};

const ROWS: i64 = 60_000;

/// Orders and what of the key is equal in many rows: one row value, two directions, nulls.
fn orders() -> [(&'static str, Vec<SortColumn>); 3] {
    let never = |column: SortColumn| column.nulls(Nulls::Never);
    [
        ("one direction", vec![never(SortColumn::ascending("many")), never(SortColumn::ascending("id"))]),
        ("two directions", vec![never(SortColumn::ascending("many")), never(SortColumn::descending("id"))]),
        ("nulls", vec![SortColumn::ascending("few"), never(SortColumn::ascending("id"))]),
    ]
}

async fn bases() -> Bases {
    let bases = Bases::new().await;
    bases.run("create table t (id integer not null primary key, many integer not null, few integer)").await;
    let series = "from generate_series(1, 60000) as i";
    let fill = ["insert into t select i, i / 30000, nullif(i / 15000, 2) ", series].concat();
    run(bases.postgres(), &fill).await;
    let series =
        "from (with recursive s (i) as (select 1 union all select i + 1 from s where i < 60000) select i from s)";
    run(bases.sqlite(), &["insert into t select i, i / 30000, nullif(i / 15000, 2) ", series].concat()).await;
    run(bases.postgres(), "create index on t (few, id)").await;
    run(bases.sqlite(), "create index t_few on t (few, id)").await;
    bases.run("create index t_up on t (many, id); create index t_mixed on t (many, id desc)").await;
    bases.run("analyze").await;
    bases
}

/// Blocks that PostgreSQL touches for a statement.
async fn blocks(client: &DatabaseClient, statement: &BoundSql) -> u64 {
    let sql = ["explain (analyze, buffers, costs off, timing off) ", statement.sql()].concat();
    let params: Vec<_> = statement.params().iter().map(|param: &Param| param as _).collect();
    let plan = client.query(&sql, &params).await.unwrap();
    let lines: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    let buffers = lines.iter().find(|line| line.trim_start().starts_with("Buffers:")).expect("a line of buffers");
    let number = |name: &str| {
        let after = buffers.split_once(name).map_or("0", |(_, after)| after);
        after.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    number("hit=") + number("read=")
}

/// Steps of SQLite's machine for a statement.
async fn steps(db: &Database, statement: &BoundSql) -> i32 {
    let Database::Sqlite(db) = db else { panic!("no file") };
    let (sql, params) = (statement.sql().to_owned(), statement.params().to_vec());
    db.read(move |connection| {
        let mut prepared = connection.prepare(&sql)?;
        let values: Vec<i64> = params
            .iter()
            .map(|param| match param {
                Param::One(tierkeep_db::Value::Integer(number)) => *number,
                other => panic!("{other:?}"),
            })
            .collect();
        let mut rows = prepared.query(rusqlite::params_from_iter(values))?;
        while rows.next()?.is_some() {}
        drop(rows);
        Ok::<_, Error>(prepared.get_status(StatementStatus::VmStep))
    })
    .await
    .unwrap()
}

/// The cursor of the page in the middle of the rows, found without leafing there.
async fn cursor_at(db: &Database, order: &[SortColumn], rows: i64) -> String {
    let size = PageSize::new(1000).unwrap();
    let keyset = Keyset::assuming_unique(selection("t", &["id", "many", "few"]), order.to_vec(), key()).unwrap();
    let mut page = keyset.load(db, Start::First, size).await.unwrap();
    for _ in 1..rows / 1000 {
        page = keyset.load(db, Start::At(&page.next.unwrap()), size).await.unwrap();
    }
    page.next.unwrap()
}

#[tokio::test]
async fn a_deep_page_costs_what_an_early_one_does() {
    let bases = bases().await;
    let client = bases.server.client().await.unwrap();
    let size = PageSize::new(20).unwrap();

    for (name, order) in orders() {
        let keyset = Keyset::assuming_unique(selection("t", &["id", "many", "few"]), order.clone(), key()).unwrap();
        let first = keyset.statement(Dialect::Postgres, Start::First, size).unwrap();
        let at_first = blocks(&client, first.bound()).await;
        for depth in [1000, 25_000, 40_000, 58_000] {
            let cursor = cursor_at(bases.postgres(), &order, depth).await;
            let deep = keyset.statement(Dialect::Postgres, Start::At(&cursor), size).unwrap();
            let at_depth = blocks(&client, deep.bound()).await;
            // each range and the look at the other side descend an index of their own, three blocks and a few rows
            assert!(at_depth <= at_first + 40, "{name}: {at_depth} blocks at {depth}, {at_first} on the first page");

            let cursor = cursor_at(bases.sqlite(), &order, depth).await;
            let deep = keyset.statement(Dialect::Sqlite, Start::At(&cursor), size).unwrap();
            let at_depth = steps(bases.sqlite(), deep.bound()).await;
            // up to three ranges of 21 rows are read and sorted; the rows before the page would be 100,000 steps and more
            assert!(at_depth <= 5_000, "{name}: {at_depth} steps at {depth}");
        }
    }
}

#[tokio::test]
async fn the_same_measure_finds_pages_that_cost_what_lies_before_them() {
    let bases = bases().await;
    let client = bases.server.client().await.unwrap();
    let sql = "select id from t order by many, id limit 20 offset ";

    let near = client.query(&["explain (analyze, buffers, costs off) ", sql, "0"].concat(), &[]).await.unwrap();
    let textbook = "explain (analyze, buffers, costs off, timing off) select id from t
        where many > 1 or (many = 1 and id > 58000) order by many, id limit 20";
    let far = client.query(textbook, &[]).await.unwrap();
    let removed = far.iter().map(|row| row.get::<_, String>(0)).find(|line| line.contains("Rows Removed by Filter"));

    assert!(!near.is_empty());
    let removed = removed.expect("the textbook form is a filter");
    let removed: i64 = removed.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(removed > ROWS / 2, "{removed} rows read and thrown away");
    let listing = Listing::new(selection("t", &["id"]), vec![SortColumn::ascending("id")]).unwrap();
    let page =
        listing.load(bases.postgres(), PageNumber::new(2501).unwrap(), PageSize::new(20).unwrap()).await.unwrap();
    assert_eq!(page.depth, tierkeep_db::offset::Depth::Deep { skipped: 50_000 });
}
