//! A client of Tierkeep nodes over HTTP/1.1, without a runtime: blocking sockets, kept alive, within time limits.
//!
//! A call has three parts, so that a process may fork at any time: [`NodeClient::begin`] and [`NodeClient::settle`] take
//! the lock for a few lines, and [`Errand::run`] between them, the only one that waits, takes none. Whoever holds the
//! interpreter for the first and the last is in no lock when it forks.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use self::address::{Address, AddressError};
pub use self::answers::Decoded;
use self::answers::{Answer, Answers, Kept};
use self::breaker::Breaker;
pub use self::errand::Errand;
use self::lane::{Lane, Outcome};
use self::said::text;
use self::wire::Connection;

mod address;
mod answers;
mod breaker;
mod errand;
mod lane;
mod said;
#[cfg(test)]
mod tests;
mod wire;
pub mod workers;

/// Connections that wait for the next request, at most, to each node.
const IDLE: usize = 8;

/// How long a connection waits for one.
const IDLE_FOR: Duration = Duration::from_secs(60);

/// How a client asks.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The nodes, in the order in which they are asked.
    pub nodes: Vec<Address>,
    /// A token of the API.
    pub token: Option<String>,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for an answer, all nodes and repetitions together.
    pub timeout: Duration,
    /// How long an answer is given again without asking.
    pub bound: Duration,
    /// How old an answer may be that is given, marked as stale, when no node answers.
    pub max_stale: Duration,
    /// Bytes of answers that are kept.
    pub kept_bytes: usize,
    /// Longest body of an answer, in bytes.
    pub max_body: usize,
}

/// How a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads; answers are kept, and it is repeated on a connection that had been closed.
    Get,
    /// Reads or writes.
    Post,
    /// Writes.
    Put,
    /// Writes.
    Patch,
    /// Writes.
    Delete,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// How.
    pub method: Method,
    /// Path and query, in ASCII without blanks.
    pub path: &'a str,
    /// A JSON document.
    pub body: Option<&'a [u8]>,
    /// Whom it is about; `None` for all.
    pub learner: Option<&'a str>,
    /// A position that the answer has to cover.
    pub position: u64,
    /// Makes a write repeatable.
    pub idempotency_key: Option<&'a str>,
    /// Whether it changes something, so that answers that are kept no longer hold.
    pub is_write: bool,
}

/// Where an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// This process had it, and it is fresh.
    Kept,
    /// This process had it, and a node said that it still holds.
    Unchanged,
    /// A node sent it.
    Fetched,
    /// This process had it; no node answered.
    Stale,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status of HTTP; 200 for what was kept.
    pub status: u16,
    /// The document.
    pub body: Arc<str>,
    /// Where it comes from.
    pub source: Source,
    /// Which tier of the node had it, in the node's word.
    pub tier: Option<String>,
    /// The position of a write.
    pub position: Option<u64>,
    /// Which node said so; an index into [`Settings::nodes`].
    pub node: Option<usize>,
    /// What the body means to whoever asked, made once and kept with it; of an answer that is kept.
    pub decoded: Option<Decoded>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// No node answered; in words for each.
    #[error("no node answered: {0}")]
    Unavailable(String),
    /// What answered is no node, or one of another version.
    #[error("{node} answered with what is no answer of a node: {why}")]
    Unexpected {
        /// Its address.
        node: String,
        /// What is wrong.
        why: String,
    },
    /// The request cannot be sent.
    #[error("this cannot be asked: {0}")]
    Invalid(&'static str),
}

/// What has come of all calls of this process.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Answered by what was kept.
    pub kept: u64,
    /// Answered by what was kept, after a node was asked.
    pub unchanged: u64,
    /// Answered by a node.
    pub fetched: u64,
    /// Answered by what was kept, since no node answered.
    pub stale: u64,
    /// Not answered.
    pub failed: u64,
    /// Answers that are kept.
    pub entries: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// The client. Its state belongs to one process: a forked child begins with nothing.
#[derive(Debug)]
pub struct NodeClient {
    settings: Settings,
    addresses: Vec<Arc<Address>>,
    state: Mutex<State>,
}

/// How a call begins.
#[derive(Debug)]
pub enum Begun {
    /// It is answered.
    Done(Reply),
    /// A node is to be asked.
    Ask(Box<Errand>),
}

#[derive(Debug)]
struct State {
    process: u32,
    nodes: Vec<NodeState>,
    answers: Answers,
    counts: Counts,
}

#[derive(Debug, Default)]
struct NodeState {
    idle: Vec<(Connection, Instant)>,
    seats: Arc<AtomicUsize>,
    sockets: Option<Arc<[std::net::SocketAddr]>>,
    breaker: Breaker,
}

