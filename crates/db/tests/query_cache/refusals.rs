//! What is run every time, and why.

use tierkeep_db::query_cache::{Bypass, Origin, Uncachable};

use crate::shop::Shop;

/// The variant of a reason, by its name.
fn kind(reason: &Uncachable) -> String {
    format!("{reason:?}").split([' ', '(', '{']).next().unwrap().to_owned()
}

#[tokio::test]
async fn reasons_are_told_and_the_query_runs() {
    let shop = Shop::open().await;
    shop.writer
        .batch_execute(
            "create function volatile_sql() returns int language sql as 'select 1';
             create function stable_read() returns bigint stable language sql as 'select count(*) from plain';
             create function pure(int) returns int immutable language sql as 'select $1 + 1';
             create function shape(orders) returns text stable language sql as 'select count(*)::text from plain';
             create view hides_now as select now() as at from orders;
             create view hides_read as select stable_read() as n from orders;
             create view hides_plain as select * from plain;
             create materialized view frozen as select * from orders;
             create table secret (id bigint primary key); alter table secret enable row level security;
             create table parent (id bigint); create table child () inherits (parent)",
        )
        .await
        .unwrap();

    for (sql, reason) in [
        ("select now()", "Volatile"),
        ("select random() from orders", "Volatile"),
        ("select nextval('s') from orders where false", "Volatile"),
        ("select volatile_sql()", "Volatile"),
        ("select stable_read()", "Volatile"),
        ("select public.stable_read()", "Volatile"),
        ("select orders.shape from orders", "Volatile"),
        ("select * from hides_now", "Volatile"),
        ("select * from hides_read", "Volatile"),
        ("select current_setting('TimeZone')", "Volatile"),
        ("select pg_backend_pid()", "Volatile"),
        ("select age(timestamp '2020-01-01')", "Volatile"),
        ("select current_date", "Changeable"),
        ("select current_user", "Changeable"),
        ("select 'now'::timestamptz", "Changeable"),
        ("select id from orders for update", "Locks"),
        ("with gone as (delete from orders where false returning id) select id from gone", "NoQuery"),
        ("select id from plain", "Unwatched"),
        ("select id from hides_plain", "Unwatched"),
        ("select id from notes", "PartlyWatched"),
        ("select id from zones", "PartlyWatched"),
        ("select id from frozen", "Kind"),
        ("select relname from pg_class where false", "Kind"),
        ("select table_name from information_schema.tables where false", "Kind"),
        ("select id from parent", "Kind"),
        ("select id from child", "Kind"),
        ("select id from secret", "RowSecurity"),
    ] {
        if sql.contains("nextval") {
            shop.writer.batch_execute("create sequence s").await.unwrap();
        }
        assert_eq!(kind(&shop.refusal(sql).await), reason, "{sql}");
        assert_eq!(kind(&shop.refusal(sql).await), reason, "{sql}, again");
        assert!(shop.queries.explain(sql).await.unwrap().is_err(), "{sql}");
    }
    shop.keep("select pure(price) from orders where id = 10").await;
    shop.keep("select date_trunc('day', timestamptz '2024-05-01 10:00Z'), to_char(price, '999') from orders").await;
}

#[tokio::test]
async fn function_that_is_made_volatile_or_overloaded_is_noticed() {
    let shop = Shop::open().await;
    shop.writer.batch_execute("create function lower(int) returns int language sql as 'select $1'").await.unwrap();

    assert_eq!(shop.refusal("select lower(name) from customers").await, Uncachable::Volatile("lower".to_owned()));
}

#[tokio::test]
async fn operator_of_ones_own_that_may_change_refuses_everything() {
    let shop = Shop::open().await;
    shop.writer
        .batch_execute(
            "create function adds(int, int) returns int volatile language sql as 'select $1 + $2';
             create operator || (leftarg = int, rightarg = int, function = adds)",
        )
        .await
        .unwrap();

    assert_eq!(shop.refusal("select price || 1 from orders").await, Uncachable::Operators);
}

#[tokio::test]
async fn parameter_that_stands_for_the_present_is_not_kept() {
    let shop = Shop::open().await;
    let sql = "select $1::text::timestamptz is not null";

    assert_eq!(shop.ask(sql, &[&"Now"]).await.origin, Origin::Bypassed(Bypass::TimeInParameter));
    assert_eq!(shop.ask(sql, &[&"2024-01-01"]).await.origin, Origin::Database);
}

#[tokio::test]
async fn connection_with_other_settings_neither_fills_nor_reads_for_others() {
    let shop = Shop::with_one_connection().await;
    let sql = "select to_char(timestamptz '2024-01-01 00:00Z', 'HH24')";
    // The one idle connection, with another zone.
    let connection = shop.pool.get().await.unwrap();
    connection.batch_execute("set timezone = 'Asia/Tokyo'").await.unwrap();
    drop(connection);

    let answer = shop.ask(sql, &[]).await;
    assert_eq!((answer.origin, answer.rows[0].get::<_, &str>(0)), (Origin::Bypassed(Bypass::OtherSession), "09"));
    let connection = shop.pool.get().await.unwrap();
    connection.discard();

    let answer = shop.ask(sql, &[]).await;
    assert_eq!((answer.origin, answer.rows[0].get::<_, &str>(0)), (Origin::Database, "00"));
}

#[tokio::test]
async fn temporary_table_that_hides_another_is_another_session() {
    let shop = Shop::with_one_connection().await;
    let sql = "select count(*) from orders";
    let connection = shop.pool.get().await.unwrap();
    connection.batch_execute("create temporary table orders (id int)").await.unwrap();
    drop(connection);

    let answer = shop.ask(sql, &[]).await;

    assert_eq!(answer.origin, Origin::Bypassed(Bypass::OtherSession));
    assert_eq!(answer.rows[0].get::<_, i64>(0), 0);
}

/// What a text reads is found out on a usual connection only: elsewhere its names may be other tables.
#[tokio::test]
async fn text_first_seen_with_another_search_path_is_looked_at_again() {
    let shop = Shop::with_one_connection().await;
    let sql = "select count(*) from orders";
    shop.writer.batch_execute("create schema other; create view other.orders as select 1 as a").await.unwrap();
    let connection = shop.pool.get().await.unwrap();
    connection.batch_execute("set search_path = other, public").await.unwrap();
    drop(connection);
    assert_eq!(shop.ask(sql, &[]).await.rows[0].get::<_, i64>(0), 1);
    shop.pool.get().await.unwrap().discard();
    shop.keep(sql).await;

    shop.writer.batch_execute("delete from orders").await.unwrap();
    shop.queries.catch_up().await.unwrap();

    assert_eq!(shop.ask(sql, &[]).await.rows[0].get::<_, i64>(0), 0);
}

#[tokio::test]
async fn text_that_is_wrong_gets_the_error_of_the_database() {
    let shop = Shop::open().await;

    for sql in ["selec 1", "select * from nowhere", "select 'a", "select 1; select 2"] {
        let error = shop.queries.query(sql, &[]).await.unwrap_err();
        assert!(matches!(error, tierkeep_db::query_cache::QueryError::Database(_)), "{sql}: {error:?}");
    }
}
