//! Answers to what is no request, or none that is read: written by hand, as no handler sees them.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::config::ByteSize;
use crate::http::error::Edge;

/// How long it is read on after a refusal. A connection that is closed while its client still sends loses the answer.
const LINGER: Duration = Duration::from_secs(1);
/// Longest time for writing a refusal: some hundred bytes, which a socket takes at once.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is wrong with bytes that hyper has refused.
pub(super) fn find(error: &hyper::Error, read: &[u8], limit: ByteSize) -> Option<Edge> {
    if !error.is_parse() {
        return None;
    }
    if !error.is_parse_too_large() {
        return Some(Edge::Malformed);
    }
    // hyper counts the head as a whole; the client is told which part of it is to blame
    let line = read.iter().position(|byte| *byte == b'\n').unwrap_or(read.len());
    let is_line = u64::try_from(line).unwrap_or(u64::MAX) > limit.get() / 2;
    Some(if is_line { Edge::LongAddress(limit) } else { Edge::LongHead(limit) })
}

/// Tells a client why it is refused, and ends the connection.
pub(super) async fn write(mut stream: impl AsyncRead + AsyncWrite + Unpin, edge: &Edge, instead_of: &[u8]) {
    let answer = answer(edge, instead_of);
    let writing = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await
    };
    if !matches!(tokio::time::timeout(PATIENCE, writing).await, Ok(Ok(()))) {
        return;
    }
    let reading = async {
        let mut rest = [0; 4096];
        while matches!(stream.read(&mut rest).await, Ok(1..)) {}
    };
    let _ = tokio::time::timeout(LINGER, reading).await;
}

/// The answer, with the date of the one that it is written instead of.
fn answer(edge: &Edge, instead_of: &[u8]) -> Vec<u8> {
    let problem = edge.problem();
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST);
    let date = std::str::from_utf8(instead_of).ok().and_then(|head| {
        head.split_inclusive("\r\n").find(|line| line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case("date:")))
    });
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\n\
         x-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\ncross-origin-resource-policy: same-origin\r\n\
         cache-control: no-store\r\n{}\r\n",
        body.len(),
        date.unwrap_or_default(),
    );
    [head.into_bytes(), body].concat()
}
