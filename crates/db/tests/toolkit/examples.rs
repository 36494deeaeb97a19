//! The examples hold what they assert on both databases.

#[expect(dead_code, reason = "its main runs on addresses that are given")]
#[path = "../../examples/bulk.rs"]
mod bulk;
#[expect(dead_code, reason = "its main runs on addresses that are given")]
#[path = "../../examples/pages.rs"]
mod pages;
#[expect(dead_code, reason = "its main runs on an address that is given, or on a server of its own")]
#[path = "../../examples/pool.rs"]
mod pool;
#[expect(dead_code, reason = "its main runs on addresses that are given")]
#[path = "../../examples/raw_sql.rs"]
mod raw_sql;
#[expect(dead_code, reason = "its main runs on addresses that are given")]
#[path = "../../examples/relations.rs"]
mod relations;
#[expect(dead_code, reason = "its main runs on an address that is given")]
#[path = "../../examples/statistics.rs"]
mod statistics;

use tierkeep_testkit::PostgresServer;

use crate::fixture::Bases;

#[tokio::test]
async fn every_example_runs_on_both_databases() {
    let bases = Bases::new().await;

    for db in &bases.all {
        bulk::run_on(db).await.unwrap();
        pages::run_on(db).await.unwrap();
        raw_sql::run_on(db).await.unwrap();
        relations::run_on(db).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_sixty_callers_ten_are_refused() {
    let server = PostgresServer::launch().await.unwrap();

    let (refused, counts) = pool::run(&server.url("postgres")).await.unwrap();

    assert_eq!(refused, 10, "{counts:?}");
}

#[tokio::test]
async fn statistics_name_an_index_that_repeats_another_and_one_that_is_missing() {
    let findings = statistics::run(None).await.unwrap();

    assert_eq!(findings.len(), 2, "{findings:?}");
}
