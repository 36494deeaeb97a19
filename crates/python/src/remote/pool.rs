//! Connections to one server, kept and used again, and not asked while it does not answer.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::{Cmd, Value};
use tierkeep_cache::Tick;
use tierkeep_cache::redis::{Breaker, Host, Permit};

use super::RemoteError;
use super::line::{Dialer, Failure, Line};
use super::settings::Settings;

/// What happens if an answer does not come: whether the same requests may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Twice is as once.
    Safe,
    /// Twice is not as once.
    Unsafe,
}

pub(super) struct Pool {
    dialer: Arc<Dialer>,
    /// The server; none for the primary that the dialer finds.
    host: Option<Host>,
    connect_timeout: Duration,
    socket_timeout: Duration,
    max_connections: usize,
    began: Instant,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    /// The last used is used next, so that those that are not needed grow old.
    idle: Vec<Line>,
    /// Connections that exist, those in use included.
    open: usize,
    /// Connections made so far.
    made: u64,
    breaker: Breaker,
}

/// A connection that is in use; counted as open until it is given back or dropped.
struct Used<'a> {
    pool: &'a Pool,
    line: Option<Line>,
    permit: Permit,
    /// Whether it was used before.
    is_old: bool,
}

impl Drop for Used<'_> {
    fn drop(&mut self) {
        if self.line.is_none() {
            return;
        }
        self.line = None;
        self.pool.state().open -= 1;
        self.pool.freed.notify_one();
    }
}

impl Pool {
    pub(super) fn new(dialer: Arc<Dialer>, host: Option<Host>, settings: &Settings) -> Self {
        Self {
            dialer,
            host,
            connect_timeout: settings.connect_timeout,
            socket_timeout: settings.socket_timeout,
            max_connections: settings.max_connections,
            began: Instant::now(),
            state: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// Sends requests and returns their answers, errors of the server among them.
    pub(super) fn ask(&self, requests: &[Cmd], repeat: Repeat) -> Result<Vec<Value>, RemoteError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let mut used = self.take(None)?;
        loop {
            let line = used.line.as_mut().expect("it is in use");
            let failure = match line.ask(requests, Instant::now() + self.socket_timeout) {
                // Somebody emptied the server's programs, or another is the primary now.
                Ok(answers)
                    if used.is_old
                        && (repeat == Repeat::Safe || requests.len() == 1)
                        && answers.iter().any(wants_new_connection) =>
                {
                    used = self.take(Some(used.permit))?;
                    continue;
                }
                Ok(answers) => {
                    self.give_back(used, answers.iter().any(wants_new_connection));
                    return Ok(answers);
                }
                Err(failure) => failure,
            };
            let again = used.is_old && (repeat == Repeat::Safe || requests.len() == 1 && was_not_sent(&failure));
            let again = again && !failure.is_silence();
            if !failure.is_silence() {
                self.forget_idle();
            }
            if !again {
                let permit = used.permit;
                drop(used);
                self.failed(permit);
                return Err(self.error(failure));
            }
            let permit = used.permit;
            drop(used);
            used = self.take(Some(permit))?;
        }
    }

    /// A connection: a new one for requests that an old one could not bring to the server, which have their permit.
    fn take(&self, again: Option<Permit>) -> Result<Used<'_>, RemoteError> {
        let deadline = Instant::now() + self.socket_timeout;
        let mut state = self.state();
        let made = state.made;
        let permit = match again {
            Some(permit) => permit,
            None => state.breaker.admit(self.now(), made).ok_or(RemoteError::Suspended)?,
        };
        loop {
            if again.is_none()
                && let Some(line) = state.idle.pop()
            {
                return Ok(Used { pool: self, line: Some(line), permit, is_old: true });
            }
            if state.open < self.max_connections {
                break;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(RemoteError::NoConnection(self.max_connections));
            }
            state = self.freed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.open += 1;
        drop(state);
        match self.dialer.commands(self.host.as_ref(), Instant::now() + self.connect_timeout) {
            Ok(line) => {
                self.state().made += 1;
                Ok(Used { pool: self, line: Some(line), permit, is_old: false })
            }
            Err(failure) => {
                self.state().open -= 1;
                self.freed.notify_one();
                self.failed(permit);
                Err(match failure {
                    failure if failure.is_silence() => RemoteError::TimedOut(self.connect_timeout),
                    failure => self.error(failure),
                })
            }
        }
    }

    fn give_back(&self, mut used: Used<'_>, discard: bool) {
        let line = used.line.take();
        let mut state = self.state();
        state.breaker.succeeded();
        match line {
            Some(line) if !discard => state.idle.push(line),
            _ => state.open -= 1,
        }
        drop(state);
        self.freed.notify_one();
    }

    /// Closes what is not in use: it may lead to where a connection was just lost.
    pub(super) fn forget_idle(&self) {
        let mut state = self.state();
        let idle = std::mem::take(&mut state.idle);
        state.open -= idle.len();
        drop(state);
        self.freed.notify_all();
    }

    fn failed(&self, permit: Permit) {
        let mut state = self.state();
        let made = state.made;
        state.breaker.failed(permit, self.now(), made);
    }

    fn error(&self, failure: Failure) -> RemoteError {
        match failure {
            failure if failure.is_silence() => RemoteError::TimedOut(self.socket_timeout),
            Failure::Lost(error) => RemoteError::Unreachable(error.to_string()),
            Failure::Refused(said) => RemoteError::Refused(said),
        }
    }

    /// Connections that exist.
    pub(super) fn open(&self) -> usize {
        self.state().open
    }

    fn now(&self) -> Tick {
        Tick::from_millis(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether one request that was lost cannot have reached the server: it had closed the connection long before.
fn was_not_sent(failure: &Failure) -> bool {
    matches!(failure, Failure::Lost(error) if error.kind() == io::ErrorKind::BrokenPipe)
}

fn wants_new_connection(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if matches!(error.code(), "NOSCRIPT" | "READONLY"))
}
