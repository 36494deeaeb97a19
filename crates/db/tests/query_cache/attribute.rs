//! `#[cached]` on a function that queries: the tag of a table is all it takes.

use std::sync::atomic::{AtomicU64, Ordering};

use tierkeep_cache::cached;
use tierkeep_db::{Error, Pool};

use crate::shop::Shop;

static LOADS: AtomicU64 = AtomicU64::new(0);

#[cached(view = "spent", key = "{customer}", ttl = "5m", tags("table:orders"), skip(pool))]
async fn spent(pool: &Pool, customer: i64) -> Result<Option<i64>, Error> {
    LOADS.fetch_add(1, Ordering::SeqCst);
    let row = pool.get().await?.query_one("select sum(price) from orders where customer = $1", &[&customer]).await?;
    Ok(row.try_get(0)?)
}

#[tokio::test]
async fn function_with_the_tag_of_a_table_is_forgotten_when_that_changes() {
    let shop = Shop::open().await;
    let spent = async || spent(&shop.pool, 1).cached(&shop.cache).await.unwrap().map(|sum| *sum);
    assert_eq!((spent().await, spent().await), (Some(100), Some(100)));
    assert_eq!(LOADS.load(Ordering::SeqCst), 1);

    shop.writer.batch_execute("update customers set name = 'X'").await.unwrap();
    shop.queries.catch_up().await.unwrap();
    assert_eq!((spent().await, LOADS.load(Ordering::SeqCst)), (Some(100), 1), "another table");

    shop.writer.batch_execute("update orders set price = 1 where customer = 1").await.unwrap();
    shop.queries.catch_up().await.unwrap();
    assert_eq!((spent().await, LOADS.load(Ordering::SeqCst)), (Some(2), 2));

    // The feed is told of a gap by an event of everything, which concerns this function, too.
    shop.writer
        .batch_execute("truncate tierkeep_outbox; update orders set price = 5 where customer = 1")
        .await
        .unwrap();
    shop.queries.catch_up().await.unwrap();
    assert_eq!((spent().await, LOADS.load(Ordering::SeqCst)), (Some(10), 3));
}
