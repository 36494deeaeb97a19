//! Remote tiers and buses: one contract for all, and Redis when things go wrong.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod bus_contract;
mod deployments;
mod faults;
mod foreign;
mod tier_contract;

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use tierkeep_cache::redis::{Redis, RedisConfig};
use tierkeep_testkit::RedisServer;

/// What an answer may come late by: these machines are busy.
const MARGIN: Duration = Duration::from_secs(5);

/// A private server, our handle to it, and a plain connection.
struct World {
    _server: RedisServer,
    redis: Redis,
    raw: MultiplexedConnection,
}

impl World {
    async fn new() -> Self {
        Self::on(RedisServer::launch().await.unwrap()).await
    }

    async fn on(server: RedisServer) -> Self {
        let redis = Redis::connect(RedisConfig::new(&server.url()).unwrap().prefix("p")).await.unwrap();
        let raw = raw(&server).await;
        Self { _server: server, redis, raw }
    }

    /// Runs a command and drops its answer.
    async fn run(&self, command: &[&[u8]]) {
        run(&self.raw, command).await;
    }
}

/// A plain connection, without the client's own time limits.
async fn raw(server: &RedisServer) -> MultiplexedConnection {
    let patient = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    Client::open(server.url()).unwrap().get_multiplexed_async_connection_with_config(&patient).await.unwrap()
}

async fn run(raw: &MultiplexedConnection, command: &[&[u8]]) -> redis::Value {
    ask(command).query_async(&mut raw.clone()).await.unwrap()
}

fn ask(command: &[&[u8]]) -> redis::Cmd {
    let mut words = redis::Cmd::new();
    command.iter().for_each(|word| _ = words.arg(*word));
    words
}

/// The documented name of a part of an entry.
fn entry_name(part: &str, key: &tierkeep_cache::remote::RemoteKey) -> Vec<u8> {
    [format!("p:{part}:{{k").as_bytes(), key.as_bytes(), b"}"].concat()
}

/// The documented name of a tag's record.
fn tag_name(tag: tierkeep_cache::TagId) -> Vec<u8> {
    format!("p:t:{tag}").into_bytes()
}
