//! The pool against a real server, and against one that goes away.

use std::time::Duration;

use tierkeep_db::{Connection, Error, Pool, PoolConfig, PoolStatus};
use tierkeep_testkit::{ChaosProxy, Endpoint, Mode, PostgresServer};

use crate::{pool, postgres};

fn small() -> PoolConfig {
    PoolConfig { size: 1, overflow: 0, ..PoolConfig::default() }
}

async fn backend(connection: &Connection) -> i32 {
    connection.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0)
}

/// Waits until nothing is lent, checked or closed any more.
async fn settled(pool: &Pool) -> PoolStatus {
    let settling = async {
        while pool.status().in_use > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), settling).await.expect("the pool settles");
    pool.status()
}

#[tokio::test]
async fn connection_is_used_again() {
    let database = postgres().await;
    let pool = pool(database.url(), small());

    let first = backend(&pool.get().await.unwrap()).await;
    let second = backend(&pool.get().await.unwrap()).await;

    assert_eq!(first, second);
    pool.close().await;
}

#[tokio::test]
async fn server_sees_the_name_of_the_program() {
    let database = postgres().await;
    let pool = pool(database.url(), PoolConfig { application_name: "a test".to_owned(), ..small() });

    let connection = pool.get().await.unwrap();

    let name: String = connection.query_one("show application_name", &[]).await.unwrap().get(0);
    assert_eq!(name, "a test");
}

#[tokio::test]
async fn transaction_opened_by_hand_does_not_reach_the_next_user() {
    let database = postgres().await;
    let pool = pool(database.url(), small());
    let connection = pool.get().await.unwrap();
    let first = backend(&connection).await;
    connection.batch_execute("create table t (a int)").await.unwrap();
    connection.batch_execute("begin; insert into t values (1)").await.unwrap();
    drop(connection);

    let connection = pool.get().await.unwrap();

    let count: i64 = connection.query_one("select count(*) from t", &[]).await.unwrap().get(0);
    assert_eq!(count, 0);
    assert_eq!(backend(&connection).await, first, "rolled back, it is as good as before");
}

#[tokio::test]
async fn connection_returned_in_a_failed_transaction_is_replaced() {
    let database = postgres().await;
    let pool = pool(database.url(), small());
    let connection = pool.get().await.unwrap();
    let first = backend(&connection).await;
    connection.batch_execute("begin").await.unwrap();
    connection.batch_execute("select 1 / 0").await.unwrap_err();
    drop(connection);

    let connection = pool.get().await.unwrap();

    assert_ne!(backend(&connection).await, first);
    assert_eq!(pool.counts().closed.unfinished, 1);
}

#[tokio::test]
async fn transaction_of_the_driver_is_rolled_back_when_its_future_is_dropped() {
    let database = postgres().await;
    let pool = pool(database.url(), small());
    let mut connection = pool.get().await.unwrap();
    connection.batch_execute("create table t (a int)").await.unwrap();
    {
        let tx = connection.transaction().await.unwrap();
        tx.batch_execute("insert into t values (1)").await.unwrap();
    }
    drop(connection);

    let connection = pool.get().await.unwrap();

    let count: i64 = connection.query_one("select count(*) from t", &[]).await.unwrap().get(0);
    assert_eq!(count, 0);
}

