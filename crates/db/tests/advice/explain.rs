//! Plans of real databases, and what must not happen on the way to them.

use std::time::Duration;

use tierkeep_db::plan::{Options, PlanError, Rule, explain};
use tierkeep_db::query::QueryError;
use tierkeep_db::{Database, Error};
use tierkeep_testkit::{DatabaseClient, SqliteFile, TestDatabase};

use crate::{pool, postgres, sources, sqlite};

const SHOP: &str = "
    create table orders (id bigint primary key, customer int not null, state text not null, total int not null, note text);
    insert into orders select i, i % 5000, case when i % 50 = 0 then 'open' else 'done' end, i % 97, repeat('x', 40)
        from generate_series(1, 40000) as i;
    create sequence numbers;
    create function careless() returns int language plpgsql volatile as
        $$ begin delete from orders; return 1; end $$;
    analyze;";

const SHOP_SQLITE: &str = "
    create table orders (id integer primary key, customer integer not null, state text not null, total integer not null);
    create table customers (id integer primary key, name text not null, city text not null);
    with recursive i (i) as (select 1 union all select i + 1 from i where i < 20000)
    insert into orders select i, i % 2000, case when i % 50 = 0 then 'open' else 'done' end, i % 97 from i;
    with recursive i (i) as (select 1 union all select i + 1 from i where i < 2000)
    insert into customers select i, 'name ' || i, 'city ' || i % 40 from i;
    analyze;";

async fn shop() -> (TestDatabase, DatabaseClient, Database) {
    let database = postgres().await;
    let client = database.client().await.unwrap();
    client.batch_execute(SHOP).await.unwrap();
    let db = Database::Postgres(pool(&database));
    (database, client, db)
}

fn measured() -> Options {
    Options { analyze: true, ..Options::default() }
}

async fn rules(db: &Database, sql: &str, options: &Options) -> Vec<Rule> {
    let plan = explain(db, sql, options).await.unwrap();
    plan.findings().into_iter().map(|finding| finding.rule).collect()
}

