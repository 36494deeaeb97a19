//! The collector, as the one thread sees it that sends: a connection for each batch, and an end to every wait.
//!
//! Nothing else in the process waits for it, so what blocks is simpler than what does not, and needs no client of another's.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::OtlpEndpoint;

/// Longest time for a batch, after the host's name is known.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer that its first line must be within.
const LONGEST_LINE: usize = 1024;

/// Where batches go.
pub(super) struct Collector {
    host: String,
    port: u16,
    /// What a request says before its length.
    head: String,
    patience: Duration,
}

impl Collector {
    pub(super) fn new(endpoint: &OtlpEndpoint) -> Self {
        let authorization = endpoint.credentials().map_or_else(String::new, |credentials| {
            format!("authorization: Basic {}\r\n", STANDARD.encode(credentials))
        });
        let (path, authority) = (endpoint.path(), endpoint.authority());
        Self {
            host: endpoint.host().to_owned(),
            port: endpoint.port(),
            head: format!(
                "POST {path} HTTP/1.1\r\nhost: {authority}\r\n{authorization}connection: close\r\n\
                 content-type: application/x-protobuf\r\n"
            ),
            patience: PATIENCE,
        }
    }

    /// Sends a body, within 5 s and what it takes to find the host.
    ///
    /// # Errors
    /// It did not arrive, or the collector says that it took nothing.
    pub(super) fn post(&self, body: &[u8]) -> io::Result<()> {
        let addresses = (self.host.as_str(), self.port).to_socket_addrs()?;
        let until = Instant::now() + self.patience;
        let mut stream = connect(addresses, until)?;
        stream.set_nodelay(true)?;
        let head = format!("{}content-length: {}\r\n\r\n", self.head, body.len());
        write(&mut stream, head.as_bytes(), until)?;
        write(&mut stream, body, until)?;
        match status(&mut stream, until)? {
            200..300 => Ok(()),
            status => Err(io::Error::other(format!("the collector answers {status}"))),
        }
    }
}

fn connect(addresses: impl Iterator<Item = std::net::SocketAddr>, until: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, left(until)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A limit of the whole, and not of each piece: a collector that takes byte by byte is a slow one.
fn write(stream: &mut TcpStream, mut bytes: &[u8], until: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(left(until)?))?;
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(named(error)),
        }
    }
    Ok(())
}

fn status(stream: &mut TcpStream, until: Instant) -> io::Result<u16> {
    let (mut line, mut filled) = ([0; LONGEST_LINE], 0);
    while filled < LONGEST_LINE && !line[..filled].contains(&b'\n') {
        stream.set_read_timeout(Some(left(until)?))?;
        match stream.read(&mut line[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(named(error)),
        }
    }
    let code = std::str::from_utf8(line.get(9..12).unwrap_or_default()).ok().and_then(|code| code.parse().ok());
    code.filter(|_| line.starts_with(b"HTTP/1."))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the collector does not speak HTTP"))
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(late()) } else { Ok(left) }
}

/// A limit that is reached is told in these words by the kernel: "try again".
fn named(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { late() } else { error }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the collector does not answer in time")
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn collector(listener: &TcpListener, patience: Duration) -> Collector {
        let port = listener.local_addr().unwrap().port();
        let endpoint = format!("http://ada:secret@127.0.0.1:{port}/otlp").parse().unwrap();
        Collector { patience, ..Collector::new(&endpoint) }
    }

    /// Answers one request with these bytes, and tells what it was.
    fn answering(listener: TcpListener, answer: &'static [u8]) -> thread::JoinHandle<(Vec<String>, Vec<u8>)> {
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let lines: Vec<String> =
                reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            let length = lines.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            stream.write_all(answer).unwrap();
            (lines, body)
        })
    }

    #[test]
    fn a_batch_is_posted_with_its_length_and_who_sends_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let collector = collector(&listener, Duration::from_secs(60));
        let seen = answering(listener, b"HTTP/1.1 200 OK\r\n\r\n");

        collector.post(b"spans").unwrap();

        let (lines, body) = seen.join().unwrap();
        assert_eq!(lines[0], "POST /otlp/v1/traces HTTP/1.1");
        assert!(lines.contains(&"authorization: Basic YWRhOnNlY3JldA==".to_owned()), "{lines:?}");
        assert_eq!(body, b"spans");
    }

    #[test]
    fn a_collector_that_takes_nothing_is_an_error() {
        for (answer, words) in [
            (&b"HTTP/1.1 503 Service Unavailable\r\n\r\n"[..], "answers 503"),
            (b"HTTP/1.1 abc\r\n", "does not speak HTTP"),
            (b"220 mail.example ESMTP\r\n", "does not speak HTTP"),
            (b"", "does not speak HTTP"),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let collector = collector(&listener, Duration::from_secs(60));
            let seen = answering(listener, answer);

            let error = collector.post(b"spans").unwrap_err().to_string();

            assert!(error.contains(words), "{error}");
            seen.join().unwrap();
        }
    }

    #[test]
    fn a_collector_that_never_answers_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let collector = collector(&listener, Duration::from_millis(50));

        // more than what buffers on the way hold
        let error = collector.post(&vec![0; 32 << 20]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");

        let error = collector.post(b"spans").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    }
}