#[tokio::test]
async fn query_abandoned_by_its_future_is_cancelled_on_the_server() {
    let database = postgres().await;
    let watch = database.client().await.unwrap();
    let pool = pool(database.url(), small());
    let connection = pool.get().await.unwrap();
    let first = backend(&connection).await;
    tokio::time::timeout(Duration::from_millis(50), connection.batch_execute("select pg_sleep(600)"))
        .await
        .unwrap_err();
    drop(connection);

    let connection = pool.get().await.unwrap();

    assert_ne!(backend(&connection).await, first);
    let gone = async {
        let sql = "select count(*) from pg_stat_activity where pid = $1 and query like '%pg_sleep%'";
        while watch.query_one(sql, &[&first]).await.unwrap().get::<_, i64>(0) > 0 {}
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the query ends");
}

#[tokio::test]
async fn returning_a_connection_leaves_no_trace_in_the_log() {
    let server = PostgresServer::launch().await.unwrap();
    let database = server.database().await.unwrap();
    let pool = pool(database.url(), small());

    for _ in 0..3 {
        backend(&pool.get().await.unwrap()).await;
    }
    pool.close().await;
    server.stop().await.unwrap();

    let log = server.log_end();
    assert!(log.contains("shut down") && !log.contains("WARNING") && !log.contains("ERROR"), "{log}");
}

#[tokio::test]
async fn overflow_connections_are_closed_on_the_server() {
    let database = postgres().await;
    let watch = database.client().await.unwrap();
    let pool = pool(database.url(), PoolConfig { size: 2, overflow: 3, ..PoolConfig::default() });
    let mut lent = Vec::new();
    for _ in 0..5 {
        let connection = pool.get().await.unwrap();
        backend(&connection).await;
        lent.push(connection);
    }
    let sql =
        "select count(*) from pg_stat_activity where application_name = 'tierkeep' and datname = current_database()";
    let count = async || watch.query_one(sql, &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!(count().await, 5);

    drop(lent);

    assert_eq!(settled(&pool).await, PoolStatus { idle: 2, in_use: 0, waiting: 0, max: 5 });
    let counts = pool.counts();
    assert_eq!((counts.made, counts.lent, counts.closed.overflow, counts.closed.total()), (5, 5, 3, 3));
    // The server's processes end a moment after their sockets.
    tokio::time::timeout(Duration::from_secs(20), async { while count().await > 2 {} }).await.expect("they end");
    pool.close().await;
    tokio::time::timeout(Duration::from_secs(20), async { while count().await > 0 {} }).await.expect("they end");
}

#[tokio::test]
async fn pool_survives_a_restart_of_the_server() {
    let server = PostgresServer::launch().await.unwrap();
    let database = server.database().await.unwrap();
    let pool = pool(database.url(), PoolConfig { size: 3, overflow: 0, ..PoolConfig::default() });
    let lent = [pool.get().await.unwrap(), pool.get().await.unwrap(), pool.get().await.unwrap()];
    for connection in &lent {
        backend(connection).await;
    }
    drop(lent);
    assert_eq!(settled(&pool).await.idle, 3);

    server.stop().await.unwrap();
    let error = pool.get().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    server.start().await.unwrap();

    let recovered = async {
        // The socket may appear a moment after the server says that it is ready.
        while pool.get().await.is_err() {}
        for _ in 0..4 {
            backend(&pool.get().await.unwrap()).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), recovered).await.expect("the pool recovers");
}

#[tokio::test]
async fn silent_server_is_found_by_the_ping_and_limited_by_connect_timeout() {
    let server = PostgresServer::shared().await.unwrap();
    let database = server.database().await.unwrap();
    let proxy = server.proxy().await.unwrap();
    let config = PoolConfig { connect_timeout: Duration::from_millis(200), ..small() };
    let pool = pool(&database.url_through(&proxy), config);
    backend(&pool.get().await.unwrap()).await;
    settled(&pool).await;

    proxy.set(Mode::Stall);
    let error = pool.get().await.unwrap_err();
    assert!(matches!(error, Error::ConnectTimeout { .. }), "{error}");

    proxy.set(Mode::Pass);
    backend(&pool.get().await.unwrap()).await;
}

#[tokio::test]
async fn connection_cut_while_idle_is_replaced() {
    let server = PostgresServer::shared().await.unwrap();
    let database = server.database().await.unwrap();
    let proxy = server.proxy().await.unwrap();
    let pool = pool(&database.url_through(&proxy), small());
    let first = backend(&pool.get().await.unwrap()).await;
    settled(&pool).await;

    proxy.set(Mode::Cut);
    proxy.set(Mode::Pass);

    assert_ne!(backend(&pool.get().await.unwrap()).await, first);
}

#[tokio::test]
async fn encryption_is_preferred_or_required_over_a_network_and_ignored_on_a_socket() {
    let server = PostgresServer::shared().await.unwrap();
    let database = server.database().await.unwrap();
    // The server answers that it cannot encrypt, as it always does on its socket.
    let proxy = ChaosProxy::on_tcp(Endpoint::Unix(server.directory().join(".s.PGSQL.5432"))).await.unwrap();
    let answers = async |authority: String, mode: &str| {
        let separator = if authority.contains('?') { '&' } else { '?' };
        let pool = pool(&format!("{authority}{separator}sslmode={mode}"), small());
        let connection = pool.get().await?;
        Ok::<i32, Error>(backend(&connection).await)
    };
    let network = || format!("postgres://postgres@{}/{}", proxy.address(), database.name());

    assert!(answers(network(), "disable").await.is_ok());
    assert!(answers(network(), "prefer").await.is_ok());
    assert!(matches!(
        answers(network(), "require").await,
        Err(Error::Unreachable { .. } | Error::TlsUnavailable { .. })
    ));
    assert!(answers(database.url().to_owned(), "require").await.is_ok());
}

#[tokio::test]
async fn unreachable_server_is_named_without_its_password() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("postgres://app:secret@/learning?host={}", directory.path().display());

    let error = pool(&url, small()).get().await.unwrap_err();

    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("app:***@") && !shown.contains("secret"), "{shown}");
}