async fn count(client: &DatabaseClient) -> i64 {
    client.query_one("select count(*) from orders", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn what_no_transaction_takes_back_is_planned_and_not_run() {
    let (_database, client, db) = shop().await;
    client
        .batch_execute(
            "create view rude as select pg_try_advisory_lock(customer) as held, customer from orders;
             create function \"Pg Notify\"() returns int language sql volatile as 'select 1'",
        )
        .await
        .unwrap();

    for (sql, function) in [
        ("select pg_stat_reset()", "pg_stat_reset"),
        ("select pg_catalog.pg_advisory_lock(id) from orders where customer = 1", "pg_advisory_lock"),
        ("select * from pg_ls_dir('.') where random() < 2", "pg_ls_dir"),
        ("select customer from rude where customer < 3 and held", "pg_try_advisory_lock"),
        ("select 1 where exists (select from orders where pg_terminate_backend(id::int))", "pg_terminate_backend"),
    ] {
        let error = explain(&db, sql, &measured()).await.unwrap_err();
        assert!(
            matches!(&error, PlanError::BeyondTransactions { function: named } if named == function),
            "{sql}: {error}"
        );
        explain(&db, sql, &Options::default()).await.unwrap();
    }
    explain(&db, "select random(), clock_timestamp(), \"Pg Notify\"(), max(lower(state)) from orders", &measured())
        .await
        .unwrap();

    // a name of the server's makes nothing harmless
    client
        .batch_execute(
            "create schema other;
             create function other.random(int) returns bool language internal volatile as 'pg_terminate_backend'",
        )
        .await
        .unwrap();
    let error = explain(&db, "select other.random(-1)", &measured()).await.unwrap_err();
    assert!(matches!(&error, PlanError::BeyondTransactions { function } if function == "random"), "{error}");
    // What later versions add to chance and to names by chance.
    let version = client.server_version().await.unwrap();
    for (since, sql) in [(16, "select array_shuffle(array_sample(array[1, 2], 1))"), (18, "select uuidv4(), uuidv7()")]
    {
        if version >= since {
            explain(&db, sql, &measured()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn writes_are_refused_before_anything_is_sent() {
    let unreachable = "postgres://nobody@localhost:1/none".parse().unwrap();
    let db = Database::Postgres(tierkeep_db::Pool::new(&unreachable, tierkeep_db::PoolConfig::default()).unwrap());

    for sql in [
        "delete from orders",
        "select * from orders for update",
        "with gone as (delete from orders returning *) select * from gone",
        "explain analyze delete from orders",
        "select 1 into copy",
        "drop table orders",
    ] {
        let error = explain(&db, sql, &measured()).await.unwrap_err();
        assert!(matches!(error, PlanError::NotASelect { .. }), "{sql}: {error}");
    }
    for sql in ["select 1; delete from orders", "select 1;delete from orders;", "; select 1 ; select 2"] {
        let error = explain(&db, sql, &measured()).await.unwrap_err();
        assert!(matches!(error, PlanError::Query(QueryError::Several { .. })), "{sql}: {error}");
    }
    let error = explain(&db, "select $1", &measured()).await.unwrap_err();
    assert!(matches!(error, PlanError::ValuesMissing { parameters: 1 }), "{error}");
}

#[tokio::test]
async fn what_writes_out_of_sight_fails_and_changes_nothing() {
    let (_database, client, db) = shop().await;

    for sql in ["select nextval('numbers')", "select careless()", "select setval('numbers', 5)"] {
        let error = explain(&db, sql, &measured()).await.unwrap_err();
        assert!(matches!(error, PlanError::Writes(_)), "{sql}: {}", sources(&error));
    }

    assert_eq!(count(&client).await, 40_000);
    let last: i64 = client.query_one("select last_value from numbers", &[]).await.unwrap().get(0);
    assert_eq!(last, 1);
    // The control: the function does write where it may.
    client.batch_execute("select careless()").await.unwrap();
    assert_eq!(count(&client).await, 0);
}

/// The seed put the text behind `explain analyze` and sent it: it ran deletes, and whatever followed a semicolon.
#[tokio::test]
async fn text_that_the_parser_reads_as_one_statement_and_the_server_as_two_is_not_run() {
    let (database, client, _) = shop().await;
    let name = database.name();
    // Without standard strings a backslash escapes the quote: for the server the text ends here, for us it goes on.
    let setting = ["alter database ", name, " set standard_conforming_strings to off"].concat();
    client.batch_execute(&setting).await.unwrap();
    let db = Database::Postgres(pool(&database));

    let result = explain(&db, r"select '\' || ' ; delete from orders where total > 0; --'", &measured()).await;
    let other = explain(&db, r"select '\'' ; delete from orders; --'", &measured()).await;

    assert!(result.is_err());
    assert!(other.is_err());
    assert_eq!(count(&client).await, 40_000);
}

#[tokio::test]
async fn slow_statements_and_locked_tables_are_given_up() {
    let (_database, client, db) = shop().await;
    let slow = Options { statement_timeout: Duration::from_millis(50), ..measured() };
    let error = explain(&db, "select pg_sleep(60)", &slow).await.unwrap_err();
    assert!(matches!(error, PlanError::TimedOut { .. }), "{error}");

    client.batch_execute("begin; lock table orders in access exclusive mode").await.unwrap();
    let impatient = Options { lock_timeout: Duration::from_millis(50), ..Options::default() };
    let error = explain(&db, "select * from orders", &impatient).await.unwrap_err();
    assert!(matches!(error, PlanError::TimedOut { .. }), "{error}");
    client.batch_execute("rollback").await.unwrap();

    // The connections are as good as new.
    for _ in 0..3 {
        explain(&db, "select * from orders where customer = $1", &Options::default()).await.unwrap();
    }
    let Database::Postgres(pool) = &db else { panic!("another database") };
    let left: i64 = pool
        .get()
        .await
        .unwrap()
        .query_one("select count(*) from pg_prepared_statements where name like 'tierkeep%'", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(left, 0);
}

#[tokio::test]
async fn parameters_get_the_plan_that_serves_all_values() {
    let (_database, client, db) = shop().await;
    client.batch_execute("create index on orders (customer); analyze orders").await.unwrap();

    let plan =
        explain(&db, "select * from orders where customer = $1 and total < $2", &Options::default()).await.unwrap();

    let text = plan.to_string();
    assert!(text.contains("customer = $1"), "{text}");
    assert!(plan.root.measured.is_none());
    assert_eq!(plan.table_rows.get("public.orders"), Some(&40_000.0));
}

/// Up to version 13 the catalog says zero rows of it, as of a table that is empty.
#[tokio::test]
async fn rows_of_a_table_that_was_never_looked_at_are_not_known() {
    let (_database, client, db) = shop().await;
    client
        .batch_execute(
            "create table unseen (id int, text text) with (autovacuum_enabled = off);
             create table void (id int); analyze void;
             insert into unseen select i, 'text' from generate_series(1, 20000) as i",
        )
        .await
        .unwrap();

    let plan = explain(&db, "select * from unseen, void where unseen.id = 7", &Options::default()).await.unwrap();

    assert_eq!(plan.table_rows.get("public.unseen"), None);
    assert_eq!(plan.table_rows.get("public.void"), Some(&0.0), "the control: this one was looked at");
}

#[tokio::test]
async fn findings_on_a_real_server_are_those_of_the_missing_index() {
    let (_database, client, db) = shop().await;
    let by_customer = "select * from orders where customer = 77";
    let page = "select * from orders order by id limit 5 offset 30000";
    let keyset = "select * from orders where id > 200 or (id = 200 and total > 3) order by id, total limit 5";

    assert_eq!(rules(&db, by_customer, &Options::default()).await, [Rule::SequentialScan]);
    assert!(rules(&db, by_customer, &measured()).await.contains(&Rule::SequentialScan));
    assert!(rules(&db, page, &measured()).await.contains(&Rule::DeepOffset));
    assert!(rules(&db, page, &Options::default()).await.contains(&Rule::DeepOffset));
    assert!(rules(&db, keyset, &Options::default()).await.contains(&Rule::OrKeyset));
    client.batch_execute("create index on orders (customer); analyze orders").await.unwrap();
    assert_eq!(rules(&db, by_customer, &Options::default()).await, []);
    assert_eq!(
        rules(&db, "select * from orders where total < 90", &Options::default()).await,
        [],
        "most rows are kept"
    );
}

#[tokio::test]
async fn spilling_sort_is_found_on_a_real_server() {
    let (database, client, db) = shop().await;
    client.batch_execute(&["alter database ", database.name(), " set work_mem to '64kB'"].concat()).await.unwrap();

    let found = rules(&db, "select * from orders order by note, total desc, id", &measured()).await;

    assert!(found.contains(&Rule::SortSpill), "{found:?}");
}

#[tokio::test]
async fn sqlite_plans_are_read_by_their_own_rules() {
    let file = SqliteFile::new().unwrap();
    let db = Database::Sqlite(sqlite(&file, SHOP_SQLITE).await);
    let options = Options::default();

    for (sql, expected) in [
        ("select * from orders where customer = ?", vec![Rule::SequentialScan]),
        ("select * from orders as o where o.customer = 5", vec![Rule::SequentialScan]),
        ("select * from orders where id = 5", vec![]),
        ("select count(*) from orders", vec![]),
        ("select * from customers where city = 'x'", vec![]),
        ("select * from orders order by total", vec![Rule::SortStep]),
        ("select * from customers order by name", vec![]),
        ("select * from customers c join orders o on o.customer = c.id + 0", vec![Rule::AutomaticIndex]),
        (
            "select name from customers c where (select count(*) from orders o where o.total + 0 = c.id and o.id <> c.id) > 1",
            vec![Rule::CorrelatedScan],
        ),
        ("select * from orders where id > 5 or (id = 5 and total > 3) limit 5", vec![Rule::OrKeyset]),
        ("select * from orders order by id limit 5 offset 5000", vec![Rule::DeepOffset]),
        ("select * from orders order by id limit 5 offset 5", vec![]),
    ] {
        let plan = explain(&db, sql, &options).await.unwrap();
        let found: Vec<Rule> = plan.findings().iter().map(|finding| finding.rule).collect();
        for rule in &expected {
            assert!(found.contains(rule), "{sql}: {found:?}\n{plan}");
        }
        assert_eq!(found.is_empty(), expected.is_empty(), "{sql}: {found:?}\n{plan}");
    }
}

#[tokio::test]
async fn sqlite_refuses_what_it_cannot_do() {
    let file = SqliteFile::new().unwrap();
    let inner = sqlite(&file, SHOP_SQLITE).await;
    let db = Database::Sqlite(inner.clone());

    assert!(matches!(explain(&db, "select 1", &measured()).await.unwrap_err(), PlanError::NotMeasurable));
    assert!(matches!(
        explain(&db, "delete from orders", &Options::default()).await.unwrap_err(),
        PlanError::NotASelect { .. }
    ));
    assert!(matches!(
        explain(&db, "select nothing from nowhere", &Options::default()).await.unwrap_err(),
        PlanError::Database(Error::Sqlite(_))
    ));
    let rows = inner
        .read(|connection| {
            Ok::<_, Error>(connection.query_row("select count(*) from orders", [], |row| row.get::<_, i64>(0))?)
        })
        .await
        .unwrap();
    assert_eq!(rows, 20_000);
}
