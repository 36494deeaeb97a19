//! Two nodes on one PostgreSQL and one Redis, each of which fails while everybody goes on.

use std::time::Duration;

use tierkeep_testkit::{ChaosProxy, DatabaseClient, Mode, PostgresServer, RedisServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::history::{EMPTIED, History, PATIENCE, Trouble};
use crate::node::Node;
use crate::readers::{self, QUIET, WRITTEN, addresses};
use crate::writers::{self, Manner, ROWS_OF_POSTGRES, note_first};

/// How long the network pauses.
const PAUSE: Duration = Duration::from_secs(5);

struct World {
    server: PostgresServer,
    redis: RedisServer,
    to_database: ChaosProxy,
    to_redis: ChaosProxy,
    url: String,
    nodes: [Node; 2],
    history: History,
}

impl World {
    async fn new() -> Self {
        // a commit that was acknowledged survives the server's death, as anywhere
        let server = PostgresServer::builder().setting("synchronous_commit", "on").launch().await.unwrap();
        let redis = RedisServer::launch().await.unwrap();
        let database = server.database().await.unwrap();
        let (to_database, to_redis) = (server.proxy().await.unwrap(), redis.proxy().await.unwrap());
        let url = database.url().to_owned();
        tierkeep(&["migrate", "--ids", "int", "--database", &url]).await;
        let client = DatabaseClient::connect(&url).await.unwrap();
        client.batch_execute(ROWS_OF_POSTGRES).await.unwrap();
        let history = History::default();
        note_first(&history);
        let nodes = [
            Node::start(&database.url_through(&to_database), Some(&redis.url()), "2026-01-31T14:00:00Z").await,
            // its clock is an hour ahead
            Node::start(&url, Some(&redis.url_through(&to_redis)), "2026-01-31T15:00:00Z").await,
        ];
        Self { server, redis, to_database, to_redis, url, nodes, history }
    }

    /// Both nodes keep again what they answer, without anybody's help.
    async fn recovered(&self, what: &str) {
        readers::some_reads(&self.history).await;
        for node in &self.nodes {
            node.until(&addresses(QUIET)[0], |tier| tier == "l1").await;
        }
        println!("{what}: recovered; {:?}", self.history.totals());
    }

    async fn run(&self, sql: &str) {
        DatabaseClient::connect(&self.url).await.unwrap().batch_execute(sql).await.unwrap();
    }

    async fn kill(&self, node: usize) {
        self.history.trouble_begins(node..=node, Trouble::Gone);
        self.nodes[node].kill9();
        self.nodes[node].run().await;
        self.history.trouble_ends();
        self.recovered("a node was killed").await;
    }

    async fn break_everything(&self) {
        let history = &self.history;
        history.phase("the beginning");
        self.recovered("the beginning").await;

        history.phase("Redis was emptied");
        flush(&self.redis).await;
        self.recovered("Redis was emptied").await;

        history.phase("Redis was killed");
        self.redis.kill9().await.unwrap();
        self.recovered("Redis was killed").await;
        self.redis.start().await.unwrap();
        self.recovered("Redis was started").await;

        history.phase("a node was killed");
        self.kill(0).await;
        self.kill(1).await;

        history.phase("PostgreSQL was restarted");
        history.trouble_begins(0..=1, Trouble::Database);
        self.server.restart().await.unwrap();
        history.trouble_ends();
        self.recovered("PostgreSQL was restarted").await;

        history.phase("PostgreSQL was killed");
        history.trouble_begins(0..=1, Trouble::Database);
        self.server.kill9().await.unwrap();
        for node in &self.nodes {
            // 503 if the restart before was noticed once more in between: what was kept is known to be old then
            node.until(&addresses(QUIET)[0], |tier| matches!(tier, "stale" | "")).await;
        }
        readers::some_reads(history).await;
        self.server.start().await.unwrap();
        history.trouble_ends();
        self.recovered("PostgreSQL was killed").await;

        history.phase("a node was cut off from PostgreSQL");
        history.trouble_begins(0..=0, Trouble::Database);
        self.pause(&self.to_database).await;
        history.trouble_ends();
        self.recovered("a node was cut off from PostgreSQL").await;

        history.phase("a node was cut off from Redis");
        self.pause(&self.to_redis).await;
        self.recovered("a node was cut off from Redis").await;

        history.phase("a trigger was dropped");
        self.run("drop trigger tierkeep_update on study_sessions").await;
        for node in &self.nodes {
            node.until(&addresses(QUIET)[0], |tier| tier == "miss").await;
        }
        tierkeep(&["migrate", "--database", &self.url]).await;
        self.recovered("a trigger was dropped and put back").await;

        history.phase(EMPTIED);
        for _ in 0..3 {
            // it waits for writers, and everybody else waits for it
            history.trouble_begins(0..=1, Trouble::Database);
            self.run("truncate tierkeep_outbox").await;
            history.trouble_ends();
            readers::some_reads(history).await;
        }
        self.recovered(EMPTIED).await;
    }

    /// Nothing passes, and nobody is told so.
    async fn pause(&self, proxy: &ChaosProxy) {
        proxy.set(Mode::Stall);
        tokio::time::timeout(PAUSE, std::future::pending::<()>()).await.unwrap_err();
        proxy.set(Mode::Pass);
    }
}

/// Empties Redis, as somebody does who wants room.
async fn flush(redis: &RedisServer) {
    let mut stream = tokio::net::UnixStream::connect(redis.socket()).await.unwrap();
    stream.write_all(b"FLUSHALL\r\n").await.unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"+OK\r\n");
}

