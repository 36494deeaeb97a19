//! The server under attack and at its end, through real sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use axum::routing::get;
use tierkeep::access::{Access, Reach};
use tierkeep::clock::Clock;
use tierkeep::config::{ByteSize, Config, Connections, Rates};
use tierkeep::http::{Api, App, Gate, Limits, api, serve};
use tierkeep::tiers::Tiers;
use tierkeep_learning::service::Statistics;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::fixture::{ADA, Answer, Fixture, NOW, ask, instant};
use crate::serve::{ask as ask_process, signal, start};

const PATIENCE: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3600);

/// A node behind a socket of this process.
struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
    _fixture: Option<Fixture>,
}

impl Server {
    async fn start(connections: Connections, rates: Rates) -> Self {
        let fixture = Fixture::new().await;
        let stop = CancellationToken::new();
        let tiers = Tiers::unkept(Statistics::new(Arc::clone(&fixture.store), Config::default().days));
        let access = Access::without_tokens(Arc::clone(tiers.statistics().store()), Reach::Loopback);
        let limits = Limits { body: ByteSize::bytes(64 * 1024), timeout: Duration::from_millis(500) };
        let app = App {
            gate: Gate::new(&rates, Reach::Loopback, stop.clone()),
            ..App::new(tiers, access, Clock::Fixed(instant(NOW)), limits)
        };
        Self { _fixture: Some(fixture), ..Self::of(api(Arc::new(app)), connections, stop).await }
    }

    async fn of(served: impl Into<Api> + Send + 'static, connections: Connections, stop: CancellationToken) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(serve(listener, served, connections, stop.clone()));
        Self { address, stop, task, _fixture: None }
    }

    /// A connection that has sent this much.
    async fn send(&self, bytes: &str) -> TcpStream {
        let (address, bytes) = (self.address, bytes.to_owned());
        blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(bytes.as_bytes()).unwrap();
            stream
        })
        .await
    }

    /// Asks on a connection of its own.
    async fn get(&self, path: &str, headers: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
        rest(self.send(&request).await).await
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// Asks, each time with another end of a header, until it is too often.
async fn refused(server: &Server, header: &str) -> String {
    for number in 0..100 {
        let header = if header.is_empty() { String::new() } else { format!("{header}{number}\r\n") };
        let answer = server.get("/openapi.json", &header).await;
        if status(&answer) == 429 {
            return answer;
        }
    }
    panic!("nothing was too often")
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// What comes until the server closes the connection.
async fn rest(mut stream: TcpStream) -> String {
    blocking(move || {
        let mut answer = Vec::new();
        // a connection that is reset has told what it had to tell
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    })
    .await
}

fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    peeked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
}

fn fast() -> Connections {
    Connections { header_timeout: Duration::from_millis(200), ..Connections::default() }
}

fn at(rate: u32, burst: u32) -> Rates {
    Rates { rate: Some(rate), burst: NonZeroU32::new(burst), ..Rates::default() }
}

#[tokio::test]
async fn slow_clients_are_cut_off_while_others_are_served() {
    let server = Server::start(fast(), Rates::default()).await;
    let patient = Server::start(Connections { header_timeout: HOUR, ..fast() }, Rates::default()).await;
    let control = patient.send("GET /livez HTTP/1.1\r\nx").await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        slow.push(server.send("GET /livez HTTP/1.1\r\nx").await);
    }

    assert_eq!(status(&server.get("/livez", "").await), 200);

    for stream in slow {
        let answer = rest(stream).await;
        assert!(status(&answer) == 408 && answer.contains(":headers-too-slow"), "{answer}");
    }
    assert!(is_open(&control), "with a long time limit it stays");
    server.end().await;
    // a request that has begun to come is waited for, so its client gives up
    drop(control);
    patient.end().await;
}

#[tokio::test]
async fn a_body_that_is_announced_as_too_long_is_refused_before_it_comes() {
    let server = Server::start(Connections::default(), Rates::default()).await;
    let head =
        "POST /v1/stats/batch HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close";

    let answer = rest(server.send(&format!("{head}\r\ncontent-length: 65537\r\n\r\n")).await).await;

    assert!(status(&answer) == 413 && answer.contains(":body-too-large"), "{answer}");
    server.end().await;
}

#[tokio::test]
async fn a_body_that_trickles_is_not_waited_for() {
    let server = Server::start(fast(), Rates::default()).await;
    let head =
        "POST /v1/stats/batch HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000";

    let answer = rest(server.send(&format!("{head}\r\n\r\n{{\"users\"")).await).await;

    assert!(status(&answer) == 503 && answer.contains(":timeout"), "{answer}");
    server.end().await;
}

