//! What pages, many rows and relations cost, against the least that the same work can cost. Rounds alternate between the
//! two, and the ratio of each round is printed.
//!
//! `cargo bench -p tierkeep-db --bench toolkit`

#![expect(clippy::print_stdout, reason = "a measurement is printed")]

use std::time::Instant;

use anyhow::{Context, Result};
use tierkeep_db::bulk::{Bulk, Path};
use tierkeep_db::keyset::{CursorKey, Keyset, Start};
use tierkeep_db::offset::{Listing, PageNumber};
use tierkeep_db::relations::{Include, load_related};
use tierkeep_db::{
    Database, DatabaseUrl, Ident, PageSize, Pool, PoolConfig, Queries, QueryCount, Relation, Row, Selection,
    SortColumn, SqliteConfig, SqliteDatabase, Value,
};
use tierkeep_testkit::{PostgresServer, SqliteFile};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;

const ROUNDS: usize = 7;
const ROWS: i64 = 100_000;
const DEPTH: i64 = 1_000_000;
const PAGES: u32 = 300;
const PARENTS: i64 = 10_000;

fn idents(names: &[&str]) -> Result<Vec<Ident>> {
    Ok(names.iter().map(|name| Ident::new(name)).collect::<Result<_, _>>()?)
}

fn relation(table: &str, columns: &[&str]) -> Result<Relation> {
    Ok(Relation::plain(table.parse()?, &idents(columns)?))
}

/// The middle of the ratios of all rounds.
fn median(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

async fn run(db: &Database, sql: &str) -> Result<()> {
    match db {
        Database::Postgres(pool) => pool.get().await?.batch_execute(sql).await?,
        Database::Sqlite(db) => {
            let sql = sql.to_owned();
            db.write(move |tx| Ok::<_, tierkeep_db::Error>(tx.execute_batch(&sql)?)).await?;
        }
    }
    Ok(())
}

/// A bare `COPY` of typed rows, in a transaction.
async fn copy(pool: &Pool, rows: &[(i64, i64, String)]) -> Result<f64> {
    let mut connection = pool.get().await?;
    let begin = Instant::now();
    let tx = connection.transaction().await?;
    let sink = tx.copy_in("copy rows (id, learner, body) from stdin (format binary)").await?;
    let writer = BinaryCopyInWriter::new(sink, &[Type::INT8, Type::INT8, Type::TEXT]);
    let mut writer = std::pin::pin!(writer);
    for (id, learner, body) in rows {
        writer.as_mut().write(&[id, learner, body]).await?;
    }
    writer.finish().await?;
    tx.commit().await?;
    Ok(begin.elapsed().as_secs_f64())
}

async fn bulk(db: &Database) -> Result<()> {
    let Database::Postgres(pool) = db else { anyhow::bail!("COPY is of PostgreSQL") };
    run(db, "create table rows (id bigint not null primary key, learner bigint not null, body text)").await?;
    let typed: Vec<(i64, i64, String)> = (0..ROWS).map(|id| (id, id % 5000, format!("{id:0100}"))).collect();
    let dynamic = || -> Vec<Vec<Value>> {
        typed.iter().map(|(id, learner, body)| vec![(*id).into(), (*learner).into(), body.clone().into()]).collect()
    };
    let columns = idents(&["id", "learner", "body"])?;
    let insert = Bulk::insert("rows".parse()?, columns.clone())?;
    let upsert = Bulk::upsert("rows".parse()?, columns, idents(&["id"])?, idents(&["body"])?)?;
    let timed = async |bulk: &Bulk| -> Result<f64> {
        run(db, "truncate rows; checkpoint").await?;
        let rows = dynamic();
        let begin = Instant::now();
        bulk.run(db, rows).await?;
        Ok(begin.elapsed().as_secs_f64())
    };
    let (mut inserts, mut upserts, mut arrays) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        run(db, "truncate rows; checkpoint").await?;
        let bare = copy(pool, &typed).await?;
        let inserted = timed(&insert).await?;
        let upserted = timed(&upsert).await?;
        let by_arrays = timed(&insert.clone().path(Path::Arrays)).await?;
        println!(
            "bulk, round {round}: {ROWS} rows by bare copy {bare:.3} s, inserted {:.2}, upserted {:.2}, by arrays {:.2} of it",
            inserted / bare,
            upserted / bare,
            by_arrays / bare
        );
        inserts.push(inserted / bare);
        upserts.push(upserted / bare);
        arrays.push(by_arrays / bare);
    }
    let (inserts, upserts, arrays) = (median(inserts), median(upserts), median(arrays));
    println!("bulk: inserted {inserts:.2}, upserted {upserts:.2}, by arrays {arrays:.2} of a bare copy");
    Ok(())
}