#[tokio::test]
async fn statement_is_prepared_once_per_connection() {
    let database = postgres().await;
    let pool = pool(database.url(), small());
    let prepared = "select count(*) from pg_prepared_statements where statement like 'select $1::int%'";

    for round in 0..3 {
        let connection = pool.get().await.unwrap();
        let statement = connection.prepared("select $1::int").await.unwrap();
        let answer: i32 = connection.query_one(&statement, &[&round]).await.unwrap().get(0);
        assert_eq!(answer, round);
    }

    let connection = pool.get().await.unwrap();
    let count = async || connection.query_one(prepared, &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!(count().await, 1);
    connection.forget_prepared();
    assert_eq!(count().await, 0);
}

#[tokio::test]
async fn prepared_statements_are_bounded_and_the_used_one_stays() {
    let database = postgres().await;
    let pool = pool(database.url(), small());
    let connection = pool.get().await.unwrap();
    let kept = "select 'kept'";

    for number in 0..300 {
        connection.prepared(kept).await.unwrap();
        connection.prepared(&format!("values ({number})")).await.unwrap();
    }

    let rows = connection.query("select statement from pg_prepared_statements", &[]).await.unwrap();
    let texts: Vec<String> = rows.iter().map(|row| row.get(0)).filter(|text: &String| !text.contains("pg_")).collect();
    assert_eq!(texts.len(), 256);
    assert!(texts.iter().any(|text| text == kept));
}

#[tokio::test]
async fn size_of_zero_is_refused() {
    let url = "postgres://app@h/d".parse().unwrap();

    let error = Pool::new(&url, PoolConfig { size: 0, ..PoolConfig::default() }).unwrap_err();

    assert!(matches!(error, Error::InvalidSetting { setting: "size", .. }));
}

/// P-D1 on a real server: many callers, some of which give up at any moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounds_hold_under_callers_that_give_up() {
    let database = postgres().await;
    let pool = pool(database.url(), PoolConfig { size: 2, overflow: 2, ..PoolConfig::default() });
    let callers: Vec<_> = (0..200_u64)
        .map(|number| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let work = async {
                    let connection = pool.get().await.unwrap();
                    let status = pool.status();
                    assert!(status.in_use + status.idle <= 5, "{status:?}");
                    connection.query_one("select pg_sleep(0.002)", &[]).await.unwrap();
                };
                let patience = if number % 3 == 0 { number * 500 } else { 30_000_000 };
                let _ = tokio::time::timeout(Duration::from_micros(patience), work).await;
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }

    let status = settled(&pool).await;

    assert!(status.idle <= 2, "{status:?}");
    assert_eq!(status.waiting, 0);
    pool.close().await;
    assert!(matches!(pool.get().await, Err(Error::Closed)));
}
