//! Plans for values that are in the tables, beside the plan for all values.

use tierkeep_db::advice::{AdviceOptions, Method, SampledPlan, Workload, advise, sampled_plans};
use tierkeep_db::plan::{Options, PlanError, explain};
use tierkeep_db::statistics::Examined;
use tierkeep_db::{Database, Dialect, IndexMethod};
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

/// What the library asks of HypoPG, of which nothing comes: whatever it is told to make, the planner knows of none.
const STAND_IN: &str = "
    set allow_system_table_mods = on;
    insert into pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
        values (1, 'hypopg', 10, 2200, false, '1.4');
    create function hypopg_create_index(text) returns table (indexrelid oid, indexname text) language sql
        as $$ select 1::oid, 'hypothetical_' || md5($1) $$;
    create function hypopg_reset() returns void language sql as 'select';";

#[tokio::test]
async fn costs_of_hypothetical_indexes_are_those_for_all_values_and_for_sampled_ones() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client.batch_execute(&[SETUP, STAND_IN].concat()).await.unwrap();
    let db = Database::Postgres(pool(&database));
    let statements =
        ["select note from jobs where state = $1", "select note from jobs where at < $1", "select count(*) from jobs"];
    let mut expected = 0.0;
    for sql in statements {
        let mut plans = vec![explain(&db, sql, &Options::default()).await.unwrap()];
        plans.extend(samples(&db, sql).await.into_iter().map(|sample| sample.plan));
        let costs = plans.iter().map(|plan| plan.root.estimate.unwrap().total_cost);
        expected += 10.0 * costs.sum::<f64>() / plans.len() as f64;
    }
    let mut workload = Workload::new(Dialect::Postgres);
    statements.iter().for_each(|sql| workload.add(sql, 10.0, None));

    let advice = advise(&db, &workload, &AdviceOptions::default()).await.unwrap();

    assert_eq!((advice.method, advice.omissions.len()), (Method::Hypothetical, 0), "{advice}");
    assert!((advice.before - expected).abs() < 1e-6 * expected, "{} is not {expected}", advice.before);
    assert!(advice.suggestions.is_empty() && advice.candidates > 0, "nothing changes a plan: {advice}");

    // HypoPG knows no indexes of trigrams: what they would save is told by the model
    client.batch_execute("create extension pg_trgm; update jobs set note = md5(id::text); analyze jobs").await.unwrap();
    workload.add("select id from jobs where note ilike $1", 1000.0, None);
    // whose values are no numbers: planned for all values only
    workload.add("select id from jobs where state::varchar::int = $1", 1.0, None);
    let advice = advise(&db, &workload, &AdviceOptions::default()).await.unwrap();
    let kinds: Vec<IndexMethod> = advice.suggestions.iter().map(|one| one.index.method).collect();
    assert_eq!((kinds.as_slice(), advice.omissions.len()), (&[IndexMethod::Trigrams][..], 0), "{advice}");
}