async fn pages(db: &Database) -> Result<()> {
    run(db, "create table deep (id integer not null primary key, start bigint not null, few integer)").await?;
    let fill = match db {
        Database::Postgres(_) => "insert into deep select i, i / 3, i % 10 from generate_series(1, 1100000) as i",
        Database::Sqlite(_) => {
            "with recursive s (i) as (select 1 union all select i + 1 from s where i < 1100000)
             insert into deep select i, i / 3, i % 10 from s"
        }
    };
    run(db, fill).await?;
    run(db, "create index deep_start on deep (start, id); create index deep_mixed on deep (start, id desc)").await?;
    run(db, "analyze deep").await?;
    let rows = || Ok::<_, anyhow::Error>(Selection::of(relation("deep", &["few", "id", "start"])?));
    let size = PageSize::new(100)?;
    for (name, order) in [
        ("one direction", vec![SortColumn::ascending("start"), SortColumn::ascending("id")]),
        ("two directions", vec![SortColumn::ascending("start"), SortColumn::descending("id")]),
    ] {
        let key = CursorKey::new(b"a key of the measurement")?;
        let keyset = Keyset::checked(db, rows()?, order.clone(), key).await?;
        let leaf = PageSize::new(1000)?;
        let mut page = keyset.load(db, Start::First, leaf).await?;
        for _ in 1..DEPTH / i64::from(leaf.get()) {
            page = keyset.load(db, Start::At(page.next.as_deref().context("a next page")?), leaf).await?;
        }
        let deep = page.next.context("a next page")?;
        let timed = async |start: Start<'_>| -> Result<f64> {
            let begin = Instant::now();
            for _ in 0..PAGES {
                keyset.load(db, start, size).await?;
            }
            Ok(begin.elapsed().as_secs_f64() / f64::from(PAGES))
        };
        let mut ratios = Vec::new();
        for round in 0..=ROUNDS {
            let first = timed(Start::First).await?;
            let at_depth = timed(Start::At(&deep)).await?;
            // the first round warms up
            if round > 0 {
                ratios.push(at_depth / first);
            }
        }
        let first = timed(Start::First).await? * 1e6;
        let ratio = median(ratios);
        println!(
            "{:?}, {name}: a page of 100 at depth {DEPTH} takes {ratio:.2} of the first, {first:.0} µs",
            db.dialect()
        );
    }
    let listing = Listing::new(rows()?, vec![SortColumn::ascending("start"), SortColumn::ascending("id")])?;
    let begin = Instant::now();
    listing.load(db, PageNumber::new(DEPTH / 100 + 1)?, size).await?;
    println!("{:?}: by number the same page takes {:.0} µs", db.dialect(), begin.elapsed().as_secs_f64() * 1e6);
    Ok(())
}

async fn relations(db: &Database) -> Result<()> {
    run(db, "create table child (id integer not null primary key, parent bigint, course bigint)").await?;
    run(db, "create index child_parent on child (parent, id); create table tag (id integer not null primary key)")
        .await?;
    run(db, "create table held (parent bigint, tag bigint); create index held_parent on held (parent)").await?;
    let (columns, count) = (idents(&["id", "parent", "course"])?, PARENTS * 3);
    let children = (0..count).map(|id| vec![id.into(), (id % PARENTS).into(), (id % 100).into()]).collect();
    Bulk::insert("child".parse()?, columns)?.run(db, children).await?;
    let tags = (0..100_i64).map(|id| vec![id.into()]).collect();
    Bulk::insert("tag".parse()?, idents(&["id"])?)?.run(db, tags).await?;
    let held = (0..PARENTS).map(|id| vec![id.into(), (id % 100).into()]).collect();
    Bulk::insert("held".parse()?, idents(&["parent", "tag"])?)?.run(db, held).await?;
    run(db, "analyze").await?;
    let by_id = || vec![SortColumn::ascending("id")];
    let child = || relation("child", &["id", "parent", "course"]);
    let join = tierkeep_db::relations::JoinTable {
        table: "held".parse()?,
        parent: &[("id", "parent")],
        child: &[("tag", "id")],
    };
    let includes = [
        Include::has_many("children", child()?, &[("id", "parent")], by_id())?,
        Include::has_many("newest", child()?, &[("id", "parent")], vec![SortColumn::descending("id")])?.limit(1),
        Include::many_to_many("tags", relation("tag", &["id"])?, &join, by_id())?,
    ];
    let parents: Vec<Row> = (0..PARENTS).map(|id| Row::new(["id"], [Value::Integer(id)])).collect();
    for round in 1..=3 {
        let counted = QueryCount::new(db);
        let begin = Instant::now();
        let nodes = load_related(&counted, parents.clone(), &includes).await?;
        let together = begin.elapsed().as_secs_f64();
        let statements = counted.count();
        let begin = Instant::now();
        for parent in &parents[..1000] {
            load_related(db, vec![parent.clone()], &includes).await?;
        }
        let each = begin.elapsed().as_secs_f64() * 10.0;
        println!(
            "{:?}, round {round}: 3 relations of {} parents by {statements} statements in {together:.3} s; one by one {:.0} times that",
            Queries::dialect(db),
            nodes.len(),
            each / together
        );
    }
    Ok(())
}

async fn measure() -> Result<()> {
    let server = PostgresServer::shared().await?.database().await?;
    let postgres = Database::Postgres(Pool::new(&server.url().parse()?, PoolConfig::default())?);
    let file = SqliteFile::new()?;
    let DatabaseUrl::Sqlite(path) = file.url().parse()? else { anyhow::bail!("no file") };
    let sqlite = Database::Sqlite(SqliteDatabase::open(&path, SqliteConfig::default()).await?);
    bulk(&postgres).await?;
    for db in [&postgres, &sqlite] {
        pages(db).await?;
        relations(db).await?;
    }
    Ok(())
}

fn main() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(measure())
}
