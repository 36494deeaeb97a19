//! The same on SQLite, where the tables are those that the compiled program opens.

use rusqlite::types::Value;
use tierkeep_cache::Cache;
use tierkeep_db::feed::Feed;
use tierkeep_db::query_cache::{Bypass, Origin, SqliteQueries};
use tierkeep_db::{DatabaseUrl, Error, SqlType, SqliteConfig, SqliteDatabase};
use tierkeep_testkit::SqliteFile;

use crate::shop::{owned, settings};

const TABLES: &str = "
    create table customers (id integer primary key, name text);
    create table orders (id integer primary key, customer integer not null, price integer);
    create index by_customer on orders (customer, price);
    create table notes (id integer primary key, customer integer);
    create table plain (id integer primary key);
    create view dear as select o.id, c.name from orders as o join customers as c on c.id = o.customer where price > 50;
    insert into customers values (1, 'Ada'), (2, 'Bo'), (3, null);
    insert into orders values (10, 1, 40), (11, 1, 60), (20, 2, 70)";

struct Shop {
    queries: SqliteQueries,
    db: SqliteDatabase,
    /// Another connection, as another process would have.
    other: rusqlite::Connection,
    _file: SqliteFile,
}

async fn shop() -> Shop {
    let file = SqliteFile::new().unwrap();
    let DatabaseUrl::Sqlite(path) = file.url().parse().unwrap() else { panic!("a file") };
    let db = SqliteDatabase::open(&path, SqliteConfig::default()).await.unwrap();
    let sources = vec![owned("customers", "id"), owned("orders", "customer"), owned("notes", "customer")];
    let feed = Feed::new(SqlType::Bigint, sources).unwrap();
    let install = feed.clone();
    db.write(move |tx| {
        tx.execute_batch(TABLES).map_err(Error::from)?;
        install.install_sqlite(tx)
    })
    .await
    .unwrap();
    let cache = Cache::builder("shop").build().unwrap();
    let queries = SqliteQueries::new(db.clone(), feed, &cache, &settings()).await.unwrap();
    let other = rusqlite::Connection::open(path.path()).unwrap();
    Shop { queries, db, other, _file: file }
}

#[tokio::test]
async fn prepared_text_is_answered_as_the_text_is() {
    let shop = shop().await;
    let sql = "select sum(price) from orders where customer = ?1";
    let (prepared, unkept) = (shop.queries.prepare(sql), shop.queries.prepare("select random()"));
    let one = [Value::Integer(1)];
    let ask = async || prepared.query(&one).await.unwrap();

    assert_eq!((ask().await.origin, ask().await.origin), (Origin::Database, Origin::Cache));
    assert_eq!(ask().await.origin, Origin::Cache);
    assert_eq!(shop.queries.query(sql, &one).await.unwrap().origin, Origin::Cache, "they share their answers");
    assert_eq!(prepared.query(&[Value::Integer(2)]).await.unwrap().rows[0], [Value::Integer(70)]);
    shop.other.execute_batch("update orders set price = 1 where customer = 1").unwrap();
    shop.queries.catch_up().await.unwrap();
    let after = ask().await;
    assert_eq!((&after.origin, &after.rows[0][0]), (&Origin::Database, &Value::Integer(2)));
    shop.queries.forget().await;
    assert_eq!((ask().await.origin, ask().await.origin), (Origin::Database, Origin::Cache));
    for _ in 0..2 {
        assert!(matches!(unkept.query(&[]).await.unwrap().origin, Origin::Bypassed(Bypass::Uncachable(_))));
    }
}

impl Shop {
    async fn origin(&self, sql: &str) -> Origin {
        self.queries.query(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).origin
    }

    async fn keep(&self, sql: &str) {
        self.origin(sql).await;
        assert_eq!(self.origin(sql).await, Origin::Cache, "{sql}");
    }

    async fn assert_told(&self, sql: &str) {
        self.queries.catch_up().await.unwrap();
        let answer = self.queries.query(sql, &[]).await.unwrap();
        assert_eq!(answer.origin, Origin::Database, "{sql}");
        let mut statement = self.other.prepare(sql).unwrap();
        let columns = statement.column_count();
        let fresh: Vec<Vec<Value>> = statement
            .query_map([], |row| (0..columns).map(|column| row.get(column)).collect())
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(*answer.rows, fresh, "{sql}");
    }
}

