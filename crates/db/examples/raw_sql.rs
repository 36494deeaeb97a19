//! SQL of one's own with named parameters, lists, and a guard against writing.
//!
//! `cargo run -p tierkeep-db --example raw_sql [postgres://…]`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

#[path = "shared/databases.rs"]
mod databases;

use anyhow::Result;
use tierkeep_db::Database;
use tierkeep_db::raw::{Params, Raw};

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
    databases::run(db, &["create table tierkeep_example (id bigint not null primary key, tag text)"]).await?;
    let shown = show(db).await;
    databases::run(db, &["drop table tierkeep_example"]).await?;
    shown
}

async fn show(db: &Database) -> Result<()> {
    let dialect = db.dialect();
    let params = Params::named([("first", 1_i64), ("second", 2)]).with("tag", "it's :tag; drop table x");
    let insert = "insert into tierkeep_example values (:first, :tag), (:second, ':tag') returning id";
    let written = Raw::new(dialect, insert, params)?.write(db).await?;
    assert_eq!(written.touched, 2);

    let params = Params::none().list("ids", 1..50_000_i64);
    let rows =
        Raw::new(dialect, "select tag from tierkeep_example where id in (:ids) order by id", params)?.read(db).await?;
    assert_eq!(rows[0].get::<String>("tag")?, "it's :tag; drop table x");

    let delete = Raw::new(dialect, "delete from tierkeep_example", Params::none())?;
    println!("{dialect:?}: reading cannot write: {:?}", delete.read(db).await.expect_err("it is refused"));
    for (sql, params) in [
        ("select :missing", Params::none()),
        ("select 1", Params::named([("unused", 1_i64)])),
        ("select 1; drop table tierkeep_example", Params::none()),
    ] {
        println!("{dialect:?}: {}", Raw::new(dialect, sql, params).expect_err("it is refused"));
    }
    Ok(())
}
