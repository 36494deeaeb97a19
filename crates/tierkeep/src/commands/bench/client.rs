//! As much HTTP/1.1 as asking one node needs, over connections that are kept.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest wait for an answer: it has failed then.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest head and body that are read, in bytes: a page of what the API has is far smaller.
const HEAD: usize = 64 << 10;
const BODY: usize = 64 << 20;

/// A node, and the connections to it that nobody uses at present.
#[derive(Debug)]
pub(super) struct Client {
    address: SocketAddr,
    /// The rest of each request's head.
    head: String,
    idle: Mutex<Vec<TcpStream>>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Answer {
    /// The body of an answer that is one.
    ///
    /// # Errors
    /// The status, and what a problem says of it.
    pub(super) fn succeeded(self) -> Result<Vec<u8>, String> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or("without a reason");
        let advice = match self.status {
            401 | 403 => "; give a token of scope read with TIERKEEP_TOKEN",
            _ => "",
        };
        Err(format!("status {}: {detail}{advice}", self.status))
    }
}

impl Client {
    /// A client that shows this token, if there is one.
    pub(super) fn new(address: SocketAddr, token: Option<&str>) -> Self {
        let authorization = token.map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
        let head = format!(" HTTP/1.1\r\nhost: {address}\r\naccept: */*\r\n{authorization}\r\n");
        Self { address, head, idle: Mutex::default() }
    }

    /// Asks for a path. Dropping the future closes its connection.
    ///
    /// # Errors
    /// What went wrong on the way; an answer of any status is one.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, String> {
        let request = format!("GET {path}{}", self.head);
        match tokio::time::timeout(PATIENCE, self.send(request.as_bytes())).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(format!("{path}: {error}")),
            Err(_) => Err(format!("{path}: no answer within {} s", PATIENCE.as_secs())),
        }
    }

    async fn send(&self, request: &[u8]) -> io::Result<Answer> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(stream) = kept
            && let Ok(answer) = self.exchange(stream, request).await
        {
            return Ok(answer);
        }
        // the node may close a connection that is idle at the moment it is used; asking again changes nothing there
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        self.exchange(stream, request).await
    }

    async fn exchange(&self, mut stream: TcpStream, request: &[u8]) -> io::Result<Answer> {
        stream.write_all(request).await?;
        let mut bytes = Vec::with_capacity(4096);
        let head = loop {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the node closed the connection"));
            }
            if let Some(head) = Head::read(&bytes)? {
                break head;
            }
        };
        let end = head.length + head.body;
        while bytes.len() < end {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the node closed the connection half-way"));
            }
        }
        if head.stays && bytes.len() == end {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
        }
        bytes.truncate(end);
        bytes.drain(..head.length);
        Ok(Answer { status: head.status, body: bytes })
    }
}

/// What the head of an answer says.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Bytes of the head.
    length: usize,
    /// Bytes of the body.
    body: usize,
    /// Whether the connection may be used again.
    stays: bool,
}

impl Head {
    /// `None`: it is not all there yet.
    fn read(bytes: &[u8]) -> io::Result<Option<Self>> {
        let refused = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidData, why.to_owned()));
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return if bytes.len() > HEAD { refused("a head of more than 64 KiB") } else { Ok(None) };
        };
        let Ok(text) = str::from_utf8(&bytes[..end]) else { return refused("a head that is no text") };
        let mut lines = text.lines();
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
        let Some(status) = status else { return refused("this is not HTTP/1.1") };
        let mut head = Self { status, length: end + 4, body: 0, stays: true };
        let mut is_told = matches!(status, 204 | 304);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                match value.parse() {
                    Ok(length) if length <= BODY => (head.body, is_told) = (length, true),
                    _ => return refused("a body of more than 64 MiB"),
                }
            } else if name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
                head.stays = false;
            }
        }
        if is_told { Ok(Some(head)) } else { refused("an answer that does not say its length") }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn head(text: &str) -> Option<Head> {
        Head::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_head_says_where_its_answer_ends() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX-Cache: l1\r\n\r\n{\"a\":1}";

        assert_eq!(head(text), Some(Head { status: 200, length: text.len() - 7, body: 7, stays: true }));
        assert!(!head("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap().stays);
        for cut in 0..text.len() - 7 {
            assert_eq!(head(&text[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let endless = "x".repeat(HEAD + 1);
        for text in [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 abc\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n",
            &endless,
        ] {
            assert!(Head::read(text.as_bytes()).is_err(), "{:.40}", text);
        }
    }

    #[test]
    fn a_problem_says_what_it_is() {
        let answer = |status, body: &str| Answer { status, body: body.as_bytes().to_vec() }.succeeded();

        assert_eq!(answer(200, "{}").unwrap(), b"{}");
        assert_eq!(answer(404, r#"{"detail":"no such learner"}"#).unwrap_err(), "status 404: no such learner");
        assert!(answer(401, "").unwrap_err().ends_with("give a token of scope read with TIERKEEP_TOKEN"));
    }

    #[tokio::test]
    async fn connections_are_kept_and_one_that_was_closed_is_replaced() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(listener.local_addr().unwrap(), Some("secret"));
        let server = async {
            let mut requests = Vec::new();
            // two answers on one connection, which then is closed although it was to stay
            for answers in [2, 1] {
                let (mut stream, _) = listener.accept().await.unwrap();
                for _ in 0..answers {
                    let mut bytes = Vec::new();
                    while !bytes.ends_with(b"\r\n\r\n") {
                        stream.read_buf(&mut bytes).await.unwrap();
                    }
                    requests.push(String::from_utf8(bytes).unwrap());
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                }
            }
            requests
        };
        let asking = async {
            for path in ["/a", "/b", "/c"] {
                assert_eq!(client.get(path).await.unwrap().succeeded().unwrap(), b"ok");
            }
        };

        let (requests, ()) = tokio::join!(server, asking);

        let lines: Vec<&str> = requests.iter().filter_map(|request| request.lines().next()).collect();
        assert_eq!(lines, ["GET /a HTTP/1.1", "GET /b HTTP/1.1", "GET /c HTTP/1.1"]);
        assert!(requests[0].contains("authorization: Bearer secret\r\n"));
    }
}
