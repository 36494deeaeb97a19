//! Many rows at once: inserted, upserted, and the bad ones among them named.
//!
//! `cargo run -p tierkeep-db --example bulk [postgres://…]`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

#[path = "shared/databases.rs"]
mod databases;

use anyhow::Result;
use tierkeep_db::bulk::{Bulk, Duplicates, Failures};
use tierkeep_db::{Database, Ident, Value};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    for db in databases::databases(directory.path()).await? {
        run_on(&db).await?;
    }
    Ok(())
}

/// Makes the tables, shows what there is to show, and drops them.
pub(crate) async fn run_on(db: &Database) -> Result<()> {
    let create = "create table tierkeep_example (id bigint not null primary key, minutes bigint not null)";
    databases::run(db, &[create]).await?;
    let shown = show(db).await;
    databases::run(db, &["drop table tierkeep_example"]).await?;
    shown
}

async fn show(db: &Database) -> Result<()> {
    let (id, minutes) = (Ident::new("id")?, Ident::new("minutes")?);
    let columns = || vec![id.clone(), minutes.clone()];
    let rows = |ids: std::ops::Range<i64>, value: i64| ids.map(|id| vec![id.into(), value.into()]).collect::<Vec<_>>();

    let insert = Bulk::insert("tierkeep_example".parse()?, columns())?;
    let report = insert.run(db, rows(0..20_000, 30)).await?;
    assert_eq!(report.inserted, 20_000);

    // one bad row undoes all, unless bad rows are to be reported
    let mut half_bad = rows(20_000..20_010, 45);
    half_bad[4][1] = Value::Null;
    insert.run(db, half_bad.clone()).await.expect_err("it is refused");
    let report = insert.clone().failures(Failures::PerRow).run(db, half_bad).await?;
    assert_eq!((report.inserted, report.failures[0].index), (9, 4));
    let reason = std::error::Error::source(&report.failures[0].error).map(ToString::to_string);
    println!("{:?}: row {} failed: {}", db.dialect(), report.failures[0].index, reason.unwrap_or_default());

    let upsert = Bulk::upsert("tierkeep_example".parse()?, columns(), vec![id.clone()], vec![minutes.clone()])?;
    let twice = [rows(0..3, 30), rows(2..4, 60)].concat();
    upsert.run(db, twice.clone()).await.expect_err("it is refused");
    let report = upsert.duplicates(Duplicates::LastWins).run(db, twice).await?;
    assert_eq!((report.updated, report.unchanged, report.replaced), (2, 2, 1));

    let delete = Bulk::delete("tierkeep_example".parse()?, vec![id.clone()])?;
    let report = delete.run(db, (19_999..20_002).map(|id: i64| vec![id.into()]).collect()).await?;
    assert_eq!((report.deleted, report.missing), (3, 0));
    println!("{:?}: {report:?}", db.dialect());
    Ok(())
}
