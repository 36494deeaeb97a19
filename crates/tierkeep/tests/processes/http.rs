//! As much HTTP as a reader needs.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::history::PATIENCE;

/// An answer; status 0 = none came.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) tier: String,
    /// What a write returned, to be sent with a read.
    pub(crate) position: Option<String>,
    pub(crate) body: serde_json::Value,
}

/// Asks on a connection of its own.
pub(crate) async fn get(host: &str, path: &str) -> Answer {
    send(host, "GET", path, "", "").await
}

/// Asks for what is not older than a position.
pub(crate) async fn get_after(host: &str, path: &str, position: &str) -> Answer {
    send(host, "GET", path, &format!("x-tierkeep-position: {position}\r\n"), "").await
}

/// Changes what a JSON merge patch says.
pub(crate) async fn patch(host: &str, path: &str, body: &serde_json::Value) -> Answer {
    write(host, "PATCH", path, body).await
}

/// Adds something, or asks for something.
pub(crate) async fn post(host: &str, path: &str, body: &serde_json::Value) -> Answer {
    write(host, "POST", path, body).await
}

async fn write(host: &str, method: &str, path: &str, body: &serde_json::Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    send(host, method, path, &headers, &body).await
}

async fn send(host: &str, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n{body}");
    match tokio::time::timeout(PATIENCE, exchange(host, &request)).await {
        Ok(Some(answer)) => answer,
        _ => Answer::default(),
    }
}

async fn exchange(host: &str, request: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(host).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.ok()?;
    let text = String::from_utf8(text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let header = |wanted: &str| {
        let mut headers = head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.to_owned())
    };
    // a body that was cut short is no answer
    let body = serde_json::from_str(body).ok()?;
    let tier = header("x-cache").unwrap_or_default();
    Some(Answer { status, tier, position: header("x-tierkeep-position"), body })
}
