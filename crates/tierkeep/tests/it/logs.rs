//! The log of a node: every line says under which request it was written, a slow read says why, and nobody's secret is told.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tierkeep::config::{Log as LogConfig, LogFormat};
use tierkeep_db::Dialect;
use tierkeep_testkit::{Mode, PostgresServer, RedisServer};
use tracing::dispatcher::DefaultGuard;

use crate::fixture::{ADA, Answer, BOB};
use crate::node::{Installation, Node, PATIENCE, on_both};

on_both!(
    a_request_has_one_id_everywhere,
    an_answer_has_its_line_at_debug,
    nobodys_secret_is_logged,
    what_is_computed_from_rows_says_so,
);

/// What a test has logged in its thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

/// Until it is dropped what this thread does is logged.
struct Listening {
    _listening: DefaultGuard,
    _turn: MutexGuard<'static, ()>,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// Logs what this thread does until the guard is dropped. One test at a time: `tracing` remembers of each place in the code
    /// whether anybody listens, for all threads, and a place that another thread meets first meanwhile may be missed.
    fn begin(filter: &str, format: LogFormat) -> (Self, Listening) {
        static ONE: Mutex<()> = Mutex::new(());
        static SOMEBODY: Once = Once::new();
        let turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        // where somebody listens always, no place is taken for one that nobody listens to
        SOMEBODY.call_once(|| {
            let config = LogConfig { filter: "warn,tierkeep=debug".to_owned(), ..LogConfig::default() };
            let listener = tierkeep::log::dispatch(&config, false, std::io::sink);
            tracing::dispatcher::set_global_default(listener).expect("no other test listens for all");
        });
        let lines = Self::default();
        let config = LogConfig { filter: filter.to_owned(), format, ..LogConfig::default() };
        let writer = lines.clone();
        let dispatch = tierkeep::log::dispatch(&config, false, move || writer.clone());
        let listening = tracing::dispatcher::set_default(&dispatch);
        tracing::callsite::rebuild_interest_cache();
        (lines, Listening { _listening: listening, _turn: turn })
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn objects(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }

    /// The one line about a slow read under a request.
    fn slow(&self, id: &str) -> Value {
        let of = |line: &Value| line["target"] == "tierkeep::slow" && line["request_id"] == id;
        let lines: Vec<Value> = self.objects().into_iter().filter(of).collect();
        assert_eq!(lines.len(), 1, "{lines:#?}\n{}", self.text());
        lines.into_iter().next().unwrap()
    }
}

async fn read(node: &Node, id: &str, address: &str) -> Answer {
    node.send(Request::get(address).header("x-request-id", id).body(Body::empty()).unwrap()).await
}

fn daily() -> String {
    format!("/v1/users/{ADA}/stats/daily?date=2026-01-30")
}

/// A node whose way to PostgreSQL and Redis leads through what a test can slow down.
async fn slowed(installation: &Installation, redis: Option<&str>) -> (Node, tierkeep_testkit::ChaosProxy) {
    let Installation::Postgres(database) = installation else { panic!("PostgreSQL was asked for") };
    let proxy = PostgresServer::shared().await.unwrap().proxy().await.unwrap();
    let node = Node::patient(&database.url_through(&proxy), redis).await;
    (node, proxy)
}

async fn a_request_has_one_id_everywhere(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.node(None).await;
    for format in [LogFormat::Text, LogFormat::Json] {
        let (lines, _guard) = Lines::begin("info", format);

        let given = read(&node, "client-1.A_z", &daily()).await;
        let made = read(&node, "no id: @", &daily()).await;

        assert_eq!(given.header("x-request-id"), "client-1.A_z");
        let id = made.header("x-request-id").to_owned();
        assert!(id.len() == 13 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        for id in ["client-1.A_z", &id] {
            let shown = match format {
                LogFormat::Text => format!(" request_id={id}"),
                LogFormat::Json => format!(",\"request_id\":\"{id}\"}}"),
            };
            let found = lines.text().lines().filter(|line| line.ends_with(&shown)).count();
            assert_eq!(found, 1, "{id}\n{}", lines.text());
        }
    }
    let problem = read(&node, "p", "/nowhere").await;
    assert_eq!((problem.status, problem.header("x-request-id")), (StatusCode::NOT_FOUND, "p"));
}

async fn an_answer_has_its_line_at_debug(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.node(None).await;
    node.get(&daily()).await;
    let (lines, _guard) = Lines::begin("warn,tierkeep::access=debug", LogFormat::Json);

    read(&node, "r", &daily()).await;

    let of = |line: &Value| line["target"] == "tierkeep::access";
    let line = lines.objects().into_iter().find(of).unwrap_or_else(|| panic!("{}", lines.text()));
    assert!(line["duration_ms"].as_f64().is_some_and(|time| time > 0.0), "{line}");
    for (field, value) in [
        ("level", json!("DEBUG")),
        ("method", json!("GET")),
        ("route", json!("/v1/users/{id}/stats/daily")),
        ("status", json!(200)),
        ("tier", json!("l1")),
        ("request_id", json!("r")),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
}

async fn nobodys_secret_is_logged(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    installation.run("update users set username = 'Planted Name ' || id, email = 'planted@secret.example' || id").await;
    let redis = RedisServer::launch().await.unwrap();
    let (lines, _guard) = Lines::begin("trace", LogFormat::Json);
    let node = installation.node(Some(&redis.url())).await;
    let token = format!("tk_{}", "Planted".repeat(7));
    let headers = |request: axum::http::request::Builder| {
        let request = request.header("authorization", format!("Bearer {token}"));
        request.header("x-request-id", "planted@secret.example").header("content-type", "application/json")
    };

    for address in [
        daily(),
        format!("/v1/users/{BOB}/analytics"),
        format!("/v1/users/{ADA}/export"),
        "/v1/users".to_owned(),
        "/v1/users/planted@secret.example/streaks".to_owned(),
        format!("/v1/users/{ADA}/streaks?email=planted@secret.example&token={token}"),
        "/planted@secret.example".to_owned(),
    ] {
        node.send(headers(Request::get(address)).body(Body::empty()).unwrap()).await;
    }
    let body = json!({ "user_id": ADA, "notes": "planted@secret.example", "content_covered": "Planted Name" });
    node.send(headers(Request::post("/v1/sessions")).body(body.to_string().into()).unwrap()).await;
    node.send(headers(Request::post("/v1/stats/batch")).body("planted@secret.example".into()).unwrap()).await;

    let text = lines.text();
    assert!(text.lines().count() > 8, "something was logged: {text}");
    for secret in ["Planted", "planted", "secret.example"] {
        let told: Vec<&str> = text.lines().filter(|line| line.contains(secret)).collect();
        assert!(told.is_empty(), "{secret}: {told:#?}");
    }
}

async fn what_is_computed_from_rows_says_so(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.node(None).await;
    let (lines, _guard) = Lines::begin("warn", LogFormat::Json);

    read(&node, "rows", &format!("/v1/users/{ADA}/courses/summary")).await;

    let line = lines.slow("rows");
    // on a busy machine its turn may have taken longer than the rows
    let cause = if line["budget_ms"].as_u64() > line["database_ms"].as_u64() { "budget_wait" } else { "rows" };
    assert_eq!((&line["cause"], &line["tier"]), (&json!(cause), &json!("miss")), "{line}");
    assert_eq!(
        (&line["statistic"], &line["learner"], &line["level"]),
        (&json!("courses"), &json!(ADA), &json!("WARN"))
    );
}

#[tokio::test]
async fn a_slow_database_and_a_fold_are_told_apart() {
    let installation = Installation::new(Dialect::Postgres).await;
    let (node, proxy) = slowed(&installation, None).await;
    let (lines, _guard) = Lines::begin("warn", LogFormat::Json);
    proxy.set(Mode::Delay(Duration::from_millis(15)));

    read(&node, "database", &daily()).await;
    read(&node, "memory", &daily()).await;
    installation.run("update study_sessions set duration_minutes = duration_minutes + 1").await;
    read(&node, "fold", &format!("/v1/users/{ADA}/streaks")).await;

    let database = lines.slow("database");
    assert_eq!((&database["cause"], &database["tier"]), (&json!("database"), &json!("l3")), "{database}");
    assert!(database["database_ms"].as_u64() >= Some(15) && database["fold_ms"].is_null(), "{database}");
    assert_eq!(lines.slow("memory")["cause"], "busy");
    let fold = lines.slow("fold");
    assert_eq!((&fold["cause"], &fold["folded_learners"]), (&json!("fold"), &json!(1)), "{fold}");
    assert!(fold["folded_rows"].as_u64() >= Some(1) && fold["fold_ms"].as_u64() >= Some(15), "{fold}");
}

#[tokio::test]
async fn redis_that_is_slow_or_silent_is_told() {
    let installation = Installation::new(Dialect::Postgres).await;
    let redis = RedisServer::launch().await.unwrap();
    let proxy = redis.proxy().await.unwrap();
    installation.node(Some(&redis.url())).await.get(&daily()).await;
    let node = installation.node(Some(&redis.url_through(&proxy))).await;
    let (lines, _guard) = Lines::begin("warn", LogFormat::Json);

    proxy.set(Mode::Delay(Duration::from_millis(30)));
    read(&node, "slow", &daily()).await;
    proxy.set(Mode::Stall);
    let answer = read(&node, "silent", &format!("/v1/users/{ADA}/streaks")).await;

    let slow = lines.slow("slow");
    assert_eq!((&slow["cause"], &slow["tier"]), (&json!("redis"), &json!("l2")), "{slow}");
    assert!(slow["redis_ms"].as_u64() >= Some(30), "{slow}");
    let silent = lines.slow("silent");
    assert_eq!((answer.status, &silent["cause"]), (StatusCode::OK, &json!("redis_timeout")), "{silent}");
}

#[tokio::test]
async fn a_wait_for_another_node_is_told() {
    let installation = Installation::new(Dialect::Postgres).await;
    let redis = RedisServer::launch().await.unwrap();
    let (slow, proxy) = slowed(&installation, Some(&redis.url())).await;
    let quick = installation.node(Some(&redis.url())).await;
    let (lines, _guard) = Lines::begin("warn", LogFormat::Json);
    proxy.set(Mode::Delay(Duration::from_millis(100)));

    let (first, address) = (daily(), daily());
    let loads = || slow.app().tiers.state().unwrap().cache.loads_running;
    let behind = async {
        let begun = async {
            while loads() == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, begun).await.expect("the slow node computes");
        read(&quick, "waiting", &address).await
    };
    let (_, answer) = tokio::join!(read(&slow, "loading", &first), behind);

    let line = lines.slow("waiting");
    assert_eq!((answer.header("x-cache"), &line["cause"]), ("l2", &json!("lease_wait")), "{line}");
    assert!(line["lease_ms"].as_u64() > line["redis_ms"].as_u64(), "{line}");
    assert_eq!(lines.slow("loading")["cause"], "database");
}

#[tokio::test]
async fn a_feed_that_is_behind_is_told() {
    let installation = Installation::new(Dialect::Postgres).await;
    let node = installation.node(None).await;
    node.until_tier(&daily(), "l1").await;
    let held = installation.hold("lock table tierkeep_feed in access exclusive mode").await;
    node.until_tier(&daily(), "l3").await;
    let (lines, _guard) = Lines::begin("warn", LogFormat::Json);

    // lines are few a second, and the wait has used some up
    let telling = async {
        loop {
            read(&node, "behind", &daily()).await;
            if let Some(line) = lines.objects().into_iter().find(|line| line["request_id"] == "behind") {
                return line;
            }
        }
    };
    let line = tokio::time::timeout(Duration::from_secs(20), telling).await.unwrap();
    assert_eq!(line["cause"], "bypass", "{line}");
    assert!(line["behind_ms"].as_u64() >= Some(900), "{line}");
    drop(held);
}