#[tokio::test]
async fn giant_headers_and_addresses_are_refused_with_a_reason() {
    let server = Server::start(Connections::default(), Rates::default()).await;
    let giant = "x".repeat(1 << 20);

    let header = server.get("/livez", &format!("x: {giant}\r\n")).await;
    let address = server.get(&format!("/{giant}"), "").await;

    assert!(status(&header) == 431 && header.contains(":headers-too-large"), "{header}");
    assert!(status(&address) == 414 && address.contains(":address-too-long"), "{address}");
    assert!(header.contains("date: ") && header.contains("nosniff"), "{header}");
    assert_eq!(status(&server.get("/livez", "").await), 200);
    server.end().await;
}

#[tokio::test]
async fn when_every_place_is_taken_whoever_waits_longest_makes_room() {
    let connections = Connections { header_timeout: HOUR, most: 3, ..Connections::default() };
    let server = Server::start(connections, Rates::default()).await;
    let mut silent = Vec::new();
    for _ in 0..6 {
        silent.push(server.send("").await);
    }

    assert_eq!(status(&server.get("/livez", "").await), 200);

    assert_eq!(rest(silent.remove(0)).await, "", "the first one was closed");
    server.end().await;
}

#[tokio::test]
async fn a_flood_is_told_to_come_back_later_and_then_let_in() {
    let server = Server::start(Connections::default(), at(1, 3)).await;
    for _ in 0..3 {
        assert_eq!(status(&server.get("/openapi.json", "").await), 200);
    }

    let refused = refused(&server, "").await;

    assert!(refused.contains(":too-many-requests"), "{refused}");
    assert!(refused.to_ascii_lowercase().contains("retry-after: 1\r\n"), "{refused}");
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(status(&server.get(path, "").await), 200, "{path} is free");
    }
    let recovery = async { while status(&server.get("/openapi.json", "").await) != 200 {} };
    tokio::time::timeout(PATIENCE, recovery).await.unwrap();
    server.end().await;

    let unlimited = Server::start(Connections::default(), at(0, 1)).await;
    for _ in 0..10 {
        assert_eq!(status(&unlimited.get("/openapi.json", "").await), 200);
    }
    unlimited.end().await;
}

#[tokio::test]
async fn a_client_has_no_other_address_because_it_says_so() {
    let trusting = Rates { trusted_proxies: vec!["127.0.0.1".parse().unwrap()], ..at(1, 1) };
    let (stranger, trusted) =
        (Server::start(Connections::default(), at(1, 1)).await, Server::start(Connections::default(), trusting).await);
    for number in 1..=3 {
        let header = format!("x-forwarded-for: 203.0.113.{number}\r\n");
        assert_eq!(status(&trusted.get("/openapi.json", &header).await), 200, "a trusted proxy is believed");
    }

    refused(&stranger, "x-forwarded-for: 203.0.113.").await;

    stranger.end().await;
    trusted.end().await;
}

#[tokio::test]
async fn a_request_that_memory_cannot_answer_counts_once() {
    let server = Server::start(Connections::default(), at(1, 20)).await;

    for number in 1..=20 {
        let answer = server.get(&format!("/v1/users/{ADA}/streaks"), "").await;
        assert_eq!(status(&answer), 200, "request {number}");
    }

    server.end().await;
}

