//! One connection to a node: a request goes out, an answer comes back, both within a time limit and a length.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest head of an answer, in bytes. A node's has about 400.
const MAX_HEAD: usize = 64 << 10;

/// Most fields of a head. A node's has a dozen.
const MAX_FIELDS: usize = 64;

/// Bytes that one read asks for.
const READ: usize = 16 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// A kept connection had ended before the first byte of an answer: the node may have closed it meanwhile.
    #[error("the connection had been closed")]
    Ended,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[source] io::Error),
    /// The answer ends before its end.
    #[error("the answer was cut off")]
    Cut,
    /// The time was up.
    #[error("no answer in time")]
    Slow,
    /// What came is no HTTP, or no kind of it that a node speaks.
    #[error("the answer is no HTTP of a node: {0}")]
    Malformed(&'static str),
    /// What came is longer than this client takes.
    #[error("the {0} is longer than {1} bytes")]
    TooLong(&'static str, usize),
}

/// What a node said.
#[derive(Debug, Default)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    pub(super) cache: Option<String>,
    pub(super) position: Option<u64>,
    /// Whether the body is declared as JSON.
    pub(super) is_json: bool,
    pub(super) body: Vec<u8>,
    /// Whether the connection may carry another request.
    pub(super) is_reusable: bool,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// Whether it has carried a request before.
    pub(super) is_used: bool,
}

impl Connection {
    /// Connects to the first address that takes it.
    pub(super) fn open(addresses: &[SocketAddr], limit: Duration) -> Result<Self, WireError> {
        let deadline = Instant::now() + limit;
        let mut last = WireError::Slow;
        for address in addresses {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match TcpStream::connect_timeout(address, left) {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(WireError::Broken)?;
                    return Ok(Self { stream, is_used: false });
                }
                Err(error) if is_timeout(&error) => last = WireError::Slow,
                Err(error) => last = WireError::Broken(error),
            }
        }
        Err(last)
    }

    /// Whether nothing has come since the last answer, the end of the connection included.
    pub(super) fn is_quiet(&self) -> bool {
        let look = || {
            self.stream.set_nonblocking(true)?;
            let seen = self.stream.peek(&mut [0]);
            self.stream.set_nonblocking(false)?;
            seen
        };
        matches!(look(), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends the request and reads its answer.
    pub(super) fn exchange(
        &mut self,
        request: &[u8],
        deadline: Instant,
        max_body: usize,
    ) -> Result<Response, WireError> {
        let was_used = std::mem::replace(&mut self.is_used, true);
        let early = |error: WireError| match error {
            WireError::Broken(_) | WireError::Cut if was_used => WireError::Ended,
            other => other,
        };
        self.stream.set_write_timeout(Some(left(deadline)?)).map_err(WireError::Broken)?;
        self.stream.write_all(request).map_err(broken).map_err(early)?;

        let mut input = Input { stream: &self.stream, deadline, buffer: Vec::new(), at: 0 };
        input.fill().map_err(early)?;
        let mut head = input.head()?;
        // interim answers; a node sends none, a proxy may
        while (100..200).contains(&head.response.status) {
            if head.response.status == 101 {
                return Err(WireError::Malformed("it changes the protocol"));
            }
            head = input.head()?;
        }
        let Head { mut response, length, is_chunked, closes } = head;
        if !matches!(response.status, 204 | 304) {
            response.body = match (length, is_chunked) {
                (Some(_), true) => return Err(WireError::Malformed("it has two lengths")),
                (Some(length), false) if length > max_body => return Err(WireError::TooLong("body", max_body)),
                (Some(length), false) => input.take(length)?,
                (None, true) => input.chunks(max_body)?,
                (None, false) => return Err(WireError::Malformed("it says not how long it is")),
            };
        }
        response.is_reusable = !closes && input.is_empty();
        Ok(response)
    }
}

/// The head of an answer.
struct Head {
    response: Response,
    length: Option<usize>,
    is_chunked: bool,
    closes: bool,
}

impl Head {
    fn read(parsed: &httparse::Response<'_, '_>) -> Result<Self, WireError> {
        let status = parsed.code.ok_or(WireError::Malformed("it has no status"))?;
        let mut head = Self {
            response: Response { status, ..Response::default() },
            length: None,
            is_chunked: false,
            closes: parsed.version != Some(1),
        };
        for field in parsed.headers.iter() {
            let text = || String::from_utf8_lossy(field.value).trim().to_owned();
            match field.name.to_ascii_lowercase().as_str() {
                "content-length" => {
                    let given = text().parse().map_err(|_| WireError::Malformed("its length is no number"))?;
                    if head.length.replace(given).is_some_and(|before| before != given) {
                        return Err(WireError::Malformed("it has two lengths"));
                    }
                }
                "transfer-encoding" if text().eq_ignore_ascii_case("chunked") => head.is_chunked = true,
                "transfer-encoding" => return Err(WireError::Malformed("it has an unknown transfer encoding")),
                "content-encoding" if !text().eq_ignore_ascii_case("identity") => {
                    return Err(WireError::Malformed("it is compressed, which nobody asked for"));
                }
                "connection" => {
                    head.closes |= text().to_ascii_lowercase().split(',').any(|word| word.trim() == "close");
                }
                "etag" => head.response.etag = Some(text()),
                "x-cache" => head.response.cache = Some(text()),
                "x-tierkeep-position" => head.response.position = text().parse().ok(),
                "content-type" => {
                    let kind = text().to_ascii_lowercase();
                    let kind = kind.split(';').next().unwrap_or_default().trim();
                    head.response.is_json = kind == "application/json" || kind == "application/problem+json";
                }
                _ => {}
            }
        }
        Ok(head)
    }
}

/// What has come and was not read yet.
struct Input<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
    buffer: Vec<u8>,
    at: usize,
}

