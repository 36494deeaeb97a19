//! API tokens, from the command line to the answer: who is let in where, and for how long.

use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tierkeep::access::{Access, Reach, hash};
use tierkeep::clock::Clock;
use tierkeep::config::{ByteSize, Config};
use tierkeep::http::{Api, App, Limits, api, openapi};
use tierkeep::tiers::Tiers;
use tierkeep_db::Dialect;
use tierkeep_learning::service::Statistics;
use tierkeep_learning::store::{NewToken, OpenMode, OpenOptions, Scope, Store, open};
use tokio_util::sync::CancellationToken;

use crate::fixture::{ADA, Answer, Fixture, NOW, ask, instant, options, run, tierkeep, told};
use crate::node::{Installation, on_both};
use crate::serve::{signal, start};

on_both!(
    a_token_opens_what_its_scope_covers,
    a_revocation_holds_on_every_node_once_it_has_read_the_tokens,
    a_node_that_stood_still_reads_the_tokens_before_it_admits_anybody,
    the_last_known_tokens_count_while_the_database_is_away,
    where_others_reach_the_node_nothing_is_ever_open,
    a_token_ends_with_its_time_and_opens_nothing_by_that,
    the_use_of_a_token_is_noted,
    commands_make_list_and_revoke_tokens_that_a_running_node_takes,
);

/// A node with tokens, over a store of its own.
struct Guarded {
    app: Arc<App>,
}

impl Guarded {
    async fn start(installation: &Installation, reach: Reach) -> Self {
        Self::at(installation, reach, NOW).await
    }

    async fn at(installation: &Installation, reach: Reach, now: &str) -> Self {
        let mode = OpenMode::Existing;
        let store = open(&installation.url().parse().unwrap(), &OpenOptions { mode, ..options() }).await.unwrap();
        let access = Access::load(Arc::clone(&store), reach).await.unwrap();
        let tiers = Tiers::unkept(Statistics::new(store, Config::default().days));
        let limits = Limits { body: ByteSize::bytes(64 * 1024), timeout: Duration::from_secs(30) };
        Self { app: Arc::new(App::new(tiers, access, Clock::Fixed(instant(now)), limits)) }
    }

    fn store(&self) -> &Arc<dyn Store> {
        self.app.tiers.statistics().store()
    }

    /// Makes a token whose secret is `secret`, and lets this node know.
    async fn make(&self, secret: &str, scope: Scope, expires_at: Option<&str>) {
        let new = NewToken {
            name: secret.parse().unwrap(),
            hash: hash(secret),
            scope,
            created_at: instant(NOW),
            expires_at: expires_at.map(instant),
        };
        self.store().create_token(new).await.unwrap();
        self.app.access.refresh().await.unwrap();
    }

    fn api(&self) -> Api {
        api(Arc::clone(&self.app))
    }

    async fn ask(&self, method: Method, address: &str, authorization: Option<&str>) -> Answer {
        let mut request = Request::builder().method(method).uri(address).header("content-type", "application/json");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        ask(self.api(), request.body(Body::from("{}")).unwrap()).await
    }

    async fn get(&self, secret: Option<&str>) -> u16 {
        let authorization = secret.map(|secret| format!("Bearer {secret}"));
        self.ask(Method::GET, "/v1/stats/global", authorization.as_deref()).await.status.as_u16()
    }
}

fn assert_problem(answer: &Answer, status: u16, kind: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.json()["type"], format!("urn:tierkeep:problem:{kind}"));
    assert!(answer.header("www-authenticate").starts_with("Bearer"));
}

