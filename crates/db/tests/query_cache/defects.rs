//! D8: what the seed's cache of queries did wrong, one test each.

use std::time::{Duration, SystemTime};

use tierkeep_db::query_cache::{Origin, QuerySettings};

use crate::shop::{Shop, settings};

#[tokio::test]
async fn keys_are_typed_and_no_two_lists_of_parameters_meet() {
    let shop = Shop::open().await;
    let both = "select $1 || '|' || $2";

    let one = shop.ask(both, &[&"a", &"b,c"]).await;
    let other = shop.ask(both, &[&"a,b", &"c"]).await;

    assert_eq!(one.rows[0].get::<_, &str>(0), "a|b,c");
    assert_eq!(other.rows[0].get::<_, &str>(0), "a,b|c");
    assert_eq!(shop.ask("select $1::text", &[&Some("null")]).await.rows[0].get::<_, Option<&str>>(0), Some("null"));
    assert_eq!(shop.ask("select $1::text", &[&None::<String>]).await.rows[0].get::<_, Option<&str>>(0), None);
}

#[tokio::test]
async fn null_and_no_rows_are_kept() {
    let shop = Shop::open().await;

    for sql in ["select name from customers where id = 3", "select name from customers where id = 99"] {
        shop.keep(sql).await;
    }

    assert_eq!(shop.ask("select name from customers where id = 3", &[]).await.rows[0].get::<_, Option<&str>>(0), None);
    assert!(shop.ask("select name from customers where id = 99", &[]).await.rows.is_empty());
}

#[tokio::test]
async fn types_survive() {
    let shop = Shop::open().await;
    let sql = "select 7::smallint, 2.5::float8, true, '\\x00ff'::bytea, array[1, 2], $1::timestamptz";
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);

    for origin in [Origin::Database, Origin::Cache] {
        let answer = shop.ask(sql, &[&at]).await;

        assert_eq!(answer.origin, origin);
        let row = &answer.rows[0];
        assert_eq!((row.get::<_, i16>(0), row.get::<_, f64>(1), row.get::<_, bool>(2)), (7, 2.5, true));
        assert_eq!((row.get::<_, Vec<u8>>(3), row.get::<_, Vec<i32>>(4)), (vec![0, 255], vec![1, 2]));
        assert_eq!(row.get::<_, SystemTime>(5), at, "a date is a parameter like any other");
    }
}

#[tokio::test]
async fn spelling_does_not_matter() {
    let shop = Shop::open().await;
    shop.keep("select name from customers where id = 1").await;

    assert_eq!(
        shop.origin("SELECT name -- who\n  FROM customers\n WHERE id=1").await,
        Origin::Database,
        "`=1` is another text"
    );
    assert_eq!(shop.origin("SELECT name -- who\n  FROM customers\n WHERE id = 1;").await, Origin::Cache);
}

#[tokio::test]
async fn answers_end_with_their_time_to_live() {
    let shop = Shop::with(QuerySettings { ttl: Duration::from_millis(50), ..settings() }).await;
    let sql = "select name from customers where id = 1";
    shop.ask(sql, &[]).await;

    let ended = async { while shop.origin(sql).await != Origin::Database {} };

    tokio::time::timeout(Duration::from_secs(60), ended).await.unwrap();
}

#[tokio::test]
async fn memory_is_bounded_and_large_answers_are_not_kept() {
    let shop = Shop::with(QuerySettings { largest: 20_000, ..settings() }).await;
    let long = "select repeat('x', $1) as body from customers";

    for _ in 0..2 {
        assert_eq!(shop.ask(long, &[&30_000_i32]).await.origin, Origin::Database);
        assert_eq!(shop.ask(long, &[&30_000_i32]).await.rows.len(), 3);
    }
    for length in 1..3000_i32 {
        shop.ask("select repeat('x', 5000 + $1)", &[&length]).await;
        if length % 500 == 0 {
            let state = shop.cache.state();
            assert!(state.memory_bytes <= state.memory_capacity, "{state:?}");
        }
    }
}

#[tokio::test]
async fn error_is_told_to_whoever_asks_and_not_kept() {
    let shop = Shop::open().await;
    let sql = "select 1 / (price - 40) from orders where id = 10";

    for _ in 0..2 {
        let error = shop.queries.query(sql, &[]).await.unwrap_err();
        assert!(matches!(error, tierkeep_db::query_cache::QueryError::Database(_)), "{error:?}");
    }
    shop.writer.batch_execute("update orders set price = 41 where id = 10").await.unwrap();
    shop.queries.catch_up().await.unwrap();

    assert_eq!(shop.ask(sql, &[]).await.rows[0].get::<_, i32>(0), 1);
}
