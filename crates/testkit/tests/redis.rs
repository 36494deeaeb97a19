//! A private Redis is empty, forgets, hangs and comes back as told.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, AsyncConnectionConfig, Client};
use tierkeep_testkit::{RedisServer, SearchPath};

/// Connects without the client's own time limits: a test says how long it waits.
async fn connect(server: &RedisServer) -> MultiplexedConnection {
    let patient = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    Client::open(server.url()).unwrap().get_multiplexed_async_connection_with_config(&patient).await.unwrap()
}

#[tokio::test]
async fn two_servers_do_not_see_each_other() {
    let first = RedisServer::launch().await.unwrap();
    let second = RedisServer::launch().await.unwrap();

    let _: () = connect(&first).await.set("key", 1).await.unwrap();

    let seen: Option<u32> = connect(&second).await.get("key").await.unwrap();
    assert_eq!(seen, None);
}

#[tokio::test]
async fn restarted_server_has_forgotten() {
    let server = RedisServer::launch().await.unwrap();
    let _: () = connect(&server).await.set("key", 1).await.unwrap();

    server.restart().await.unwrap();

    let left: Option<u32> = connect(&server).await.get("key").await.unwrap();
    assert_eq!(left, None);
}

#[tokio::test]
async fn killed_server_breaks_its_connections_and_starts_again() {
    let server = RedisServer::launch().await.unwrap();
    let mut before = connect(&server).await;

    server.kill9().await.unwrap();
    let broken: redis::RedisResult<()> = before.set("key", 1).await;
    server.start().await.unwrap();

    assert!(broken.is_err());
    let _: () = connect(&server).await.set("key", 1).await.unwrap();
}

#[tokio::test]
async fn paused_server_answers_after_it_resumes() {
    let server = RedisServer::launch().await.unwrap();
    let mut connection = connect(&server).await;
    server.pause().await.unwrap();
    let mut request = std::pin::pin!(connection.set::<_, _, ()>("key", 1));

    let while_paused = tokio::time::timeout(Duration::from_millis(50), request.as_mut()).await;
    server.resume().await.unwrap();

    assert!(while_paused.is_err());
    request.await.unwrap();
}

#[tokio::test]
async fn paused_server_can_be_dropped() {
    let server = RedisServer::launch().await.unwrap();
    let directory = server.directory().to_owned();
    server.pause().await.unwrap();

    drop(server);

    assert!(!directory.exists());
}

#[tokio::test]
async fn stopped_server_cannot_be_paused() {
    let server = RedisServer::launch().await.unwrap();
    server.stop().await.unwrap();

    let refused = server.pause().await;

    assert!(refused.unwrap_err().to_string().contains("no server"));
    assert_eq!(server.pid(), None);
}

#[tokio::test]
async fn refused_setting_is_reported_with_the_servers_words() {
    let error = RedisServer::builder().setting("no-such-setting", "1").launch().await.unwrap_err();

    assert!(error.to_string().contains("no-such-setting"), "{error}");
}

#[tokio::test]
async fn missing_server_fails_with_the_line_that_installs_it() {
    let error = RedisServer::builder().search_path(SearchPath::new([])).launch().await.unwrap_err();

    assert!(error.to_string().contains("apt-get install redis-server"), "{error}");
}