#[tokio::test]
async fn the_end_waits_for_requests_that_are_under_way_and_for_nothing_else() {
    let (began, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let waiting = (Arc::clone(&began), Arc::clone(&release));
    let slow = get(async move || {
        waiting.0.notify_one();
        waiting.1.notified().await;
        "at last"
    });
    let app = Router::new().route("/slow", slow).route("/", get(async || "hello"));
    let server = Server::of(app, Connections::default(), CancellationToken::new()).await;
    let idle = server.send("").await;
    let kept = server.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let slow = server.send("GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    began.notified().await;

    server.stop.cancel();

    assert_eq!(rest(idle).await, "");
    assert!(rest(kept).await.ends_with("hello"));
    let address = server.address;
    assert!(blocking(move || TcpStream::connect(address)).await.is_err(), "nobody is let in any more");
    assert!(is_open(&slow));
    release.notify_one();
    let answer = rest(slow).await;
    assert!(answer.contains("connection: close") && answer.ends_with("at last"), "{answer}");
    server.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_end_takes_seven_seconds_at_most() {
    let began = Arc::new(Notify::new());
    let noting = Arc::clone(&began);
    let endless = get(async move || {
        noting.notify_one();
        std::future::pending::<&str>().await
    });
    let app = Router::new().route("/", endless);
    let server = Server::of(app, Connections::default(), CancellationToken::new()).await;
    let endless = server.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    began.notified().await;
    tokio::time::pause();
    let stopped = Instant::now();

    server.stop.cancel();
    server.task.await.unwrap().unwrap();

    assert_eq!(stopped.elapsed().as_secs(), 7);
    tokio::time::resume();
    assert_eq!(rest(endless).await, "");
}

#[tokio::test]
async fn watchers_hear_of_the_end_before_it() {
    let connections = Connections { shutdown_delay: Duration::from_secs(4), ..Connections::default() };
    let server = Server::start(connections, Rates::default()).await;
    assert_eq!(status(&server.get("/readyz", "").await), 200);
    // a scrape whose request has come only in part when the end begins
    let mut scrape = server.send("GET /metrics HTTP/1.1\r\n").await;

    server.stop.cancel();

    let ready = server.get("/readyz", "").await;
    assert!(status(&ready) == 503 && ready.contains("\"stopping\""), "{ready}");
    assert_eq!(status(&server.get("/livez", "").await), 200);
    let metrics = server.get("/metrics", "").await;
    assert!(status(&metrics) == 200 && metrics.contains("tierkeep_http_requests_total"), "{metrics}");
    assert_eq!(status(&server.get(&format!("/v1/users/{ADA}/streaks"), "").await), 200);
    let address = server.address;
    let refused = async { while blocking(move || TcpStream::connect(address)).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
    scrape.write_all(b"host: localhost\r\n\r\n").unwrap();
    let metrics = rest(scrape).await;
    assert!(status(&metrics) == 200 && metrics.ends_with("# EOF\n"), "{metrics}");
    server.task.await.unwrap().unwrap();
}

async fn from(fixture: &Fixture, method: Method, path: &str, name: &str, value: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    ask(fixture.app(), request.header(name, value).body(Body::from("{}")).unwrap()).await
}

#[tokio::test]
async fn without_tokens_only_this_machine_is_answered() {
    let fixture = Fixture::new().await;
    for path in ["/", "/v1/stats/global", "/metrics", "/nothing"] {
        let answer = from(&fixture, Method::GET, path, "host", "rebound.example:842").await;
        assert_eq!((answer.status, &answer.json()["parameter"]), (StatusCode::FORBIDDEN, &"Host".into()), "{path}");
        assert_eq!(answer.json()["type"], "urn:tierkeep:problem:foreign-request");
        let local = from(&fixture, Method::GET, path, "host", "localhost:842").await;
        assert_ne!(local.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(from(&fixture, Method::GET, "/livez", "host", "any.example").await.status, StatusCode::OK);

    for (origin, is_refused) in [("https://elsewhere.example", true), ("null", true), ("http://localhost:300", false)] {
        let written = from(&fixture, Method::POST, "/v1/admin/cache/invalidate", "origin", origin).await;
        let read = from(&fixture, Method::GET, "/v1/stats/global", "origin", origin).await;
        assert_eq!(written.status == StatusCode::FORBIDDEN, is_refused, "{origin}: {}", written.status);
        assert_eq!(read.status, StatusCode::OK, "{origin}");
    }
}

#[tokio::test]
async fn every_answer_tells_browsers_what_they_may_do() {
    let fixture = Fixture::new().await;
    for path in ["/", "/docs/", "/v1/stats/global", "/livez", "/metrics", "/nothing", "/openapi.json"] {
        let answer = from(&fixture, Method::GET, path, "host", "localhost").await;
        let told = ["x-content-type-options", "referrer-policy", "cross-origin-resource-policy", "cache-control"]
            .map(|name| answer.header(name).to_owned());
        assert_eq!(told, ["nosniff", "no-referrer", "same-origin", "private, no-cache"], "{path}");
        let is_page = answer.header("content-type").starts_with("text/html");
        assert_eq!(answer.header("x-frame-options") == "DENY", is_page, "{path}");
    }
}

#[test]
fn a_node_without_descriptors_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "ulimit -n 128 && exec \"$0\" serve --json --listen 127.0.0.1:0",
        env!("CARGO_BIN_EXE_tierkeep"),
    ]);
    for variable in ["CONFIG", "DATABASE_URL", "REDIS_URL", "LISTEN", "LOG", "TOKEN"] {
        command.env_remove(format!("TIERKEEP_{variable}"));
    }
    let (child, started) = start(command.current_dir(directory.path()));
    let address = started["address"].as_str().unwrap();
    let host = address.strip_prefix("http://").unwrap();
    let crowd: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(host).unwrap()).collect();

    let answer = ask_process(address, "/livez");

    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    drop(crowd);
    signal(&child, "TERM");
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("no connection can be accepted"), "{stderr}");
}
