//! Learners with their newest sessions and the courses of these, by three statements however many there are.
//!
//! `cargo run -p tierkeep-db --example relations [postgres://…]`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

#[path = "shared/databases.rs"]
mod databases;

use anyhow::Result;
use tierkeep_db::bulk::Bulk;
use tierkeep_db::raw::{Params, Raw};
use tierkeep_db::relations::{Include, load_related};
use tierkeep_db::{Database, Ident, Queries, QueryCount, Relation, SortColumn, Value};

const CREATE: [&str; 4] = [
    "create table tierkeep_example_learners (id bigint not null primary key, name text)",
    "create table tierkeep_example_courses (id bigint not null primary key, title text)",
    "create table tierkeep_example_sessions (id bigint not null primary key, learner bigint, course bigint)",
    "create index tierkeep_example_owner on tierkeep_example_sessions (learner, id)",
];
const DROP: [&str; 3] = [
    "drop table tierkeep_example_sessions",
    "drop table tierkeep_example_courses",
    "drop table tierkeep_example_learners",
];

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
    databases::run(db, &CREATE).await?;
    let shown = show(db).await;
    databases::run(db, &DROP).await?;
    shown
}

async fn show(db: &Database) -> Result<()> {
    let columns = |names: &[&str]| names.iter().map(|name| Ident::new(name)).collect::<Result<Vec<_>, _>>();
    let fill = async |table: &str, names: &[&str], rows: Vec<Vec<Value>>| {
        Bulk::insert(table.parse()?, columns(names)?)?.run(db, rows).await?;
        anyhow::Ok(())
    };
    let named = |id: i64, name: &str| -> Vec<Value> { vec![id.into(), format!("{name} {id}").into()] };
    fill("tierkeep_example_learners", &["id", "name"], (0..100).map(|id| named(id, "learner")).collect()).await?;
    fill("tierkeep_example_courses", &["id", "title"], (0..7).map(|id| named(id, "course")).collect()).await?;
    // learner 99 has no session, and course 8 is not there
    let sessions = (0..990_i64).map(|id| vec![id.into(), (id % 99).into(), (id % 9).into()]).collect();
    fill("tierkeep_example_sessions", &["id", "learner", "course"], sessions).await?;

    let sessions = Relation::plain("tierkeep_example_sessions".parse()?, &columns(&["id", "learner", "course"])?);
    let courses = Relation::plain("tierkeep_example_courses".parse()?, &columns(&["id", "title"])?);
    let newest = Include::has_many("sessions", sessions, &[("id", "learner")], vec![SortColumn::descending("id")])?
        .limit(3)
        .nested(Include::belongs_to("course", courses, &[("course", "id")])?);

    let counted = QueryCount::new(db);
    let learners =
        Raw::new(db.dialect(), "select id, name from tierkeep_example_learners order by id", Params::none())?;
    let learners = load_related(&counted, counted.query(learners.statement()).await?, &[newest]).await?;
    counted.at_most(3)?;

    let first = learners[0].many("sessions")?;
    assert_eq!(first[0].row.get::<i64>("id")?, 891);
    let titles: Vec<Option<String>> = first
        .iter()
        .map(|session| Ok(session.one("course")?.map(|course| course.row.get("title")).transpose()?))
        .collect::<Result<_>>()?;
    assert!(learners[99].many("sessions")?.is_empty());
    println!("{:?}: {} learners by {} statements; {titles:?}", db.dialect(), learners.len(), counted.count());
    Ok(())
}
