//! As much HTTP as the load needs, over connections that are kept.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest wait for an answer: it is a failure then, and no latency.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a connection is kept without use. As clients do, well before the node closes it (`http.idle_timeout`, 75 s): a
/// request that crosses the node's goodbye is lost.
const KEPT: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) tier: String,
    pub(crate) position: Option<String>,
    pub(crate) body: String,
}

impl Answer {
    /// A whole number of the body.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        let after = self.body.split_once(&format!("\"{name}\":"))?.1;
        let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    }
}

/// A node, and the connections to it that nobody uses at present, with the moment each was last used.
#[derive(Debug)]
pub(crate) struct Client {
    host: String,
    idle: Mutex<Vec<(Instant, TcpStream)>>,
}

impl Client {
    pub(crate) fn new(host: String) -> Self {
        Self { host, idle: Mutex::default() }
    }

    pub(crate) async fn get(&self, path: &str, position: Option<&str>) -> Result<Answer, String> {
        let position = position.map(|position| format!("x-tierkeep-position: {position}\r\n")).unwrap_or_default();
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{position}\r\n", self.host)).await
    }

    /// Sends JSON.
    pub(crate) async fn with_body(&self, method: &str, path: &str, body: &serde_json::Value) -> Result<Answer, String> {
        let body = body.to_string();
        let head = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
        self.send(&format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n{head}\r\n{body}", self.host)).await
    }

    async fn send(&self, request: &str) -> Result<Answer, String> {
        let answered = tokio::time::timeout(PATIENCE, self.exchange(request)).await;
        let answered = answered.map_err(|_| "no answer in time".to_owned()).and_then(|answered| answered);
        answered.map_err(|error| format!("{}: {error}", request.lines().next().unwrap_or_default()))
    }

    /// The connection that was used last; those that were not for long are closed.
    fn kept(&self) -> Option<TcpStream> {
        let mut idle = self.idle.lock().unwrap();
        idle.retain(|(used, _)| used.elapsed() < KEPT);
        idle.pop().map(|(_, stream)| stream)
    }

    async fn exchange(&self, request: &str) -> Result<Answer, String> {
        let mut stream = match self.kept() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(&self.host).await.map_err(|error| error.to_string())?;
                stream.set_nodelay(true).map_err(|error| error.to_string())?;
                stream
            }
        };
        stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
        let mut bytes = Vec::with_capacity(4096);
        loop {
            if stream.read_buf(&mut bytes).await.map_err(|error| error.to_string())? == 0 {
                return Err("the node closed the connection".to_owned());
            }
            if let Some(answer) = whole(&bytes) {
                self.idle.lock().unwrap().push((Instant::now(), stream));
                return Ok(answer);
            }
        }
    }
}

/// The answer, once all of it is there.
fn whole(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = str::from_utf8(&bytes[..end]).unwrap();
    let header = |wanted: &str| {
        let mut headers = head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.to_owned())
    };
    let length: usize = header("content-length").expect("answers say their length").parse().unwrap();
    let body = bytes.get(end + 4..end + 4 + length)?;
    Some(Answer {
        status: head[9..12].parse().unwrap(),
        tier: header("x-cache").unwrap_or_default(),
        position: header("x-tierkeep-position"),
        body: String::from_utf8(body.to_vec()).unwrap(),
    })
}
