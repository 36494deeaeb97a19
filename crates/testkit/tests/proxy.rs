//! Every mode of the chaos proxy does what its name says, on Unix sockets and TCP.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Result;
use tierkeep_testkit::{ChaosProxy, DatabaseClient, Endpoint, Mode, PostgresServer, RedisServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

/// Long enough that a forwarded byte would have arrived.
const QUIET: Duration = Duration::from_millis(50);

/// A server that sends back what it gets; it ends when it is dropped.
struct Echo {
    endpoint: Endpoint,
    task: JoinHandle<()>,
}

impl Echo {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let (mut reads, mut writes) = stream.split();
                    tokio::io::copy(&mut reads, &mut writes).await
                });
            }
        });
        Self { endpoint, task }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A proxy on a Unix socket in front of an echo, and a client that is connected through it.
async fn unix() -> (Echo, ChaosProxy, UnixStream) {
    let echo = Echo::start().await;
    let proxy = ChaosProxy::on_unix(echo.endpoint.clone(), "socket").await.unwrap();
    let mut client = connect_unix(&proxy).await;
    assert_eq!(exchange(&mut client, b"first").await.unwrap(), b"first");
    (echo, proxy, client)
}

/// The same on TCP.
async fn tcp() -> (Echo, ChaosProxy, TcpStream) {
    let echo = Echo::start().await;
    let proxy = ChaosProxy::on_tcp(echo.endpoint.clone()).await.unwrap();
    let mut client = connect_tcp(&proxy).await;
    assert_eq!(exchange(&mut client, b"first").await.unwrap(), b"first");
    (echo, proxy, client)
}

async fn connect_unix(proxy: &ChaosProxy) -> UnixStream {
    UnixStream::connect(proxy.socket().unwrap()).await.unwrap()
}

async fn connect_tcp(proxy: &ChaosProxy) -> TcpStream {
    let Endpoint::Tcp(address) = proxy.address() else { panic!("a TCP proxy") };
    TcpStream::connect(address).await.unwrap()
}

/// Sends bytes and reads as many back.
async fn exchange(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), bytes: &[u8]) -> Result<Vec<u8>> {
    stream.write_all(bytes).await?;
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn pass_forwards_and_counts_both_directions() {
    let (_echo, proxy, mut client) = unix().await;
    let large = vec![7; 1 << 20];

    let (mut reads, mut writes) = client.split();
    let mut answer = vec![0; large.len()];
    tokio::try_join!(writes.write_all(&large), reads.read_exact(&mut answer)).unwrap();

    assert_eq!(answer, large);
    assert_eq!(proxy.handle().bytes_up(), (b"first".len() + large.len()) as u64);
    assert_eq!(proxy.handle().accepted(), 1);
    assert_eq!(proxy.handle().open(), 1);
}

#[tokio::test]
async fn pass_forwards_the_end_of_one_direction_only() {
    let (_echo, _proxy, mut client) = unix().await;
    client.write_all(b"last").await.unwrap();

    client.shutdown().await.unwrap();

    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"last");
}