/// Runs the binary to its end.
async fn tierkeep(arguments: &[&str]) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tierkeep"));
    let directory = tempfile::tempdir().unwrap();
    command.args(arguments).current_dir(directory.path());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_serve_nothing_old_whatever_fails() {
    let world = World::new().await;
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    for (node, process) in world.nodes.iter().enumerate() {
        readers::start(&mut tasks, node, process.host(), &world.history, &stop);
    }
    for (users, manner) in [([1, 2], Manner::Single), ([3, 4], Manner::Long)] {
        writers::on_postgres(&mut tasks, world.url.clone(), users, manner, &world.history, &stop);
    }
    // by the node that is not cut off: what it cannot finish does not come to life later
    writers::by_api(&mut tasks, world.nodes[1].host(), world.nodes[0].host(), &world.history, &stop);

    world.break_everything().await;
    stop.cancel();
    while let Some(ended) = tokio::time::timeout(PATIENCE, tasks.join_next()).await.expect("all end") {
        ended.unwrap();
    }

    let (totals, violations) = (world.history.totals(), world.history.violations());
    println!("{totals:?}");
    let logs: Vec<String> = world.nodes.iter().map(Node::log).collect();
    assert!(violations.is_empty(), "{} broken\n{}\n{}", violations.len(), head(&violations), logs.join("\n---\n"));
    // nobody sees everything at once: the same reads break a promise that was not given
    assert!(!world.history.violations_of(Duration::ZERO).is_empty(), "the checker would have found nothing old");
    for (what, least) in [
        ("l1", 100),
        ("l2", 20),
        ("l3", 200),
        ("miss", 5),
        ("stale", 5),
        ("writes", 300),
        ("own writes on its node", 10),
        ("own writes with its position", 5),
    ] {
        let times = totals.get(what).copied().unwrap_or(0);
        assert!(times >= least, "a run with {times} of {what} proves nothing: {totals:?}");
    }
    // all nodes agree with the rows
    let client = DatabaseClient::connect(&world.url).await.unwrap();
    for user in WRITTEN {
        let row = client.query_one("select duration_minutes from study_sessions where user_id = $1", &[&user]).await;
        let minutes = u64::try_from(row.unwrap().get::<_, i32>(0)).unwrap();
        for (index, node) in world.nodes.iter().enumerate() {
            node.until(&addresses(QUIET)[0], |tier| tier == "l1").await;
            for address in addresses(user) {
                let seen = readers::ask(index, user, address.clone(), &node.host(), &world.history).await;
                assert_eq!(seen, Some(minutes), "{address} of node {index}");
            }
        }
    }
}

pub(crate) fn head(violations: &[String]) -> String {
    violations.iter().take(6).cloned().collect::<Vec<_>>().join("\n")
}
