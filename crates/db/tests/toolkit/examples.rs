//! The examples hold what they assert on both databases.

use crate::fixture::Bases;

#[expect(dead_code, reason = "its main runs on addresses that are given")]
#[path = "../../examples/bulk.rs"]
mod bulk;
#[expect(dead_code, reason = "its main runs on addresses that are given")]
#[path = "../../examples/pages.rs"]
mod pages;
#[expect(dead_code, reason = "its main runs on addresses that are given")]
#[path = "../../examples/raw_sql.rs"]
mod raw_sql;
#[expect(dead_code, reason = "its main runs on addresses that are given")]
#[path = "../../examples/relations.rs"]
mod relations;

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
