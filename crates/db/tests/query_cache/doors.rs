//! D9: the seed was told of changes by signals of its ORM, and blind to all other doors.

use std::time::Duration;

use bytes::Bytes;
use futures_util::SinkExt;
use tierkeep_db::query_cache::{Bypass, Origin};
use tokio_util::sync::CancellationToken;

use crate::shop::{Shop, settings, shown};

const SUMS: &str = "select cast(customer as text), cast(sum(price) as text) from orders group by 1 order by 1";
const DEAR: &str = "select name from dear_names order by 1";
const VISITS: &str = "select cast(count(*) as text) from visits";

/// Whoever changes the tables, once the feed was asked no answer is older.
async fn assert_told(shop: &Shop, queries: &[&str], door: &str) {
    shop.queries.catch_up().await.unwrap();
    for sql in queries {
        let answer = shop.ask(sql, &[]).await;
        let fresh = shop.writer.query(*sql, &[]).await.unwrap();

        assert_eq!(shown(&answer.rows), shown(&fresh), "{door}");
        assert_eq!(answer.origin, Origin::Database, "{door}: {sql} was not forgotten");
    }
}

#[tokio::test]
async fn change_through_the_api_is_told() {
    let shop = Shop::open().await;
    shop.keep(SUMS).await;

    let mut connection = shop.pool.get().await.unwrap();
    let tx = connection.transaction().await.unwrap();
    tx.execute("insert into orders values ($1, $2, $3)", &[&30_i64, &2_i64, &7_i32]).await.unwrap();
    tx.commit().await.unwrap();

    assert_told(&shop, &[SUMS], "api").await;
}

#[tokio::test]
async fn prepared_text_is_told_of_changes_as_its_text_is() {
    let shop = Shop::open().await;
    let prepared = shop.queries.prepare(SUMS);
    let ask = async || prepared.query(&[]).await.unwrap();
    assert_eq!((ask().await.origin, ask().await.origin), (Origin::Database, Origin::Cache));
    assert_eq!(ask().await.origin, Origin::Cache);

    shop.writer.batch_execute("insert into orders values (31, 1, 1)").await.unwrap();
    shop.queries.catch_up().await.unwrap();

    let answer = ask().await;
    let fresh = shop.writer.query(SUMS, &[]).await.unwrap();
    assert_eq!((answer.origin, shown(&answer.rows)), (Origin::Database, shown(&fresh)));
}

#[tokio::test]
async fn changes_in_raw_sql_of_another_connection_are_told() {
    let shop = Shop::open().await;
    for sql in [
        "insert into orders values (31, 1, 1)",
        "update orders set price = price + 1 where id = 31",
        "insert into orders values (31, 2, 5) on conflict (id) do update set customer = excluded.customer",
        "delete from orders where id = 31",
        "with moved as (delete from orders where id = 10 returning *) insert into orders select 32, customer, price from moved",
        "do $$ begin update orders set price = 0 where id = 11; end $$",
        "truncate orders",
    ] {
        shop.keep(SUMS).await;
        shop.writer.batch_execute(sql).await.unwrap();
        assert_told(&shop, &[SUMS], sql).await;
    }
}

#[tokio::test]
async fn copy_is_told() {
    let shop = Shop::open().await;
    shop.keep(SUMS).await;

    let sink = shop.writer.copy_in("copy orders from stdin").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    sink.send(Bytes::from_static(b"40\t1\t9\n41\t2\t9\n")).await.unwrap();
    sink.close().await.unwrap();

    assert_told(&shop, &[SUMS], "copy").await;
}

#[tokio::test]
async fn cascade_is_told_though_only_the_parent_is_named() {
    let shop = Shop::open().await;
    shop.keep(SUMS).await;

    shop.writer.batch_execute("delete from customers where id = 1").await.unwrap();

    assert_told(&shop, &[SUMS], "cascade").await;
}

#[tokio::test]
async fn change_below_two_views_is_told() {
    let shop = Shop::open().await;
    for sql in ["update customers set name = 'Eve' where id = 2", "update orders set price = 51 where id = 10"] {
        shop.keep(DEAR).await;
        shop.writer.batch_execute(sql).await.unwrap();
        assert_told(&shop, &[DEAR], sql).await;
    }
}