async fn a_token_opens_what_its_scope_covers(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = Guarded::start(&installation, Reach::Loopback).await;
    let addresses = [
        (Method::GET, "/v1/stats/global".to_owned(), Scope::Read),
        (Method::HEAD, format!("/v1/users/{ADA}/streaks"), Scope::Read),
        (Method::POST, "/v1/stats/batch".to_owned(), Scope::Read),
        (Method::POST, "/v1/sessions".to_owned(), Scope::Write),
        (Method::PATCH, "/v1/sessions/1".to_owned(), Scope::Write),
        (Method::DELETE, format!("/v1/users/{ADA}"), Scope::Write),
        (Method::PUT, format!("/v1/users/{ADA}/courses/1"), Scope::Write),
        (Method::DELETE, "/v1/stats/global".to_owned(), Scope::Write),
        (Method::GET, "/v1/admin/cache".to_owned(), Scope::Admin),
        (Method::POST, "/v1/admin/cache/invalidate".to_owned(), Scope::Admin),
        (Method::GET, "/v1/admin/nothing".to_owned(), Scope::Admin),
        // the same route in other letters is another route, and guarded as well
        (Method::GET, "/v1/%61dmin/cache".to_owned(), Scope::Read),
        (Method::GET, "/v2/nothing".to_owned(), Scope::Read),
    ];
    for (method, address, _) in &addresses {
        let answer = node.ask(method.clone(), address, None).await;
        assert!(!matches!(answer.status.as_u16(), 401 | 403), "without any token nothing is guarded: {address}");
    }
    for scope in Scope::ALL {
        node.make(scope.name(), scope, None).await;
    }

    for (method, address, needed) in &addresses {
        let none = node.ask(method.clone(), address, None).await;
        assert_eq!(
            (none.status, none.header("www-authenticate")),
            (StatusCode::UNAUTHORIZED, "Bearer realm=\"tierkeep\"")
        );
        for scope in Scope::ALL {
            let answer = node.ask(method.clone(), address, Some(&format!("Bearer {scope}"))).await;
            let refused = matches!(answer.status.as_u16(), 401 | 403);
            assert_eq!(refused, !scope.includes(*needed), "{method} {address} with {scope}: {}", answer.status);
            assert!(!(address.contains('%') && answer.status == 200), "{address}");
        }
    }
    assert_problem(&node.ask(Method::GET, "/v1/stats/global", None).await, 401, "unauthorized");
    let small = node.ask(Method::POST, "/v1/admin/cache/invalidate", Some("bearer write")).await;
    assert_problem(&small, 403, "insufficient-scope");
    assert_eq!((&small.json()["given"], &small.json()["accepted"]), (&json!("write"), &json!("admin")));
    for wrong in ["Bearer reader", "Bearer", "Bearer ", "read", "Basic read", "Bearer read,admin", "Bearer é"] {
        let answer = node.ask(Method::GET, "/v1/stats/global", Some(wrong)).await;
        assert_problem(&answer, 401, "unauthorized");
    }
    for open in ["/", "/docs/", "/docs", "/openapi.json", "/livez", "/readyz"] {
        assert!(!node.ask(Method::GET, open, None).await.status.is_client_error(), "{open}");
    }
    let page = String::from_utf8(node.ask(Method::GET, "/", None).await.body).unwrap();
    assert!(!page.contains(ADA) && page.contains("Authorization: Bearer"), "the page names learners: {page}");
}

async fn a_revocation_holds_on_every_node_once_it_has_read_the_tokens(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let (node, other) =
        (Guarded::start(&installation, Reach::Loopback).await, Guarded::start(&installation, Reach::Loopback).await);
    node.make("kept", Scope::Read, None).await;
    node.make("lost", Scope::Admin, None).await;
    let stop = CancellationToken::new();
    let following = {
        let (app, stop) = (Arc::clone(&other.app), stop.clone());
        tokio::spawn(async move { app.access.follow(Duration::from_millis(100), stop).await })
    };
    until(async || (other.get(None).await, other.get(Some("lost")).await) == (401, 200)).await;

    node.store().revoke_token("lost", instant(NOW)).await.unwrap().unwrap();

    // the negative control: a node that does not read the tokens again does not see it
    assert_eq!(node.get(Some("lost")).await, 200);
    node.app.access.refresh().await.unwrap();
    assert_eq!((node.get(Some("lost")).await, node.get(Some("kept")).await), (401, 200));
    until(async || (other.get(Some("lost")).await, other.get(Some("kept")).await) == (401, 200)).await;
    stop.cancel();
    following.await.unwrap();
}

/// As after a pause of the whole process: the task that reads the tokens has not come to it yet.
async fn a_node_that_stood_still_reads_the_tokens_before_it_admits_anybody(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = Guarded::start(&installation, Reach::Loopback).await;
    node.make("kept", Scope::Read, None).await;
    node.make("lost", Scope::Admin, None).await;
    node.app.access.refresh().await.unwrap();
    node.store().revoke_token("lost", instant(NOW)).await.unwrap().unwrap();
    assert_eq!(node.get(Some("lost")).await, 200, "the control: it does not know how old a reading may be");

    let ended = CancellationToken::new();
    ended.cancel();
    node.app.access.follow(Duration::from_nanos(10), ended).await;

    assert_eq!((node.get(Some("lost")).await, node.get(Some("kept")).await), (401, 200));
}

