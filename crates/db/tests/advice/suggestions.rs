//! Suggested indexes against the planner that has to use them.

use tierkeep_db::advice::{Advice, AdviceOptions, Method, Workload, advise};
use tierkeep_db::plan::{Options, explain};
use tierkeep_db::{Database, Dialect};
use tierkeep_testkit::{DatabaseClient, PostgresServer, TestDatabase};

use crate::pairs::{PAIRS, POSTGRES, Pair};
use crate::pool;

pub(crate) async fn filled(with_extension: bool) -> TestDatabase {
    let server = PostgresServer::shared().await.unwrap();
    let name = if with_extension { "pairs_hypopg" } else { "pairs" };
    let made = server.database_from(name, async |url| {
        let client = DatabaseClient::connect(&url).await?;
        // One at a time, since `vacuum` is no part of a transaction.
        for statement in POSTGRES.split(';') {
            client.batch_execute(statement).await?;
        }
        if with_extension {
            client.batch_execute("create extension hypopg").await?;
        }
        Ok(())
    });
    made.await.unwrap()
}

fn workload(pair: &Pair) -> Workload {
    let mut workload = Workload::new(Dialect::Postgres);
    for (sql, calls) in pair.statements {
        workload.add(sql, *calls, None);
    }
    workload
}

/// Pages that the statements of a pair look at, by their calls, and the indexes that they use.
async fn measured(db: &Database, pair: &Pair) -> (f64, Vec<String>) {
    let (mut pages, mut used) = (0.0, Vec::new());
    for (sql, calls) in pair.statements.iter().filter(|(sql, _)| sql.starts_with("select")) {
        let plan = explain(db, sql, &Options { analyze: true, ..Options::default() }).await.unwrap();
        let of = |name: &str| plan.root.number(name).unwrap_or(0.0);
        pages += calls * (of("Shared Hit Blocks") + of("Shared Read Blocks") + of("Temp Written Blocks"));
        used.extend(plan.nodes().iter().filter_map(|(_, node)| node.text("Index Name").map(str::to_owned)));
    }
    (pages, used)
}

/// Makes what was suggested and compares.
async fn prove(pair: &Pair, database: &TestDatabase, method: Method) -> Advice {
    let db = Database::Postgres(pool(database));
    let client = database.client().await.unwrap();
    let advice = advise(&db, &workload(pair), &AdviceOptions::default()).await.unwrap();
    assert_eq!(advice.method, method);
    assert!(!advice.suggestions.is_empty(), "{}: nothing suggested\n{advice}", pair.name);
    assert!(advice.omissions.is_empty(), "{}: {advice}", pair.name);
    let (before, _) = measured(&db, pair).await;

    for suggestion in &advice.suggestions {
        client.batch_execute(&suggestion.statement).await.unwrap();
    }
    client.batch_execute("analyze").await.unwrap();

    let (after, used) = measured(&db, pair).await;
    for suggestion in &advice.suggestions {
        let name = suggestion.index.name().to_string();
        assert!(used.contains(&name), "{}: {name} is not used\n{advice}\n{used:?}", pair.name);
        assert!(!suggestion.gains.is_empty());
    }
    assert!(after < before, "{}: {before} pages before, {after} after\n{advice}", pair.name);
    // What was suggested is there now: nothing is left to suggest.
    let again = advise(&db, &workload(pair), &AdviceOptions::default()).await.unwrap();
    assert!(again.suggestions.is_empty(), "{}: still suggested\n{again}", pair.name);
    advice
}

#[tokio::test(flavor = "multi_thread")]
async fn every_index_suggested_from_statistics_is_used_and_saves_pages() {
    for pair in &PAIRS {
        let database = filled(false).await;
        prove(pair, &database, Method::Statistics).await;
    }
}

/// Needs a server that has HypoPG.
mod hypothetical {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn every_suggested_index_is_used_and_saves_pages() {
        for pair in &PAIRS {
            let database = filled(true).await;
            let advice = prove(pair, &database, Method::Hypothetical).await;

            let first: Vec<&str> =
                advice.suggestions[0].index.keys.iter().map(|key| key.by.column().as_str()).collect();
            assert!(first.starts_with(pair.begins), "{}: {advice}", pair.name);
        }
    }
}
