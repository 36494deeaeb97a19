//! A private PostgreSQL is isolated per test, survives what it should and ends with its process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, bail};
use tierkeep_testkit::{DatabaseClient, Durability, PostgresServer, SearchPath};

async fn migrate_notes(url: String) -> Result<()> {
    let client = DatabaseClient::connect(&url).await?;
    client.batch_execute("create table notes (body text)").await?;
    Ok(())
}

async fn notes(client: &DatabaseClient) -> i64 {
    client.query_one("select count(*) from notes", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn databases_of_two_tests_do_not_see_each_other() {
    let server = PostgresServer::shared().await.unwrap();
    let first = server.database_from("apart", migrate_notes).await.unwrap();
    let second = server.database_from("apart", migrate_notes).await.unwrap();

    first.client().await.unwrap().execute("insert into notes values ('x')", &[]).await.unwrap();

    assert_eq!(notes(&first.client().await.unwrap()).await, 1);
    assert_eq!(notes(&second.client().await.unwrap()).await, 0);
}

#[tokio::test]
async fn fresh_database_is_empty() {
    let database = PostgresServer::shared().await.unwrap().database().await.unwrap();
    let client = database.client().await.unwrap();

    let tables: i64 =
        client.query_one("select count(*) from pg_tables where schemaname = 'public'", &[]).await.unwrap().get(0);

    assert_eq!(tables, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn template_is_migrated_once_for_tests_that_start_together() {
    let server = PostgresServer::shared().await.unwrap();
    let migrations = Arc::new(AtomicU32::new(0));
    let tests: Vec<_> = (0..8)
        .map(|_| {
            let migrations = Arc::clone(&migrations);
            tokio::spawn(server.database_from("together", async move |url| {
                migrations.fetch_add(1, Ordering::Relaxed);
                migrate_notes(url).await
            }))
        })
        .collect();

    for test in tests {
        let database = test.await.unwrap().unwrap();
        assert_eq!(notes(&database.client().await.unwrap()).await, 0);
    }

    assert_eq!(migrations.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn template_is_made_again_after_a_failed_migration() {
    let server = PostgresServer::shared().await.unwrap();
    let failed = server
        .database_from("second_try", async |url| {
            migrate_notes(url).await?;
            bail!("half-way")
        })
        .await;

    let database = server.database_from("second_try", migrate_notes).await.unwrap();

    assert!(failed.is_err());
    assert_eq!(notes(&database.client().await.unwrap()).await, 0);
}

#[tokio::test]
async fn template_with_a_connection_left_open_is_copied() {
    let server = PostgresServer::shared().await.unwrap();
    let mut left_open = None;

    let database = server
        .database_from("left_open", async |url| {
            let client = DatabaseClient::connect(&url).await?;
            client.batch_execute("create table notes (body text)").await?;
            left_open = Some(client);
            Ok(())
        })
        .await
        .unwrap();

    assert_eq!(notes(&database.client().await.unwrap()).await, 0);
}

#[tokio::test]
async fn database_of_a_finished_test_is_dropped_by_the_next() {
    let server = PostgresServer::launch().await.unwrap();
    let finished = server.database().await.unwrap().name().to_owned();

    let next = server.database().await.unwrap();

    let left: i64 = next
        .client()
        .await
        .unwrap()
        .query_one("select count(*) from pg_database where datname = $1", &[&finished])
        .await
        .unwrap()
        .get(0);
    assert_eq!(left, 0);
}

#[tokio::test]
async fn template_name_that_would_need_quotes_is_refused() {
    let server = PostgresServer::shared().await.unwrap();

    let refused = server.database_from("Notes; drop", migrate_notes).await;

    assert!(refused.unwrap_err().to_string().contains("only a-z and _"));
}

#[tokio::test]
async fn restarted_server_keeps_its_rows_and_breaks_its_connections() {
    let server = PostgresServer::launch().await.unwrap();
    let database = server.database_from("kept", migrate_notes).await.unwrap();
    let before = database.client().await.unwrap();
    before.execute("insert into notes values ('x')", &[]).await.unwrap();

    server.restart().await.unwrap();

    assert!(before.query_one("select 1", &[]).await.is_err());
    assert_eq!(notes(&database.client().await.unwrap()).await, 1);
}

#[tokio::test]
async fn server_that_waits_for_its_log_keeps_commits_when_it_is_killed() {
    let server = PostgresServer::builder().setting("synchronous_commit", "on").launch().await.unwrap();
    let database = server.database_from("killed", migrate_notes).await.unwrap();
    let before = database.client().await.unwrap();
    before.execute("insert into notes values ('x')", &[]).await.unwrap();

    server.kill9().await.unwrap();
    let while_down = database.client().await;
    server.start().await.unwrap();

    assert!(while_down.is_err());
    assert!(server.log_end().contains("recovery"), "{}", server.log_end());
    assert_eq!(notes(&database.client().await.unwrap()).await, 1);
}

#[tokio::test]
async fn durable_server_has_the_defaults_of_postgres() {
    let server = PostgresServer::builder().durability(Durability::Full).launch().await.unwrap();
    let client = DatabaseClient::connect(&server.url("postgres")).await.unwrap();

    let changed: i64 = client
        .query_one(
            "select count(*) from pg_settings where setting <> boot_val
             and name in ('fsync', 'synchronous_commit', 'full_page_writes')",
            &[],
        )
        .await
        .unwrap()
        .get(0);

    assert_eq!(changed, 0);
}

#[tokio::test]
async fn stopped_server_has_no_process() {
    let server = PostgresServer::launch().await.unwrap();

    server.stop().await.unwrap();

    assert_eq!(server.pid(), None);
}

#[tokio::test]
async fn dropped_server_removes_its_directory() {
    let server = PostgresServer::launch().await.unwrap();
    let directory = server.directory().to_owned();

    drop(server);

    assert!(!directory.exists());
}

#[tokio::test]
async fn refused_setting_is_reported_with_the_servers_words() {
    let error = PostgresServer::builder().setting("max_connections", "many").launch().await.unwrap_err();

    assert!(error.to_string().contains("invalid value for parameter \"max_connections\""), "{error}");
}

#[tokio::test]
async fn missing_server_fails_with_the_line_that_installs_it() {
    let error = PostgresServer::builder().search_path(SearchPath::new([])).launch().await.unwrap_err();

    assert!(error.to_string().contains("apt-get install postgresql"), "{error}");
}

#[tokio::test]
async fn standby_follows_its_server_and_only_reads() {
    let server = PostgresServer::builder().setting("synchronous_standby_names", "standby").launch().await.unwrap();
    let database = server.database_from("followed", migrate_notes).await.unwrap();
    let standby = server.standby().await.unwrap();

    let applied = "set synchronous_commit = remote_apply; insert into notes values ('x')";
    database.client().await.unwrap().batch_execute(applied).await.unwrap();

    let reader = DatabaseClient::connect(&standby.url(database.name())).await.unwrap();
    let refused = reader.execute("insert into notes values ('y')", &[]).await.unwrap_err();
    assert_eq!(notes(&reader).await, 1);
    assert!(refused.as_db_error().unwrap().message().contains("read-only"), "{refused:?}");
}