/// Asks until it is so.
async fn until(is_so: impl AsyncFn() -> bool) {
    let asking = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asking).await.expect("it is not so in time");
}

async fn the_last_known_tokens_count_while_the_database_is_away(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = Guarded::start(&installation, Reach::Loopback).await;
    node.make("known", Scope::Read, None).await;

    node.store().close().await;

    assert!(node.app.access.refresh().await.is_err());
    // let in, and then the database does not answer
    assert_eq!((node.get(Some("known")).await, node.get(Some("unknown")).await, node.get(None).await), (503, 401, 401));
    let refused = Access::load(Arc::clone(node.store()), Reach::Loopback).await;
    assert!(refused.is_err(), "a node that has never read them does not start");
}

async fn where_others_reach_the_node_nothing_is_ever_open(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = Guarded::start(&installation, Reach::Network).await;
    let local = Guarded::start(&installation, Reach::Loopback).await;
    assert_eq!(node.get(None).await, 401, "without any token");
    node.make("last", Scope::Read, None).await;
    assert_eq!((node.get(None).await, node.get(Some("last")).await), (401, 200));

    node.store().revoke_token("last", instant(NOW)).await.unwrap().unwrap();
    node.app.access.refresh().await.unwrap();
    local.app.access.refresh().await.unwrap();

    assert_eq!((node.get(None).await, node.get(Some("last")).await), (401, 401));
    assert_eq!((local.get(None).await, local.get(Some("last")).await), (200, 200), "on loopback it is open again");
}

async fn a_token_ends_with_its_time_and_opens_nothing_by_that(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let end = "2026-01-31T15:00:00Z";
    let before = Guarded::at(&installation, Reach::Loopback, "2026-01-31T14:59:59.999999Z").await;
    before.make("brief", Scope::Read, Some(end)).await;
    let after = Guarded::at(&installation, Reach::Loopback, end).await;

    assert_eq!((before.get(Some("brief")).await, before.get(None).await), (200, 401));
    let answer = after.ask(Method::GET, "/v1/stats/global", Some("Bearer brief")).await;
    assert_problem(&answer, 401, "unauthorized");
    assert!(answer.json()["detail"].as_str().unwrap().contains(end), "{}", answer.json());
    assert_eq!(after.get(None).await, 401, "an expired token still closes");
    assert_eq!((before.app.access.live(instant(NOW)), after.app.access.live(instant(end))), (1, 0));
}

async fn the_use_of_a_token_is_noted(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = Guarded::start(&installation, Reach::Loopback).await;
    node.make("used", Scope::Read, None).await;
    node.make("unused", Scope::Read, None).await;
    node.get(Some("used")).await;
    node.app.access.refresh().await.unwrap();

    node.app.access.note_uses().await;

    let noted: Vec<_> =
        node.store().tokens().await.unwrap().into_iter().map(|token| (token.name, token.last_used_at)).collect();
    assert!(noted.contains(&("used".to_owned(), Some(instant(NOW)))) && noted.contains(&("unused".to_owned(), None)));
}

#[test]
fn every_operation_says_what_it_needs() {
    let document = serde_json::to_value(openapi()).unwrap();
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    let mut open = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let security = operation["security"].as_array().unwrap_or_else(|| panic!("{method} {path} says nothing"));
            let Some(requirement) = security.first() else {
                open.push(path.as_str());
                continue;
            };
            let expected = match (method.as_str(), path.as_str()) {
                (_, path) if path.starts_with("/v1/admin/") => "admin",
                ("get", _) | ("post", "/v1/stats/batch") => "read",
                _ => "write",
            };
            assert_eq!((security.len(), &requirement["token"]), (1, &json!([expected])), "{method} {path}");
        }
    }
    open.sort_unstable();
    assert_eq!(open, ["/", "/livez", "/openapi.json", "/readyz"]);
}

