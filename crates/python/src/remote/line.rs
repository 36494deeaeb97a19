//! One connection: requests go out together, answers come back in order.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::time::Instant;

use redis::{Cmd, Value};
use rustls::ClientConfig;
use tierkeep_cache::redis::{Address, Host, Servers};

use super::scripts;
use super::settings::Settings;
use super::transport::Stream;

/// Bytes that are read at once.
const CHUNK: usize = 16 * 1024;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The connection is lost.
    Lost(io::Error),
    /// The server said this instead of letting us in.
    Refused(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

impl Failure {
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Lost(error) if error.kind() == io::ErrorKind::TimedOut)
    }
}

/// A connection that has been let in.
pub(super) struct Line {
    stream: Stream,
    /// Bytes of answers that were not asked for yet.
    unread: Vec<u8>,
    pushes: VecDeque<Value>,
}

impl Line {
    /// Sends requests and returns their answers, errors of the server among them.
    pub(super) fn ask(&mut self, requests: &[Cmd], deadline: Instant) -> Result<Vec<Value>, Failure> {
        self.stream.set_deadline(deadline);
        self.send(requests)?;
        (0..requests.len()).map(|_| self.answer()).collect()
    }

    fn send(&mut self, requests: &[Cmd]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(256);
        requests.iter().for_each(|request| request.write_packed_command(&mut bytes));
        self.stream.write_all(&bytes)?;
        self.stream.flush()
    }

    /// The next answer; what the server sends unasked is kept.
    fn answer(&mut self) -> Result<Value, Failure> {
        loop {
            match self.receive()? {
                push @ Value::Push { .. } => self.pushes.push_back(push),
                answer => return Ok(answer),
            }
        }
    }

    /// Sends one request without awaiting its answer.
    pub(super) fn tell(&mut self, request: &Cmd, deadline: Instant) -> io::Result<()> {
        self.stream.set_deadline(deadline);
        self.send(std::slice::from_ref(request))
    }

    /// Whatever the server sends next.
    pub(super) fn next(&mut self, deadline: Instant) -> io::Result<Value> {
        if let Some(push) = self.pushes.pop_front() {
            return Ok(push);
        }
        self.stream.set_deadline(deadline);
        self.receive()
    }

