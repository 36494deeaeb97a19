//! Connections without a socket, in time that is paused.

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::config::ByteSize;

const SECOND: Duration = Duration::from_secs(1);
const ANSWER_SIZE: usize = 100_000;

/// A connection that is served.
struct Client {
    stream: DuplexStream,
    ends: Ends,
    task: JoinHandle<()>,
    /// Lets `/slow` answer.
    release: Arc<Notify>,
}

impl Client {
    fn connect(connections: Connections) -> Self {
        let (stream, other) = duplex(ANSWER_SIZE / 10);
        let (ends, release) = (Ends::default(), Arc::new(Notify::new()));
        let waiting = Arc::clone(&release);
        let router = Router::new()
            .route("/", get(async || "hello"))
            .route("/bad", get(async || (StatusCode::BAD_REQUEST, "our own")))
            .route("/large", get(async || "x".repeat(ANSWER_SIZE)))
            .route(
                "/slow",
                get(async move || {
                    waiting.notified().await;
                    "at last"
                }),
            );
        let served = Arc::new(Served { api: router.into(), connections });
        let watch = Arc::new(Watch::new(Instant::now()));
        let task = tokio::spawn(run(other, [127, 0, 0, 1].into(), served, watch, ends.clone()));
        Self { stream, ends, task, release }
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Asks on a connection that is kept, and reads an answer of few bytes.
    async fn ask(&mut self, path: &str) -> String {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        let mut answer = [0; 1000];
        let length = self.stream.read(&mut answer).await.unwrap();
        String::from_utf8(answer[..length].to_vec()).unwrap()
    }

    /// Everything until the end.
    async fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.stream.read_to_string(&mut rest).await.unwrap();
        rest
    }
}

/// Status and kind of a problem, by which a connection ends.
async fn refusal(head: impl AsRef<[u8]>, connections: Connections) -> (u16, String) {
    let mut client = Client::connect(connections);
    client.send(head).await;
    let answer = client.rest().await;
    client.task.await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    assert!(head.contains("content-type: application/problem+json") && head.contains("connection: close"), "{head}");
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    assert_eq!(problem["status"], status);
    (status, problem["type"].as_str().unwrap().strip_prefix("urn:tierkeep:problem:").unwrap().to_owned())
}

fn bounded(limit: u64) -> Connections {
    Connections { header_limit: ByteSize::bytes(limit), ..Connections::default() }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_headers_byte_by_byte_is_cut_off() {
    let mut client = Client::connect(Connections::default());
    let began = Instant::now();
    let sending = async {
        for byte in std::iter::once(b'G').chain(std::iter::repeat(b'E')) {
            if client.stream.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(SECOND).await;
        }
    };
    let _ = tokio::time::timeout(10 * SECOND + SECOND / 2, sending).await;

    let answer = client.rest().await;

    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains(":headers-too-slow"), "{answer}");
    assert!(began.elapsed() < 12 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn without_the_limit_it_stays() {
    let hour = 3600 * SECOND;
    let mut client =
        Client::connect(Connections { header_timeout: hour, idle_timeout: hour, ..Connections::default() });
    client.send("GET / HTTP/1.1\r\n").await;

    tokio::time::sleep(hour - SECOND).await;

    client.send("host: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(client.rest().await.ends_with("hello"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_between_requests_and_closed_when_it_is_idle() {
    let mut client = Client::connect(Connections::default());
    for _ in 0..3 {
        assert!(client.ask("/").await.ends_with("hello"));
        tokio::time::sleep(70 * SECOND).await;
    }
    let began = Instant::now();

    assert_eq!(client.rest().await, "");

    assert_eq!(began.elapsed().as_secs(), 5);
    let mut silent = Client::connect(Connections::default());
    assert_eq!((silent.rest().await.as_str(), began.elapsed().as_secs()), ("", 15), "one that never asks");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_of_its_answer_is_cut_off() {
    let mut client = Client::connect(Connections::default());
    client.send("GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let began = Instant::now();
    tokio::time::sleep(60 * SECOND).await;
    let mut some = vec![0; ANSWER_SIZE / 5];
    client.stream.read_exact(&mut some).await.unwrap();

    client.task.await.unwrap();

    assert!((135..=145).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_told_why() {
    let long = "x".repeat(20_000);
    let many: String = (0..101).map(|number| format!("x-{number}: 1\r\n")).collect();
    let default = Connections::default;

    assert_eq!(refusal(format!("GET / HTTP/1.1\r\nx: {long}"), default()).await, (431, "headers-too-large".to_owned()));
    assert_eq!(
        refusal(format!("GET / HTTP/1.1\r\n{many}\r\n"), default()).await,
        (431, "headers-too-large".to_owned())
    );
    assert_eq!(refusal(format!("GET /{long}"), default()).await, (414, "address-too-long".to_owned()));
    assert_eq!(refusal("NO HTTP AT ALL\r\n\r\n", default()).await, (400, "malformed-request".to_owned()));
    assert_eq!(
        refusal(format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", &long[..1100]), bounded(1024)).await,
        (431, "headers-too-large".to_owned())
    );
}

/// The control of the test above: the limit is what refuses it, and a head within it is answered.
#[tokio::test(start_paused = true)]
async fn a_head_within_the_limit_is_answered() {
    for (limit, padding) in [(1024, 900), (64 * 1024, 20_000), (1024 * 1024, 500_000)] {
        let mut client = Client::connect(bounded(limit));
        let head = format!("GET / HTTP/1.1\r\nconnection: close\r\nx: {}\r\n\r\n", "x".repeat(padding));

        client.send(head).await;

        assert!(client.rest().await.ends_with("hello"), "{limit}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_a_handler_is_left_as_it_is() {
    let mut client = Client::connect(Connections::default());

    for _ in 0..3 {
        let answer = client.ask("/bad").await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("our own"), "{answer}");
    }
    client.send("nonsense\r\n\r\n").await;
    assert!(client.rest().await.contains(":malformed-request"));
}

#[tokio::test(start_paused = true)]
async fn a_request_under_way_is_answered_and_is_the_last() {
    let mut client = Client::connect(Connections::default());
    client.send("GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    tokio::time::sleep(SECOND).await;

    client.ends.draining.cancel();
    tokio::time::sleep(SECOND).await;
    client.release.notify_one();

    let answer = client.rest().await;
    assert!(answer.contains("connection: close") && answer.ends_with("at last"), "{answer}");
    client.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_ends_at_once() {
    for is_kept in [false, true] {
        let mut client = Client::connect(Connections::default());
        if is_kept {
            client.ask("/").await;
        }
        let began = Instant::now();

        client.ends.draining.cancel();

        assert_eq!(client.rest().await, "");
        client.task.await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_has_begun_to_come_is_answered() {
    for is_kept in [false, true] {
        let mut client = Client::connect(Connections::default());
        if is_kept {
            client.ask("/").await;
        }
        client.send("GET / HTTP/1.1\r\n").await;
        tokio::time::sleep(SECOND).await;
        client.ends.draining.cancel();
        tokio::time::sleep(SECOND).await;

        client.send("host: localhost\r\n\r\n").await;

        assert!(client.rest().await.ends_with("hello"));
        client.task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn when_there_is_no_time_left_nothing_is_waited_for() {
    let mut client = Client::connect(Connections::default());
    client.send("GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    tokio::time::sleep(SECOND).await;
    client.ends.draining.cancel();
    let began = Instant::now();

    client.ends.over.cancel();

    client.task.await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
}
