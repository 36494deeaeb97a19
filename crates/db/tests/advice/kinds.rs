//! Indexes that are no trees: ranges of blocks, and trigrams.

use tierkeep_db::advice::create::{CreateOptions, Created, create};
use tierkeep_db::advice::{Advice, AdviceOptions, OmissionReason, Workload, advise};
use tierkeep_db::{Database, Dialect, IndexMethod};

use crate::{pool, postgres};

/// Rows in the order of their time, which nothing else is in the order of.
const EVENTS: &str = "
    create table events (id int not null, at int not null, body text not null);
    insert into events select (i * 7919) % 200000, i, md5(i::text) || ' ' || md5((i + 1)::text) || repeat(' ', 40)
        from generate_series(1, 200000) as i;
    analyze events;";

async fn advice(db: &Database, statements: &[(&str, f64)]) -> Advice {
    let mut workload = Workload::new(Dialect::Postgres);
    for (sql, calls) in statements {
        workload.add(sql, *calls, None);
    }
    advise(db, &workload, &AdviceOptions::default()).await.unwrap()
}

#[tokio::test]
async fn a_written_table_in_the_order_of_its_ranges_gets_an_index_of_blocks() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client.batch_execute(EVENTS).await.unwrap();
    let db = Database::Postgres(pool(&database));
    let range = "select count(body) from events where at between 1000 and 3000";
    // each row that comes is an entry of a tree
    let statements = [(range, 10.0), ("insert into events values (1, 2, 'x')", 100_000.0)];

    let found = advice(&db, &statements).await;

    let [only] = found.suggestions.as_slice() else { panic!("{found}") };
    assert_eq!(only.statement.split_once(" on ").unwrap().1, r#""public"."events" using brin ("at")"#, "{found}");
    assert!(only.bytes < 1 << 20, "{found}");
    // the control: rows that lie anywhere are in every range of blocks
    let scattered = ("select count(body) from events where id between 1000 and 3000", 10.0);
    let other = advice(&db, &[scattered, statements[1]]).await;
    assert!(other.suggestions.iter().all(|one| one.index.method != IndexMethod::Blocks), "{other}");

    let made = create(&db, &only.index, &CreateOptions::default()).await.unwrap();
    assert!(matches!(made, Created::New { .. }), "{made:?}");
    let again = create(&db, &only.index, &CreateOptions::default()).await.unwrap();
    assert!(matches!(again, Created::Present { .. }), "{again:?}");
    client.batch_execute("analyze events").await.unwrap();
    let plan = client.simple_query(&["explain ", range].concat()).await.unwrap();
    assert!(format!("{plan:?}").contains(only.index.name().as_str()), "{plan:?}");
    assert!(advice(&db, &statements).await.suggestions.is_empty(), "what is there is not suggested");
}

#[tokio::test]
async fn texts_that_are_searched_get_an_index_of_trigrams_and_without_the_extension_the_reason() {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client.batch_execute(EVENTS).await.unwrap();
    let db = Database::Postgres(pool(&database));
    let search = "select id from events where body like '%3e7f1%'";
    let statements = [(search, 100.0), ("select id from events where body ilike $1", 100.0)];

    let without = advice(&db, &statements).await;
    let reasons: Vec<_> = without.omissions.iter().map(|omission| &omission.reason).collect();
    let [OmissionReason::NoTrigrams { column, command }] = reasons.as_slice() else { panic!("{without}") };
    assert_eq!((column.as_str(), *command), ("body", "create extension pg_trgm"));
    assert!(without.suggestions.is_empty(), "{without}");

    client.batch_execute("create extension pg_trgm").await.unwrap();
    let found = advice(&db, &statements).await;

    let [only] = found.suggestions.as_slice() else { panic!("{found}") };
    assert_eq!(only.index.method, IndexMethod::Trigrams);
    assert_eq!(only.gains.len(), 2, "{found}");
    create(&db, &only.index, &CreateOptions::default()).await.unwrap();
    client.batch_execute("analyze events").await.unwrap();
    let plan = client.simple_query(&["explain ", search].concat()).await.unwrap();
    assert!(format!("{plan:?}").contains(only.index.name().as_str()), "{plan:?}");
    let after = advice(&db, &statements).await;
    assert!(after.suggestions.is_empty() && after.redundant.is_empty(), "{after}");
    // two letters have no trigram that would find them
    assert!(advice(&db, &[("select id from events where body like '%3e%'", 100.0)]).await.omissions.is_empty());
}