#[tokio::test]
async fn cut_closes_open_connections() {
    let (_echo, proxy, mut client) = tcp().await;

    proxy.set(Mode::Cut);

    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn cut_closes_new_connections_before_a_byte_passes() {
    let (_echo, proxy, _client) = unix().await;
    proxy.set(Mode::Cut);
    let bytes = proxy.handle().bytes_up();

    let mut late = connect_unix(&proxy).await;

    assert_eq!(late.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(proxy.handle().bytes_up(), bytes);
}

#[tokio::test]
async fn cut_that_is_undone_at_once_still_closes_open_connections() {
    let (_echo, proxy, mut client) = unix().await;

    proxy.set(Mode::Cut);
    proxy.set(Mode::Pass);

    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(exchange(&mut connect_unix(&proxy).await, b"again").await.unwrap(), b"again");
}

#[tokio::test]
async fn stall_holds_bytes_until_the_proxy_passes_again() {
    let (_echo, proxy, mut client) = unix().await;
    proxy.set(Mode::Stall);
    let mut answer = std::pin::pin!(exchange(&mut client, b"held"));

    let while_stalled = timeout(QUIET, answer.as_mut()).await;
    proxy.set(Mode::Pass);

    assert!(while_stalled.is_err());
    assert_eq!(answer.await.unwrap(), b"held");
}

#[tokio::test]
async fn stall_accepts_connections_and_answers_nothing() {
    let (_echo, proxy, _client) = unix().await;
    proxy.set(Mode::Stall);

    let mut late = connect_unix(&proxy).await;

    assert!(timeout(QUIET, exchange(&mut late, b"held")).await.is_err());
}

#[tokio::test]
async fn reset_is_an_error_for_a_tcp_client() {
    let (_echo, proxy, mut client) = tcp().await;

    proxy.set(Mode::Reset);

    assert_eq!(client.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn reset_of_a_new_connection_is_an_error_too() {
    let (_echo, proxy, _client) = tcp().await;
    proxy.set(Mode::Reset);

    let mut late = connect_tcp(&proxy).await;

    assert_eq!(late.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn reset_closes_a_unix_connection() {
    let (_echo, proxy, mut client) = unix().await;

    proxy.set(Mode::Reset);

    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn delay_holds_each_chunk_in_both_directions() {
    let (_echo, proxy, mut client) = unix().await;
    proxy.set(Mode::Delay(QUIET));
    let start = Instant::now();

    exchange(&mut client, b"late").await.unwrap();

    assert!(start.elapsed() >= 2 * QUIET);
}

#[tokio::test]
async fn delay_ends_for_a_held_chunk_when_the_proxy_passes_again() {
    let (_echo, proxy, mut client) = unix().await;
    proxy.set(Mode::Delay(Duration::from_secs(3600)));
    let mut answer = std::pin::pin!(exchange(&mut client, b"held"));
    let while_delayed = timeout(QUIET, answer.as_mut()).await;

    proxy.set(Mode::Pass);

    assert!(while_delayed.is_err());
    assert_eq!(answer.await.unwrap(), b"held");
}

#[tokio::test]
async fn dropped_proxy_closes_its_connections_and_removes_its_socket() {
    let (_echo, proxy, mut client) = unix().await;
    let socket = proxy.socket().unwrap().to_owned();

    drop(proxy);

    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    assert!(!socket.exists());
}

#[tokio::test]
async fn closed_proxy_has_no_open_connection() {
    let (_echo, proxy, _client) = unix().await;
    let handle = proxy.handle().clone();

    proxy.close().await;

    assert_eq!(handle.open(), 0);
}

#[tokio::test]
async fn client_of_an_absent_upstream_is_closed() {
    let echo = Echo::start().await;
    let proxy = ChaosProxy::on_unix(Endpoint::Unix("/nonexistent/socket".into()), "socket").await.unwrap();
    drop(echo);

    let mut client = connect_unix(&proxy).await;

    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn postgres_is_reached_through_a_proxy_and_lost_when_it_is_cut() {
    let server = PostgresServer::shared().await.unwrap();
    let database = server.database().await.unwrap();
    let proxy = server.proxy().await.unwrap();
    let client = DatabaseClient::connect(&database.url_through(&proxy)).await.unwrap();
    let before = client.query_one("select 1", &[]).await;

    proxy.set(Mode::Cut);

    assert!(before.is_ok());
    assert!(client.query_one("select 1", &[]).await.is_err());
}

#[tokio::test]
async fn redis_is_reached_through_a_proxy() {
    let server = RedisServer::launch().await.unwrap();
    let proxy = server.proxy().await.unwrap();
    let client = redis::Client::open(server.url_through(&proxy)).unwrap();

    let mut connection = client.get_multiplexed_async_connection().await.unwrap();

    let answer: String = redis::cmd("PING").query_async(&mut connection).await.unwrap();
    assert_eq!(answer, "PONG");
    assert!(proxy.handle().bytes_down() > 0);
}
