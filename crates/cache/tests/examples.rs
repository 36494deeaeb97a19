//! The examples hold what they say.

#[expect(dead_code, reason = "its main serves for ever on a fixed port")]
#[path = "../examples/axum_service.rs"]
mod axum_service;
#[path = "../examples/bounded_memory.rs"]
mod bounded_memory;
#[path = "../examples/outliving_loads.rs"]
mod outliving_loads;
#[path = "../examples/quick_start.rs"]
mod quick_start;
#[expect(dead_code, reason = "its main asks a server whose address is given")]
#[path = "../examples/redis.rs"]
mod redis;
#[path = "../examples/transactional_invalidation.rs"]
mod transactional_invalidation;

use std::time::Duration;

use tierkeep_testkit::RedisServer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[test]
fn examples_without_a_server_run() {
    quick_start::main().unwrap();
    bounded_memory::main().unwrap();
    outliving_loads::main().unwrap();
    transactional_invalidation::main().unwrap();
}

#[tokio::test]
async fn two_nodes_share_a_redis() {
    let server = RedisServer::launch().await.unwrap();

    tokio::time::timeout(Duration::from_secs(60), redis::run(&server.url())).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_service_answers_from_memory_and_forgets_what_is_written() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = axum_service::routes().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let ask = async |request: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let get = "GET /notes/7 HTTP/1.0\r\n\r\n";

    assert!(ask(get).await.starts_with("HTTP/1.0 404"));
    let put = ask("PUT /notes/7 HTTP/1.0\r\ncontent-length: 5\r\n\r\nhello").await;
    assert!(put.starts_with("HTTP/1.0 204"), "{put}");
    let (first, second) = (ask(get).await, ask(get).await);

    assert!(
        first.contains("x-cache: miss") && first.ends_with("hello"),
        "what was remembered as absent is not: {first}"
    );
    assert!(second.contains("x-cache: l1") && second.ends_with("hello"), "{second}");
}