#[tokio::test]
async fn partition_is_told_by_whatever_name_it_is_read_or_written() {
    let shop = Shop::open().await;
    let part = "select cast(count(*) as text) from visits_low";
    for sql in
        ["insert into visits values (6, 1)", "insert into visits_low values (7, 1)", "delete from visits where id = 6"]
    {
        shop.keep(VISITS).await;
        shop.keep(part).await;
        shop.writer.batch_execute(sql).await.unwrap();
        assert_told(&shop, &[VISITS, part], sql).await;
    }
}

#[tokio::test]
async fn table_that_was_pruned_or_folded_away_counts_as_read() {
    let shop = Shop::open().await;
    for sql in [
        "select cast(count(*) as text) from orders where false",
        "select o.price::text from orders as o left join customers as c on c.id = o.customer where o.id = 11",
        "select cast(count(*) as text) from visits where id > 100",
    ] {
        shop.keep(sql).await;
    }
    shop.writer
        .batch_execute("insert into orders values (50, 1, 1); update customers set name = 'X'; delete from visits_high")
        .await
        .unwrap();

    assert_told(
        &shop,
        &[
            "select cast(count(*) as text) from orders where false",
            "select o.price::text from orders as o left join customers as c on c.id = o.customer where o.id = 11",
            "select cast(count(*) as text) from visits where id > 100",
        ],
        "pruned",
    )
    .await;
}

#[tokio::test]
async fn what_was_rolled_back_or_is_about_another_table_forgets_nothing() {
    let shop = Shop::open().await;
    shop.keep(SUMS).await;

    shop.writer.batch_execute("begin; delete from orders; rollback; insert into visits values (8, 3)").await.unwrap();
    shop.queries.catch_up().await.unwrap();

    assert_eq!(shop.origin(SUMS).await, Origin::Cache);
}

/// The control: a change that nobody notes is found by the check above, so that check is no formality.
#[tokio::test]
async fn change_that_is_not_noted_would_be_noticed_here() {
    let shop = Shop::open().await;
    shop.keep(SUMS).await;

    shop.writer
        .batch_execute(&format!("begin; {}; delete from orders; commit", tierkeep_db::feed::Feed::MOVE_POSTGRES))
        .await
        .unwrap();
    shop.queries.catch_up().await.unwrap();

    let answer = shop.ask(SUMS, &[]).await;
    assert_eq!(answer.origin, Origin::Cache);
    assert_ne!(shown(&answer.rows), shown(&shop.writer.query(SUMS, &[]).await.unwrap()));
    shop.queries.forget().await;
    assert_told(&shop, &[SUMS], "forget").await;
}

#[tokio::test]
async fn nothing_is_served_while_triggers_are_missing() {
    let shop = Shop::open().await;
    shop.keep(SUMS).await;
    let trigger: String = shop
        .writer
        .query_one(
            "select min(tgname::text) from pg_trigger where tgrelid = 'orders'::regclass and not tgisinternal",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    shop.writer.batch_execute(&format!("alter table orders disable trigger {trigger}")).await.unwrap();
    shop.queries.catch_up().await.unwrap();

    assert!(matches!(shop.origin(SUMS).await, Origin::Bypassed(Bypass::Broken(_))));

    shop.writer.batch_execute("delete from orders").await.unwrap();
    shop.writer.batch_execute(&format!("alter table orders enable always trigger {trigger}")).await.unwrap();
    assert_told(&shop, &[SUMS], "broken for a while").await;
}

#[tokio::test]
async fn follower_tells_by_itself_and_silence_ends_serving() {
    let shop =
        Shop::with(tierkeep_db::query_cache::QuerySettings { bound: Duration::from_millis(400), ..settings() }).await;
    let stop = CancellationToken::new();
    let following = tokio::spawn({
        let (queries, stop) = (shop.queries.clone(), stop.clone());
        async move { queries.follow(stop).await }
    });
    let within = Duration::from_secs(60);
    let is_kept = async { while shop.origin(SUMS).await != Origin::Cache {} };
    tokio::time::timeout(within, is_kept).await.unwrap();

    shop.writer.batch_execute("truncate orders").await.unwrap();
    let is_told = async { while !shop.ask(SUMS, &[]).await.rows.is_empty() {} };
    tokio::time::timeout(within, is_told).await.unwrap();

    stop.cancel();
    following.await.unwrap();
    let is_silent = async { while shop.origin(SUMS).await != Origin::Bypassed(Bypass::Silent) {} };
    tokio::time::timeout(within, is_silent).await.unwrap();
}
