//! Plans for values that are in the tables, beside the plan for all values.

use tierkeep_db::Database;
use tierkeep_db::advice::{SampledPlan, sampled_plans};
use tierkeep_db::plan::{Options, PlanError, explain};
use tierkeep_db::statistics::Examined;
use tierkeep_testkit::SqliteFile;

use crate::{pool, postgres, sqlite};

/// A state that most rows have, and others that few have.
const SETUP: &str = "
    create table jobs (id int primary key, state text not null, at int not null, note text not null);
    insert into jobs select i, case when i % 200 = 0 then 'state ''' || i % 7 else 'done' end, i, repeat('x', 80)
        from generate_series(1, 40000) as i;
    create index jobs_state on jobs (state);
    analyze jobs;";

async fn samples(db: &Database, sql: &str) -> Vec<SampledPlan> {
    let examined = sampled_plans(db, sql, &Options::default()).await.unwrap();
    examined.found().unwrap_or_else(|| panic!("{sql}: {examined:?}")).clone()
}

async fn reason(db: &Database, sql: &str) -> String {
    let examined = sampled_plans(db, sql, &Options::default()).await.unwrap();
    assert!(!matches!(examined, Examined::Found(_)), "{examined:?}");
    examined.reason().unwrap()
}

#[tokio::test]
async fn common_and_rare_values_have_the_plans_that_the_average_hides() {
    let database = postgres().await;
    database.client().await.unwrap().batch_execute(SETUP).await.unwrap();
    let db = Database::Postgres(pool(&database));
    let sql = "select note from jobs where state = $1";

    let generic = explain(&db, sql, &Options::default()).await.unwrap();
    let found = samples(&db, sql).await;

    assert_eq!(found[0].values[0].value, "done", "the most common value comes first");
    assert!(found[0].plan.root.kind.contains("Seq Scan"), "{}", found[0].plan);
    assert!(found.iter().any(|sample| !sample.plan.to_string().contains("Seq Scan")), "a rare value goes by the index");
    assert!(found.iter().any(|sample| !sample.plan.is_like(&generic)));
    assert_eq!(found, samples(&db, sql).await, "the same statistics give the same values");
}

#[tokio::test]
async fn ranges_lists_patterns_and_limits_have_values_and_what_has_none_is_told() {
    let database = postgres().await;
    database.client().await.unwrap().batch_execute(SETUP).await.unwrap();
    let db = Database::Postgres(pool(&database));

    let found = samples(
        &db,
        "select note from jobs where at between $1 and $2 and state = any($3) and note like $4 and id in ($5, $6)
         order by at limit $7 offset $8",
    )
    .await;

    assert_eq!(found.len(), 3, "{found:#?}");
    for sample in &found {
        let number = |at: usize| sample.values[at].value.parse::<i64>().unwrap();
        assert!(number(0) < number(1), "an empty range tells nothing: {:?}", sample.values);
        assert!(sample.values[2].value.starts_with("{\"") && sample.values[3].value.starts_with("%x"));
        assert_ne!(number(4), number(5));
        assert_eq!((sample.values[6].column.as_ref(), number(6), number(7)), (None, 20, 0));
    }
    assert!(samples(&db, "select note from jobs").await.is_empty());
    let told = reason(&db, "select $1::int + id from jobs where id = $2").await;
    assert!(told.contains("parameter 1 is compared with no column"), "{told}");
    database.client().await.unwrap().batch_execute("create table fresh (a int)").await.unwrap();
    let told = reason(&db, "select * from fresh where a = $1").await;
    assert!(told.contains("analyze"), "{told}");
    let refused = sampled_plans(&db, "delete from jobs where id = $1", &Options::default()).await;
    assert!(matches!(refused, Err(PlanError::NotASelect { .. })), "{refused:?}");
}

#[tokio::test]
async fn sqlite_plans_for_values_from_a_sample_of_the_rows() {
    let file = SqliteFile::new().unwrap();
    let setup = "create table jobs (id integer primary key, state text not null, at integer not null);
         with recursive i (i) as (select 1 union all select i + 1 from i where i < 5000)
         insert into jobs select i, case when i % 19 = 0 then 'open' else 'done' end, i from i;
         create index jobs_open on jobs (at) where state = 'open'; analyze;";
    let db = Database::Sqlite(sqlite(&file, setup).await);
    let sql = "select id from jobs where state = ? and at > ?";

    let generic = explain(&db, sql, &Options::default()).await.unwrap();
    let found = samples(&db, sql).await;
    let after = explain(&db, sql, &Options::default()).await.unwrap();

    assert!(!generic.to_string().contains("jobs_open"), "not for all values: {generic}");
    assert!(found.iter().any(|sample| sample.values[0].value == "done" && sample.plan.is_like(&generic)), "{found:#?}");
    let open = found.iter().find(|sample| sample.values[0].value == "open").unwrap_or_else(|| panic!("{found:#?}"));
    assert!(open.plan.to_string().contains("jobs_open"), "{}", open.plan);
    assert_eq!(generic, after, "the connection is as it was");
    assert_eq!(found, samples(&db, sql).await);
}