    fn receive(&mut self) -> io::Result<Value> {
        let mut complete = super::resp::Reader::default();
        loop {
            if let Some((value, length)) = complete.read(&self.unread)? {
                self.unread.drain(..length);
                return Ok(value);
            }
            let length = self.unread.len();
            let wanted = complete.missing(length).clamp(CHUNK, 1 << 20);
            self.unread.resize(length + wanted, 0);
            let read = loop {
                match self.stream.read(&mut self.unread[length..]) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => break read,
                }
            };
            self.unread.truncate(length + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Makes connections to the servers of some settings.
pub(super) struct Dialer {
    address: Address,
    sentinel_login: Option<(Option<String>, String)>,
    tls: Option<Arc<ClientConfig>>,
}

impl Dialer {
    pub(super) fn new(settings: &Settings, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { address: settings.primary.clone(), sentinel_login: settings.sentinel_login.clone(), tls }
    }

    /// A connection for commands: to `host`, or else to the one primary.
    pub(super) fn commands(&self, host: Option<&Host>, deadline: Instant) -> Result<Line, Failure> {
        let mut greeting = Vec::new();
        if let Some(password) = &self.address.password {
            let mut auth = redis::cmd("AUTH");
            self.address.username.iter().for_each(|name| _ = auth.arg(name));
            auth.arg(password);
            greeting.push(auth);
        }
        greeting.extend(self.select());
        greeting.extend(scripts::load());
        self.open(host, &greeting, deadline)
    }

    /// A connection on which the server may speak unasked.
    pub(super) fn pushes(&self, host: Option<&Host>, deadline: Instant) -> Result<Line, Failure> {
        let mut hello = redis::cmd("HELLO");
        hello.arg(3);
        if let Some(password) = &self.address.password {
            hello.arg("AUTH").arg(self.address.username.as_deref().unwrap_or("default")).arg(password);
        }
        let greeting: Vec<Cmd> = std::iter::once(hello).chain(self.select()).collect();
        self.open(host, &greeting, deadline)
    }

    fn select(&self) -> Option<Cmd> {
        let mut select = redis::cmd("SELECT");
        select.arg(self.address.database);
        (self.address.database > 0).then_some(select)
    }

    fn open(&self, host: Option<&Host>, greeting: &[Cmd], deadline: Instant) -> Result<Line, Failure> {
        let stream = match (host, &self.address.servers) {
            (Some(host), _) | (None, Servers::Tcp(host)) => Stream::tcp(host, self.tls.as_ref(), deadline)?,
            (None, Servers::Unix(path)) => Stream::unix(path.clone(), deadline)?,
            (None, Servers::Sentinel(sentinels, name)) => {
                let primary = self.primary(sentinels, name, deadline)?;
                Stream::tcp(&primary, self.tls.as_ref(), deadline)?
            }
            (None, Servers::Cluster(hosts)) => {
                each(hosts, deadline, |host, deadline| Ok(Stream::tcp(host, self.tls.as_ref(), deadline)?))?
            }
        };
        let mut line = Line { stream, unread: Vec::new(), pushes: VecDeque::new() };
        for answer in line.ask(greeting, deadline)? {
            if let Value::ServerError(error) = answer {
                return Err(Failure::Refused(spoken(&error)));
            }
        }
        Ok(line)
    }

    /// The primary that sentinels name; each is asked for its share of the time.
    fn primary(&self, sentinels: &[Host], name: &str, deadline: Instant) -> Result<Host, Failure> {
        let mut greeting = Vec::new();
        if let Some((username, password)) = &self.sentinel_login {
            let mut auth = redis::cmd("AUTH");
            username.iter().for_each(|name| _ = auth.arg(name));
            auth.arg(password);
            greeting.push(auth);
        }
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        greeting.push(question);
        each(sentinels, deadline, |sentinel, deadline| {
            let stream = Stream::tcp(sentinel, None, deadline)?;
            let mut line = Line { stream, unread: Vec::new(), pushes: VecDeque::new() };
            match line.ask(&greeting, deadline)?.pop() {
                Some(Value::Array(parts)) => host_of(&parts)
                    .ok_or_else(|| Failure::Refused("a sentinel gave an address that is none".to_owned())),
                Some(Value::ServerError(error)) => Err(Failure::Refused(spoken(&error))),
                _ => Err(Failure::Refused(format!("the sentinel {sentinel} knows no primary `{name}`"))),
            }
        })
    }
}

/// The first success, trying one host after the other, each for its share of the time.
fn each<T>(
    hosts: &[Host],
    deadline: Instant,
    mut attempt: impl FnMut(&Host, Instant) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut last = Failure::Lost(io::ErrorKind::AddrNotAvailable.into());
    for (index, host) in hosts.iter().enumerate() {
        let now = Instant::now();
        let left = u32::try_from(hosts.len() - index).unwrap_or(u32::MAX);
        match attempt(host, now + deadline.saturating_duration_since(now) / left) {
            Ok(made) => return Ok(made),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

/// A host of an answer: its name or address, and its port.
pub(super) fn host_of(parts: &[Value]) -> Option<Host> {
    let [Value::BulkString(name), port, ..] = parts else { return None };
    let port = match port {
        Value::Int(port) => u16::try_from(*port).ok()?,
        Value::BulkString(digits) => std::str::from_utf8(digits).ok()?.parse().ok()?,
        _ => return None,
    };
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
    (port > 0).then(|| Host { name: name.to_owned(), port })
}

/// What the server said.
pub(super) fn spoken(error: &redis::ServerError) -> String {
    match error.details() {
        Some(details) => format!("{}: {details}", error.code()),
        None => error.code().to_owned(),
    }
}