#[tokio::test]
async fn change_of_this_and_of_another_connection_is_told() {
    let shop = shop().await;
    let queries = [
        "select sum(price) from orders",
        "select name from dear order by 1",
        "select price from orders where customer = 1 order by price",
        "select (select max(price) from orders where customer = customers.id) from customers order by id",
    ];
    for change in [
        "insert into orders (customer, price) values (1, 90)",
        "replace into orders values (30, 2, 91)",
        "update orders set price = price + 1",
        "insert into orders values (30, 1, 5) on conflict (id) do update set price = 99",
        "delete from orders",
    ] {
        for is_other in [false, true] {
            shop.other.execute_batch("insert or replace into orders values (10, 1, 40), (30, 1, 60)").unwrap();
            shop.queries.catch_up().await.unwrap();
            for sql in queries {
                shop.keep(sql).await;
            }
            if is_other {
                shop.other.execute_batch(change).unwrap();
            } else {
                shop.db.write(move |tx| Ok::<_, Error>(tx.execute_batch(change)?)).await.unwrap();
            }
            for sql in queries {
                shop.assert_told(sql).await;
            }
        }
    }
}

#[tokio::test]
async fn change_of_another_table_and_a_rollback_forget_nothing() {
    let shop = shop().await;
    shop.keep("select sum(price) from orders").await;

    shop.other.execute_batch("begin; delete from orders; rollback; update customers set name = 'X'").unwrap();
    shop.queries.catch_up().await.unwrap();

    assert_eq!(shop.origin("select sum(price) from orders").await, Origin::Cache);
}

#[tokio::test]
async fn change_of_the_schema_forgets_everything() {
    let shop = shop().await;
    shop.keep("select count(*) from dear").await;

    shop.other.execute_batch("drop view dear; create view dear as select id from customers").unwrap();

    shop.assert_told("select count(*) from dear").await;
    shop.keep("select count(*) from dear").await;
    shop.other.execute_batch("delete from customers where id = 1").unwrap();
    shop.assert_told("select count(*) from dear").await;
}

#[tokio::test]
async fn what_cannot_be_kept_is_told_with_its_reason_and_runs() {
    let shop = shop().await;
    for (sql, reason) in [
        ("select random()", "Volatile"),
        ("select date('now')", "Volatile"),
        ("select current_timestamp", "Volatile"),
        ("select unixepoch() from orders", "Volatile"),
        ("select changes()", "Volatile"),
        ("select id from plain", "Unwatched"),
        ("select 1 where exists (select 1 from plain)", "Unwatched"),
        ("select id from notes", "PartlyWatched"),
        ("select name from sqlite_schema", "Kind"),
        ("select * from pragma_table_info('orders')", "Kind"),
        ("select value from json_each('[1]')", "Kind"),
        ("pragma user_version", "NoQuery"),
        ("explain select 1", "NoQuery"),
    ] {
        let origin = shop.origin(sql).await;
        let Origin::Bypassed(Bypass::Uncachable(found)) = &origin else { panic!("{sql}: {origin:?}") };
        assert!(format!("{found:?}").starts_with(reason), "{sql}: {found:?}");
    }
    for sql in ["selec 1", "select * from nowhere", "delete from orders where id = 1", "select 1; select 2"] {
        assert!(shop.queries.query(sql, &[]).await.is_err(), "{sql}");
    }
    shop.keep("select upper(name), round(price, 1), coalesce(price, 0), name like 'A%' from customers, orders").await;
}

#[tokio::test]
async fn values_keep_their_types_and_parameters_theirs() {
    let shop = shop().await;
    let sql = "select ?1, typeof(?1)";
    let mut seen = Vec::new();

    for value in [Value::Null, Value::Integer(1), Value::Real(1.0), Value::Text("1".to_owned()), Value::Blob(vec![49])]
    {
        let first = shop.queries.query(sql, std::slice::from_ref(&value)).await.unwrap();
        let again = shop.queries.query(sql, std::slice::from_ref(&value)).await.unwrap();

        assert_eq!((first.origin, again.origin), (Origin::Database, Origin::Cache));
        assert_eq!(again.rows[0][0], value);
        seen.push(again.rows[0][1].clone());
    }
    seen.dedup();
    assert_eq!(seen.len(), 5, "{seen:?}");
}

/// The control: a change that is made quietly is served old, so the checks above would see it.
#[tokio::test]
async fn change_without_triggers_would_be_noticed_here() {
    let shop = shop().await;
    let sql = "select count(*) from orders";
    shop.keep(sql).await;

    shop.db
        .write(|tx| {
            let triggers: Vec<String> = tx
                .prepare("select name from sqlite_schema where type = 'trigger' and tbl_name = 'orders'")?
                .query_map([], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            triggers.iter().try_for_each(|name| tx.execute_batch(&format!("drop trigger {name}")))?;
            Ok::<_, Error>(tx.execute_batch("delete from orders")?)
        })
        .await
        .unwrap();

    assert_eq!(shop.queries.query(sql, &[]).await.unwrap().rows[0], [Value::Integer(3)], "nobody has asked the feed");
    shop.queries.catch_up().await.unwrap();
    let answer = shop.queries.query(sql, &[]).await.unwrap();
    assert!(matches!(answer.origin, Origin::Bypassed(Bypass::Broken(_))), "{:?}", answer.origin);
    assert_eq!(answer.rows[0], [Value::Integer(0)]);
}