impl Input<'_> {
    fn is_empty(&self) -> bool {
        self.at == self.buffer.len()
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// Waits for more.
    fn fill(&mut self) -> Result<(), WireError> {
        let mut stream = self.stream;
        let end = self.buffer.len();
        self.buffer.resize(end + READ, 0);
        let read = loop {
            stream.set_read_timeout(Some(left(self.deadline)?)).map_err(WireError::Broken)?;
            match stream.read(&mut self.buffer[end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(broken),
            }
        };
        self.buffer.truncate(end + *read.as_ref().unwrap_or(&0));
        if read? == 0 { Err(WireError::Cut) } else { Ok(()) }
    }

    fn head(&mut self) -> Result<Head, WireError> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
            let mut parsed = httparse::Response::new(&mut fields);
            match parsed.parse(self.rest()) {
                Ok(httparse::Status::Complete(length)) => {
                    let head = Head::read(&parsed)?;
                    self.at += length;
                    return Ok(head);
                }
                Ok(httparse::Status::Partial) if self.rest().len() > MAX_HEAD => {
                    return Err(WireError::TooLong("head", MAX_HEAD));
                }
                Ok(httparse::Status::Partial) => self.fill()?,
                Err(httparse::Error::TooManyHeaders) => return Err(WireError::Malformed("it has too many fields")),
                Err(_) => return Err(WireError::Malformed("its head cannot be read")),
            }
        }
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, WireError> {
        while self.rest().len() < length {
            self.fill()?;
        }
        let taken = self.rest()[..length].to_vec();
        self.at += length;
        Ok(taken)
    }

    fn chunks(&mut self, max_body: usize) -> Result<Vec<u8>, WireError> {
        let mut body = Vec::new();
        loop {
            let length = self.chunk_length()?;
            if length == 0 {
                self.trailers()?;
                return Ok(body);
            }
            if length > max_body.saturating_sub(body.len()) {
                return Err(WireError::TooLong("body", max_body));
            }
            body.extend(self.take(length)?);
            if self.take(2)? != b"\r\n" {
                return Err(WireError::Malformed("a chunk has another length than it says"));
            }
            // what was taken is not kept twice
            self.buffer.drain(..self.at);
            self.at = 0;
        }
    }

    fn chunk_length(&mut self) -> Result<usize, WireError> {
        loop {
            match httparse::parse_chunk_size(self.rest()) {
                Ok(httparse::Status::Complete((used, length))) => {
                    self.at += used;
                    return usize::try_from(length).map_err(|_| WireError::Malformed("a chunk is too long"));
                }
                Ok(httparse::Status::Partial) if self.rest().len() > MAX_HEAD => {
                    return Err(WireError::TooLong("head of a chunk", MAX_HEAD));
                }
                Ok(httparse::Status::Partial) => self.fill()?,
                Err(_) => return Err(WireError::Malformed("a chunk has no length")),
            }
        }
    }

    fn trailers(&mut self) -> Result<(), WireError> {
        let start = self.rest().len();
        loop {
            if self.rest().starts_with(b"\r\n") {
                self.at += 2;
                return Ok(());
            }
            match self.rest().windows(2).position(|pair| pair == b"\r\n") {
                Some(end) => self.at += end + 2,
                None if self.rest().len() > start + MAX_HEAD => return Err(WireError::TooLong("trailer", MAX_HEAD)),
                None => self.fill()?,
            }
        }
    }
}

/// What is left until then.
fn left(deadline: Instant) -> Result<Duration, WireError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(WireError::Slow) } else { Ok(left) }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn broken(error: io::Error) -> WireError {
    if is_timeout(&error) { WireError::Slow } else { WireError::Broken(error) }
}
