//! As much HTTP as a reader needs.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::history::PATIENCE;

/// An answer; status 0 = none came.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) tier: String,
    pub(crate) body: serde_json::Value,
}

/// Asks on a connection of its own.
pub(crate) async fn get(host: &str, path: &str) -> Answer {
    match tokio::time::timeout(PATIENCE, exchange(host, path)).await {
        Ok(Some(answer)) => answer,
        _ => Answer::default(),
    }
}

async fn exchange(host: &str, path: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(host).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.ok()?;
    let text = String::from_utf8(text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let tier = lines.filter_map(|line| line.split_once(": ")).find(|(name, _)| *name == "x-cache");
    // a body that was cut short is no answer
    let body = serde_json::from_str(body).ok()?;
    Some(Answer { status, tier: tier.map(|(_, tier)| tier.to_owned()).unwrap_or_default(), body })
}
