//! The example shows what it says.

#[expect(dead_code, reason = "its main is for people")]
#[path = "../../examples/query_cache.rs"]
mod query_cache;

use tierkeep_db::query_cache::Origin;

#[tokio::test]
async fn answers_of_the_example_are_kept_until_something_changes() {
    let origins = query_cache::run().await.unwrap();

    assert!(matches!(origins, [Origin::Database, Origin::Cache, Origin::Database]), "{origins:?}");
}
