//! A node: the binary itself, and a client that keeps its connection.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::{cpu_of, memory_mib};

/// `tierkeep serve` as a process of its own; ended when dropped.
pub(crate) struct Node {
    child: Child,
    host: String,
    _directory: TempDir,
}

impl Node {
    /// Starts it, with arguments more than it needs, and waits until it listens.
    pub(crate) fn start(database: &str, redis: Option<&str>, more: &[&str]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_tierkeep"));
        command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--database", database]).args(more);
        for variable in ["CONFIG", "DATABASE_URL", "REDIS_URL", "LISTEN", "LOG", "TOKEN"] {
            command.env_remove(format!("TIERKEEP_{variable}"));
        }
        if let Some(redis) = redis {
            command.env("TIERKEEP_REDIS_URL", redis);
        }
        command.current_dir(&directory).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("it is piped")?).read_line(&mut line)?;
        let started: Value = serde_json::from_str(&line).with_context(|| format!("the first line is {line:?}"))?;
        let address = started["address"].as_str().context("it says where it listens")?;
        let host = address.strip_prefix("http://").context("it speaks HTTP")?.to_owned();
        Ok(Self { child, host, _directory: directory })
    }

    /// Where it listens.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) async fn reader(&self) -> Result<Reader> {
        let stream = TcpStream::connect(self.host()).await?;
        stream.set_nodelay(true)?;
        Ok(Reader { stream, buffer: Vec::with_capacity(64 * 1024) })
    }

    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu_of(self.child.id())
    }

    /// `VmRSS:` what it has resident, `VmHWM:` the most so far.
    pub(crate) fn memory_mib(&self, name: &str) -> Result<f64> {
        memory_mib(self.child.id(), name)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection over which one request follows another.
pub(crate) struct Reader {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Reader {
    /// The status and the body of an answer.
    pub(crate) async fn get(&mut self, path: &str) -> Result<(u16, &str)> {
        let (head, body) = self.send(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await?;
        Ok((head[9..12].parse()?, body))
    }

    /// The head and the body of the answer to a request.
    pub(crate) async fn send(&mut self, request: &str) -> Result<(&str, &str)> {
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        loop {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the node closed the connection");
            if let Some(body) = body_of(&self.buffer)? {
                return Ok(str::from_utf8(&self.buffer)?.split_at(body));
            }
        }
    }
}

/// Where the body begins, once all of it is there.
fn body_of(answer: &[u8]) -> Result<Option<usize>> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = str::from_utf8(&answer[..end])?;
    let length: usize = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .context("answers say their length")?
        .1
        .parse()?;
    Ok((answer.len() >= end + 4 + length).then_some(end + 4))
}

/// A whole number that a JSON object has under a name of its own.
pub(crate) fn number(json: &str, name: &str) -> Option<u64> {
    let after = json.split_once(&format!("\"{name}\":"))?.1;
    let end = after.find(|c: char| !c.is_ascii_digit())?;
    after[..end].parse().ok()
}