/// `serve` as a process.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(directory: &TempDir, arguments: &[&str]) -> Self {
        let (child, started) = start(tierkeep(directory).args(["serve", "--json"]).args(arguments));
        Self { child, address: started["address"].as_str().unwrap().replace("0.0.0.0", "127.0.0.1") }
    }

    /// Ends it; what it said.
    fn end(self) -> String {
        signal(&self.child, "TERM");
        let output = self.child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }
}

async fn commands_make_list_and_revoke_tokens_that_a_running_node_takes(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let directory = tempfile::tempdir().unwrap();
    let url = installation.url();
    let token = |arguments: &[&str]| run(&directory, &[&["token"], arguments, &["--database", &url]].concat());
    let made = |name: &str, scope: &str| token(&["create", name, "--scope", scope, "--json"]);
    let (code, stdout, stderr) = token(&["create", "reader", "--scope", "read"]);
    assert_eq!(code, 0, "{stderr}");
    let reader = stdout.trim().to_owned();
    assert!(reader.len() == 46 && reader.starts_with("tk_") && !stderr.contains(&reader), "{stdout} {stderr}");
    let admin: Value = serde_json::from_str(&made("operator", "admin").1).unwrap();
    let secret = admin["token"].as_str().unwrap();
    assert_eq!(
        (&admin["name"], &admin["scope"], &admin["state"]),
        (&json!("operator"), &json!("admin"), &json!("live"))
    );

    let server = Server::start(&directory, &["--listen", "127.0.0.1:0", "--database", &url]);
    let stats = |secret: Option<&str>| {
        let mut command = tierkeep(&directory);
        command.args(["cache", "stats", "--json", "--server", &server.address]);
        told(&match secret {
            Some(secret) => command.env("TIERKEEP_TOKEN", secret).output().unwrap(),
            None => command.output().unwrap(),
        })
    };

    let (code, stdout, stderr) = stats(None);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains("needs a token") && stderr.contains("TIERKEEP_TOKEN"), "{stderr}");
    let (code, _, stderr) = stats(Some(&reader));
    assert!(code == 1 && stderr.contains("needs the scope admin and the token has read"), "{stderr}");
    let (code, stdout, stderr) = stats(Some(secret));
    assert!(code == 0 && stdout.contains("\"status\""), "{stderr}");
    let by_flag = run(&directory, &["cache", "clear", "--server", &server.address, "--token", secret]);
    assert_eq!(by_flag.0, 0, "{}", by_flag.2);

    let (code, stdout, _) = token(&["list", "--json"]);
    let listed: Value = serde_json::from_str(&stdout).unwrap();
    let names: Vec<&Value> = listed.as_array().unwrap().iter().map(|token| &token["name"]).collect();
    assert_eq!((code, names), (0, vec![&json!("reader"), &json!("operator")]));
    let (_, table, _) = token(&["list"]);
    assert!(table.contains("operator") && table.contains("live"), "{table}");
    let digest = format!("{:02x?}", hash(secret).bytes()).replace([',', ' ', '[', ']'], "");
    for text in [&stdout, &table] {
        assert!(!text.contains(secret) && !text.contains(&reader) && !text.contains(&digest), "{text}");
    }

    let (code, stdout, stderr) = token(&["revoke", admin["id"].as_str().unwrap()]);
    assert!(code == 0 && stdout.starts_with("revoked operator"), "{stderr}");
    until(async || stats(Some(secret)).2.contains("unknown or was revoked")).await;
    let (code, _, stderr) = token(&["revoke", "operator"]);
    assert!(code == 1 && stderr.contains("token list"), "{stderr}");
    let (code, _, stderr) = token(&["create", "reader", "--scope", "write"]);
    assert!(code == 3 && stderr.contains("a token named reader exists"), "{stderr}");
    let (code, _, stderr) = token(&["revoke", "reader"]);
    assert!(code == 0 && stderr.contains("no token is left"), "{stderr}");
    let said = server.end();
    assert!(said.contains("need an API token (2 live)"), "{said}");
    for secret in [secret, reader.as_str()] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn off_loopback_nothing_is_served_without_a_live_token() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(run(&directory, &["migrate"]).0, 0);
    let everywhere = ["serve", "--json", "--listen", "0.0.0.0:0", "--now", NOW];
    let check = || {
        let mut command = tierkeep(&directory);
        command.args(["config", "check", "--now", NOW]).env("TIERKEEP_LISTEN", "0.0.0.0:0");
        told(&command.output().unwrap()).0
    };
    let refused = || {
        let (code, stdout, stderr) = run(&directory, &everywhere);
        assert_eq!((code, stdout.as_str()), (3, ""), "{stderr}");
        assert!(stderr.contains("tierkeep token create"), "{stderr}");
        assert_eq!(check(), 3, "the check of the configuration says the same");
    };
    let make = |arguments: &[&str]| {
        let (code, stdout, stderr) = run(&directory, &[&["token", "create", "--scope", "read"], arguments].concat());
        assert_eq!(code, 0, "{stderr}");
        stdout.trim().to_owned()
    };

    refused();
    make(&["expired", "--expires", "1h", "--now", "2026-01-31T12:00:00Z"]);
    refused();
    let secret = make(&["reader", "--expires", "90d", "--now", NOW]);
    let listed: Value = serde_json::from_str(&run(&directory, &["token", "list", "--json", "--now", NOW]).1).unwrap();
    let shown = |at: usize| ["state", "created_at", "expires_at"].map(|field| listed[at][field].as_str().unwrap());
    assert_eq!(shown(0), ["expired", "2026-01-31T12:00:00Z", "2026-01-31T13:00:00Z"]);
    assert_eq!(shown(1), ["live", NOW, "2026-05-01T14:00:00Z"]);
    assert_eq!(check(), 0);
    let server = Server::start(&directory, &everywhere[2..]);
    let (code, _, stderr) = run(&directory, &["cache", "stats", "--server", &server.address, "--token", &secret]);
    assert!(code == 1 && stderr.contains("needs the scope admin"), "{stderr}");
    let (code, _, stderr) = run(&directory, &["token", "revoke", "reader"]);
    assert_eq!(code, 0, "{stderr}");
    let said = server.end();
    assert!(said.contains("need an API token (1 live)") && said.contains("TLS"), "{said}");
    refused();
}

