//! Pages by key, both ways, and pages by number.
//!
//! `cargo run -p tierkeep-db --example pages [postgres://…]`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

#[path = "shared/databases.rs"]
mod databases;

use anyhow::Result;
use tierkeep_db::bulk::Bulk;
use tierkeep_db::keyset::{CursorKey, Keyset, Start};
use tierkeep_db::offset::{Count, Listing, PageNumber, Total};
use tierkeep_db::{Comparison, Database, Filter, FromRow, Ident, PageSize, Relation, Row, Selection};
use tierkeep_db::{SortColumn, Value, ValueError};

/// What the list shows of a session.
#[derive(Debug, PartialEq)]
struct Session {
    id: i64,
    score: Option<i64>,
}

impl FromRow for Session {
    fn from_row(row: &Row) -> Result<Self, ValueError> {
        Ok(Self { id: row.get("id")?, score: row.get("score")? })
    }
}

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
    let create =
        "create table tierkeep_example (id bigint not null primary key, learner bigint not null, score bigint)";
    databases::run(db, &[create]).await?;
    let shown = show(db).await;
    databases::run(db, &["drop table tierkeep_example"]).await?;
    shown
}

async fn show(db: &Database) -> Result<()> {
    let columns = ["id", "learner", "score"].map(Ident::new).into_iter().collect::<Result<Vec<_>, _>>()?;
    let insert = Bulk::insert("tierkeep_example".parse()?, columns.clone())?;
    // many sessions have the same score, and every tenth has none
    let score = |id: i64| if id % 10 == 0 { Value::Null } else { (id % 7).into() };
    insert.run(db, (1..=100).map(|id| vec![id.into(), (id % 2).into(), score(id)]).collect()).await?;

    // what a service would read from a query: a field that does not exist is an error with the nearest one that does
    let sessions = Relation::plain("tierkeep_example".parse()?, &columns);
    let unknown = Selection::of(sessions.clone()).filter(Filter::equal("lerner", 1_i64)).expect_err("it is refused");
    assert!(unknown.to_string().ends_with("did you mean `learner`?"));
    let of_learner = Selection::of(sessions).filter(Filter::compare("learner", Comparison::Equal, 1_i64))?;

    let order = vec![SortColumn::descending("score"), SortColumn::ascending("id")];
    let key = CursorKey::new(b"32 random bytes from the settings")?;
    let keyset = Keyset::checked(db, of_learner.clone(), order.clone(), key).await?;
    let size = PageSize::new(20)?;
    let first = keyset.load(db, Start::First, size).await?;
    let next = first.next.clone().expect("50 rows are three pages");
    let second = keyset.load(db, Start::At(&next), size).await?;
    let previous = second.previous.clone().expect("this is not the first page");
    assert_eq!(keyset.load(db, Start::At(&previous), size).await?.items, first.items);
    let sessions = second.read::<Session>()?;
    println!("{:?}: the second page begins with {:?}", db.dialect(), sessions.items[0]);
    let altered = next.replacen(|c: char| c.is_ascii_lowercase(), "A", 1);
    println!(
        "{:?}: an altered cursor: {}",
        db.dialect(),
        keyset.load(db, Start::At(&altered), size).await.expect_err("it is refused")
    );

    let listing = Listing::new(of_learner, order)?.count(Count::Exact).deepest(10_000);
    let third = listing.load(db, PageNumber::new(3)?, size).await?;
    assert_eq!((third.items.len(), third.total, third.pages), (10, Some(Total::Exact(50)), Some(3)));
    assert!(PageNumber::new(0).is_err());
    Ok(())
}
