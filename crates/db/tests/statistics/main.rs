//! The statistics readers on real databases, with few rights, and with views as other versions have them.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod counted;
mod indexes;
mod queries;
mod tables;

use tierkeep_testkit::{DatabaseClient, PostgresServer, TestDatabase};

/// A database of its own on the server of this test process.
async fn postgres() -> TestDatabase {
    PostgresServer::shared().await.unwrap().database().await.unwrap()
}

/// A client that is a role with few rights from here on.
async fn as_nobody(database: &TestDatabase, role: &str) -> DatabaseClient {
    let client = database.client().await.unwrap();
    client.batch_execute(&format!("create role {role}; set role {role}")).await.unwrap();
    client
}