#[test]
fn what_is_no_token_is_wrong_usage() {
    let directory = tempfile::tempdir().unwrap();
    let wrong: &[&[&str]] = &[
        &["token"],
        &["token", "create", "ci"],
        &["token", "create", "--scope", "read"],
        &["token", "create", "ci", "--scope", "root"],
        &["token", "create", "c i", "--scope", "read"],
        &["token", "create", "0123456789ab", "--scope", "read"],
        &["token", "create", "ci", "--scope", "read", "--expires", "soon"],
        &["token", "create", "ci", "--scope", "read", "--expires", "0"],
        &["token", "create", "ci", "--scope", "read", "--expires", "40000d"],
        &["token", "create", "ci", "--scope", "read", "--read-only"],
        &["token", "revoke"],
        &["token", "revoke", "ci", "--read-only"],
        &["cache", "stats", "--token", "tk_a\r\nx: y"],
        &["cache", "stats", "--token", ""],
    ];
    for arguments in wrong {
        let (code, stdout, stderr) = run(&directory, arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        assert!(!stderr.is_empty() && !stderr.contains("tk_a"), "{arguments:?}: {stderr}");
    }
    let (code, _, stderr) = run(&directory, &["token", "list"]);
    assert!(code == 1 && stderr.contains("does not exist"), "only some commands make a database: {stderr}");
}

#[tokio::test]
async fn the_demo_shows_how_to_send_a_token() {
    let fixture = Fixture::new().await;
    let url = fixture.url();
    let (code, _, stderr) =
        run(&fixture.directory, &["token", "create", "demo", "--scope", "read", "--database", &url]);
    assert_eq!(code, 0, "{stderr}");
    let mut child = tierkeep(&fixture.directory)
        .args(["serve", "--demo", "--listen", "127.0.0.1:0", "--database", &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line).unwrap();
    signal(&child, "TERM");
    assert!(child.wait().unwrap().success());

    assert!(line.starts_with("curl -s -H \"Authorization: Bearer $TIERKEEP_TOKEN\" 'http://"), "{line}");
}

#[tokio::test]
async fn a_refusal_repeats_no_secret() {
    let installation = Installation::new(Dialect::Sqlite).await;
    let node = Guarded::start(&installation, Reach::Network).await;

    let answer = node.ask(Method::GET, "/v1/stats/global", Some("Bearer tk_guessed")).await;

    assert!(!format!("{:?}{}", answer.headers, answer.json()).contains("guessed"));
}