impl NodeClient {
    /// A client of these nodes. Nothing is asked yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let addresses = settings.nodes.iter().cloned().map(Arc::new).collect();
        let state = Mutex::new(State::new(&settings));
        Self { settings, addresses, state }
    }

    /// What it was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The answer that is kept and fresh, or what has to be asked.
    ///
    /// # Errors
    /// [`NodeError::Invalid`], and [`NodeError::Unavailable`] when all nodes are left alone after their failures.
    pub fn begin(&self, request: Request<'_>, now: Instant) -> Result<Begun, NodeError> {
        check(&request)?;
        let Settings { bound, max_stale, .. } = self.settings;
        if self.addresses.is_empty() {
            return Err(NodeError::Unavailable("none is set".to_owned()));
        }
        let mut state = self.state();
        let mut kept = None;
        if request.method == Method::Get {
            kept = state.answers.get(request.path, request.learner, request.position).cloned();
            if let Some(kept) = kept.as_ref().filter(|kept| kept.is_fresh(now, bound)) {
                let reply = Reply::of(kept, Source::Kept);
                state.counts.kept += 1;
                return Ok(Begun::Done(reply));
            }
        }
        let lanes = state.lanes(&self.addresses, now);
        if lanes.is_empty() {
            if let Some(kept) = kept.filter(|kept| kept.is_fresh(now, max_stale)) {
                state.counts.stale += 1;
                return Ok(Begun::Done(Reply::of(&kept, Source::Stale)));
            }
            state.counts.failed += 1;
            let why = self.addresses.iter().zip(&state.nodes);
            let why: Vec<_> = why
                .map(|(address, node)| format!("{address}: {}, tried again each second", node.breaker.why()))
                .collect();
            return Err(NodeError::Unavailable(why.join("; ")));
        }
        Ok(Begun::Ask(Box::new(Errand {
            fields: self.fields(&request, kept.as_deref()),
            body: request.body.map(Box::from),
            path: request.path.into(),
            learner: request.learner.map(Arc::from),
            position: request.position,
            method: request.method,
            is_write: request.is_write,
            asked: state.answers.stamp(request.learner),
            begun: now,
            kept,
            lanes,
            connect_timeout: self.settings.connect_timeout,
            deadline: now + self.settings.timeout,
            max_body: self.settings.max_body,
            came: None,
            why: Vec::new(),
        })))
    }

    /// The answer that is kept and fresh.
    #[must_use]
    pub fn kept(&self, path: &str, learner: Option<&str>, position: u64, now: Instant) -> Option<Reply> {
        let mut state = self.state();
        let kept = state.answers.get(path, learner, position).filter(|kept| kept.is_fresh(now, self.settings.bound));
        let reply = kept.map(|kept| Reply::of(kept, Source::Kept))?;
        state.counts.kept += 1;
        Some(reply)
    }

    /// What came of an errand, after [`Errand::run`].
    ///
    /// # Errors
    /// [`NodeError::Unavailable`] and [`NodeError::Unexpected`].
    pub fn settle(&self, errand: Box<Errand>, now: Instant) -> Result<Reply, NodeError> {
        let Errand { path, learner, position, method, is_write, asked, begun, kept, lanes, came, why, .. } = *errand;
        let learner = learner.as_deref();
        let read = came.map(|(node, response)| (node, text(response, kept.is_some())));
        let mut state = self.state();
        for mut lane in lanes {
            let garbled = match &read {
                Some((node, Err(why))) if *node == lane.node => Some(why.clone()),
                _ => None,
            };
            if let Some(why) = garbled {
                lane.outcome = Some(Outcome::Failed(why));
                lane.idle = None;
            }
            state.take_back(lane, now);
        }
        if is_write {
            state.answers.forget(learner);
        }
        match read {
            Some((node, Ok(said))) => Ok(match (said.body, kept) {
                (None, Some(kept)) => {
                    let covers = kept.covers.max(position);
                    let (body, etag, decoded) = (Arc::clone(&kept.body), kept.etag.clone(), Arc::clone(&kept.decoded));
                    let answer = Answer { body, etag, said: begun, covers, decoded };
                    state.answers.keep(path, learner, asked, answer);
                    state.counts.unchanged += 1;
                    Reply { tier: said.tier, node: Some(node), ..Reply::of(&kept, Source::Unchanged) }
                }
                (body, _) => {
                    let body = body.unwrap_or_default();
                    if method == Method::Get && said.status == 200 && said.etag.is_some() {
                        let etag = said.etag.map(Arc::from);
                        let decoded = Decoded::default();
                        let answer = Answer { body: Arc::clone(&body), etag, said: begun, covers: position, decoded };
                        state.answers.keep(path, learner, asked, answer);
                    } else if method == Method::Get {
                        state.answers.remove(&path);
                    }
                    state.counts.fetched += 1;
                    let (status, tier, position) = (said.status, said.tier, said.position);
                    Reply { status, body, source: Source::Fetched, tier, position, node: Some(node), decoded: None }
                }
            }),
            Some((node, Err(why))) => {
                state.counts.failed += 1;
                Err(NodeError::Unexpected { node: self.addresses[node].to_string(), why })
            }
            None => {
                let is_usable = |kept: &Arc<Kept>| {
                    state.answers.stamp(learner) == asked && kept.is_fresh(now, self.settings.max_stale)
                };
                if let Some(kept) = kept.filter(is_usable) {
                    state.counts.stale += 1;
                    return Ok(Reply::of(&kept, Source::Stale));
                }
                state.counts.failed += 1;
                Err(NodeError::Unavailable(why.join("; ")))
            }
        }
    }

    /// All of it at once: begins, runs, settles.
    ///
    /// # Errors
    /// As [`begin`](Self::begin) and [`settle`](Self::settle).
    pub fn call(&self, request: Request<'_>) -> Result<Reply, NodeError> {
        match self.begin(request, Instant::now())? {
            Begun::Done(reply) => Ok(reply),
            Begun::Ask(mut errand) => {
                errand.run();
                self.settle(errand, Instant::now())
            }
        }
    }

    /// Forgets what is kept about a learner; without one, everything.
    pub fn forget(&self, learner: Option<&str>) {
        self.state().answers.forget(learner);
    }

    /// What has come of all calls.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let state = self.state();
        let (entries, bytes) = state.answers.size();
        Counts { entries, bytes, ..state.counts }
    }

    /// The state of this process. A forked child has its parent's connections: it closes its copies, which ends nothing.
    fn state(&self) -> MutexGuard<'_, State> {
        // nothing that can panic runs under the lock half-way through a change
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.process != std::process::id() {
            *state = State::new(&self.settings);
        }
        state
    }

    /// What stands after the line that names the node.
    fn fields(&self, request: &Request<'_>, kept: Option<&Kept>) -> String {
        let mut fields = String::with_capacity(320);
        let mut line = |parts: &[&str]| {
            parts.iter().for_each(|part| fields.push_str(part));
            fields.push_str("\r\n");
        };
        line(&["Accept: application/json"]);
        line(&["User-Agent: tierkeep-python/", env!("CARGO_PKG_VERSION")]);
        if let Some(token) = &self.settings.token {
            line(&["Authorization: Bearer ", token]);
        }
        if let Some(etag) = kept.and_then(|kept| kept.etag.as_deref()) {
            line(&["If-None-Match: ", etag]);
        }
        if request.position > 0 {
            line(&["X-Tierkeep-Position: ", &request.position.to_string()]);
        }
        if let Some(key) = request.idempotency_key {
            line(&["Idempotency-Key: ", key]);
        }
        if let Some(body) = request.body {
            line(&["Content-Type: application/json"]);
            line(&["Content-Length: ", &body.len().to_string()]);
        } else if request.method != Method::Get {
            line(&["Content-Length: 0"]);
        }
        line(&[]);
        fields
    }
}

