//! A bare axum handler in a process of its own: it answers what it was given, whoever is asked about.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::process::cpu_of;

/// Makes this program such a server.
pub(crate) const ARGUMENT: &str = "bare";

/// Such a process; ended when dropped.
pub(crate) struct Bare {
    child: Child,
    pub(crate) host: String,
}

impl Bare {
    /// Starts one that answers a head, status line and length left out, and a body.
    pub(crate) fn start(head: &str, body: &str) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        // axum and hyper write the others
        let own = |line: &&str| {
            let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            !matches!(name.as_str(), "content-length" | "date")
        };
        let headers: Vec<&str> = head.trim_end().lines().skip(1).filter(own).collect();
        let answer = format!("{}\n\n{body}", headers.join("\n"));
        child.stdin.take().context("it is piped")?.write_all(answer.as_bytes())?;
        let mut host = String::new();
        BufReader::new(child.stdout.take().context("it is piped")?).read_line(&mut host)?;
        Ok(Self { child, host: host.trim_end().to_owned() })
    }

    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu_of(self.child.id())
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the process does.
pub(crate) fn serve() -> Result<()> {
    let mut answer = String::new();
    std::io::stdin().read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\n\n").context("a head and a body")?;
    let mut headers = Vec::new();
    for line in head.lines() {
        let (name, value) = line.split_once(": ").context("a header")?;
        headers.push((name.parse::<HeaderName>()?, HeaderValue::from_str(value)?));
    }
    let body = Bytes::copy_from_slice(body.as_bytes());
    let handler = move |Path(_): Path<u64>| {
        let (headers, body) = (HeaderMap::from_iter(headers.iter().cloned()), body.clone());
        async move { (headers, body) }
    };
    let router = Router::new().route("/v1/users/{id}/stats/daily", get(handler));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        Ok(axum::serve(listener, router).await?)
    })
}