impl State {
    fn new(settings: &Settings) -> Self {
        Self {
            process: std::process::id(),
            nodes: settings.nodes.iter().map(|_| NodeState::default()).collect(),
            answers: Answers::new(settings.kept_bytes),
            counts: Counts::default(),
        }
    }

    fn lanes(&mut self, addresses: &[Arc<Address>], now: Instant) -> Vec<Lane> {
        let mut lanes = Vec::new();
        for (node, (state, address)) in self.nodes.iter_mut().zip(addresses).enumerate() {
            if !state.breaker.admits(now) {
                continue;
            }
            state.idle.retain(|(_, since)| now.saturating_duration_since(*since) < IDLE_FOR);
            lanes.push(Lane {
                node,
                address: Arc::clone(address),
                sockets: state.sockets.clone(),
                // those behind the first are rarely asked
                idle: if lanes.is_empty() { state.idle.pop().map(|(connection, _)| connection) } else { None },
                seats: Arc::clone(&state.seats),
                outcome: None,
            });
        }
        lanes
    }

    fn take_back(&mut self, lane: Lane, now: Instant) {
        let node = &mut self.nodes[lane.node];
        match lane.outcome {
            Some(Outcome::Answered) => {
                node.breaker.succeeded();
                node.sockets = lane.sockets;
            }
            Some(Outcome::Failed(why)) => {
                node.breaker.failed(now, why);
                // a name may mean something else by now
                node.sockets = None;
            }
            Some(Outcome::Crowded) | None => {}
        }
        if let Some(connection) = lane.idle.filter(|_| node.idle.len() < IDLE) {
            node.idle.push((connection, now));
        }
    }
}

impl Reply {
    fn of(kept: &Kept, source: Source) -> Self {
        let (body, decoded) = (Arc::clone(&kept.body), Some(Arc::clone(&kept.decoded)));
        Self { status: 200, body, source, tier: None, position: None, node: None, decoded }
    }
}

impl Method {
    /// Reads its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete].into_iter().find(|method| method.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Refuses what would change the meaning of the request.
fn check(request: &Request<'_>) -> Result<(), NodeError> {
    let is_visible = |text: &str| text.bytes().all(|byte| matches!(byte, 0x21..=0x7e));
    if !request.path.starts_with('/') || !is_visible(request.path) {
        return Err(NodeError::Invalid("its path has to begin with / and to be ASCII without blanks"));
    }
    if request.idempotency_key.is_some_and(|key| !is_visible(key) || key.is_empty()) {
        return Err(NodeError::Invalid("an Idempotency-Key is ASCII without blanks"));
    }
    Ok(())
}
