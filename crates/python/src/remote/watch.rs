//! Hears of every change in the server: what this process has copied counts while nothing can have been missed.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redis::{PushKind, Value};
use tierkeep_cache::redis::Servers as Named;

use super::line::{Dialer, Failure, Line, spoken};
use super::names::Names;
use super::{Remote, RemoteError};

/// The first pause between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest: a server that is back is found this late at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The pause where the server cannot tell of changes: it may be replaced by one that can.
const UNABLE_PAUSE: Duration = Duration::from_secs(30);
/// How often in each bound the server is asked for a sign of life.
const SIGNS: u32 = 3;

/// What a [`Watch`] tells, on a thread of its own, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The value of a key was changed, removed, or has expired.
    Key(Vec<u8>),
    /// A tag was invalidated.
    Tag(Vec<u8>),
    /// Anything may have changed: the server was emptied, or changes may have been missed. Always told before copies
    /// count again after they did not.
    Everything,
    /// Copies count from now on.
    Back,
    /// Copies count no more.
    Lost(String),
    /// The server cannot tell of changes, for this reason: copies never count. Told once.
    Unable(String),
}

/// Breaks a watch on purpose, to see that tests notice.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each breaks one thing, for one test")]
pub struct Sabotage {
    /// Tells of no change.
    pub is_deaf: bool,
    /// Trusts a connection that gives no sign of life.
    pub is_trusting: bool,
    /// Keeps copies over a gap between two connections.
    pub keeps_over_gaps: bool,
    /// Counts a sign of life from its coming, not from when it was asked for.
    pub counts_from_answer: bool,
}

/// Told of changes while it exists; made by [`Remote::watch`].
///
/// In a forked child nothing is told, and copies stop counting within the bound.
pub struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    began: Instant,
    /// Microseconds from the beginning until which nothing can have been missed for longer than the bound; 0 is never.
    trusted_until: AtomicU64,
    /// When the server was asked for the last sign of life that it gave, in microseconds from the beginning; 0 is never.
    heard: AtomicU64,
    is_over: Mutex<bool>,
    ended: Condvar,
}

impl Watch {
    /// Whether copies count now: every change that is older than the bound was told.
    ///
    /// Reads the clock: a thread that was not scheduled cannot make it late.
    pub fn is_trusted(&self) -> bool {
        self.shared.now() < self.shared.trusted_until.load(Ordering::Acquire)
    }

    /// How old a change may be that was not told; `None` if the server was never heard.
    pub fn silent_for(&self) -> Option<Duration> {
        let heard = self.shared.heard.load(Ordering::Acquire);
        (heard > 0).then(|| Duration::from_micros(self.shared.now().saturating_sub(heard)))
    }

    /// Ends the watch and waits for its thread, for about the third part of the bound.
    pub fn close(mut self) {
        self.shared.end();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Drop for Watch {
    /// Ends the watch; its thread ends within the third part of the bound.
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Shared {
    fn now(&self) -> u64 {
        micros(self.began.elapsed())
    }

    fn end(&self) {
        self.trusted_until.store(0, Ordering::Release);
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.ended.notify_all();
    }

    fn is_over(&self) -> bool {
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, unless it is over.
    fn pause(&self, length: Duration) {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.ended.wait_timeout_while(is_over, length, |is_over| !*is_over));
    }
}

impl Remote {
    /// Tells of every change in the server, whoever made it, this process included.
    ///
    /// Copies count ([`Watch::is_trusted`]) while the server gives signs of life, and then what is not told is younger
    /// than `bound`. `tell` runs on the watch's thread and is to be quick.
    ///
    /// # Errors
    /// [`RemoteError::Forked`]; [`RemoteError::Unreachable`] if no thread can be started. Never that the server is down.
    pub fn watch(&self, bound: Duration, tell: impl FnMut(Event) + Send + 'static) -> Result<Watch, RemoteError> {
        self.sabotaged_watch(bound, Sabotage::default(), tell)
    }

    #[doc(hidden)]
    pub fn sabotaged_watch(
        &self,
        bound: Duration,
        sabotage: Sabotage,
        mut tell: impl FnMut(Event) + Send + 'static,
    ) -> Result<Watch, RemoteError> {
        self.alive()?;
        let shared = Arc::new(Shared {
            began: Instant::now(),
            trusted_until: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            is_over: Mutex::new(false),
            ended: Condvar::new(),
        });
        if self.servers.is_cluster() {
            tell(Event::Unable("changes on a cluster are not followed".to_owned()));
            return Ok(Watch { shared, thread: None });
        }
        let watcher = Watcher {
            dialer: self.servers.dialer(),
            names: self.names.clone(),
            // Where sentinels choose the primary, the one that was may live on as another's replica.
            asks_role: matches!(self.settings.primary.servers, Named::Sentinel(..)),
            connect_timeout: self.settings.connect_timeout,
            bound: bound.max(Duration::from_millis(3)),
            sabotage,
            shared: Arc::clone(&shared),
            tell: Box::new(tell),
            is_trusted: false,
            was_unable: false,
        };
        let thread = std::thread::Builder::new()
            .name("tierkeep-watch".into())
            .spawn(move || watcher.run())
            .map_err(|error| RemoteError::Unreachable(error.to_string()))?;
        Ok(Watch { shared, thread: Some(thread) })
    }
}

struct Watcher {
    dialer: Arc<Dialer>,
    names: Names,
    asks_role: bool,
    connect_timeout: Duration,
    bound: Duration,
    sabotage: Sabotage,
    shared: Arc<Shared>,
    tell: Box<dyn FnMut(Event) + Send>,
    is_trusted: bool,
    was_unable: bool,
}

impl Watcher {
    fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        while !self.shared.is_over() {
            let failure = match self.connect() {
                Ok(line) => {
                    pause = FIRST_PAUSE;
                    self.listen(line)
                }
                Err(failure) => failure,
            };
            self.shared.trusted_until.store(0, Ordering::Release);
            let (reason, length) = match failure {
                Failure::Lost(error) => (error.to_string(), pause),
                Failure::Refused(said) => {
                    if !std::mem::replace(&mut self.was_unable, true) && !self.shared.is_over() {
                        (self.tell)(Event::Unable(said.clone()));
                    }
                    (said, UNABLE_PAUSE)
                }
            };
            if std::mem::take(&mut self.is_trusted) && !self.shared.is_over() {
                (self.tell)(Event::Lost(reason));
            }
            self.shared.pause(length);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn connect(&self) -> Result<Line, Failure> {
        let deadline = Instant::now() + self.connect_timeout;
        let mut line = self.dialer.pushes(None, deadline)?;
        let mut tracking = redis::cmd("CLIENT");
        tracking.arg("TRACKING").arg("ON").arg("BCAST");
        for prefix in self.names.watched() {
            tracking.arg("PREFIX").arg(prefix);
        }
        match line.ask(&[tracking], deadline)?.pop() {
            Some(Value::ServerError(error)) => Err(refused(&error)),
            _ => Ok(line),
        }
    }

    /// Follows a connection to its end, and says what that was.
    fn listen(&mut self, mut line: Line) -> Failure {
        loop {
            let sent = Instant::now();
            let next_sign = sent + self.bound / SIGNS;
            if !(self.sabotage.is_trusting && self.is_trusted) {
                if let Err(failure) = self.sign_of_life(&mut line, sent) {
                    return failure;
                }
                // All that was told to the server before the question was answered has been told here.
                if !self.is_trusted && !self.sabotage.keeps_over_gaps {
                    (self.tell)(Event::Everything);
                }
                // From when it was asked for: of what changed while the answer was on its way, nothing is known.
                let known = if self.sabotage.counts_from_answer { Instant::now() } else { sent };
                let until = micros((known + self.bound).duration_since(self.shared.began));
                self.shared.heard.store(micros(sent.duration_since(self.shared.began)).max(1), Ordering::Release);
                self.shared
                    .trusted_until
                    .store(if self.sabotage.is_trusting { u64::MAX } else { until }, Ordering::Release);
                if !std::mem::replace(&mut self.is_trusted, true) {
                    (self.tell)(Event::Back);
                }
            }
            loop {
                if self.shared.is_over() {
                    return Failure::Lost(io::ErrorKind::Interrupted.into());
                }
                match line.next(next_sign) {
                    Ok(value) => self.heard(value),
                    Err(error) if error.kind() == io::ErrorKind::TimedOut => break,
                    Err(error) => return Failure::Lost(error),
                }
            }
        }
    }

    fn sign_of_life(&mut self, line: &mut Line, sent: Instant) -> Result<(), Failure> {
        let deadline = sent + self.bound;
        line.tell(&redis::cmd(if self.asks_role { "ROLE" } else { "PING" }), deadline)?;
        loop {
            match line.next(deadline)? {
                push @ Value::Push { .. } => self.heard(push),
                Value::ServerError(error) => return Err(refused(&error)),
                Value::Array(role)
                    if self.asks_role && role.first() != Some(&Value::BulkString(b"master".to_vec())) =>
                {
                    return Err(io::Error::other("the server is not the primary any more").into());
                }
                _ => return Ok(()),
            }
        }
    }

    fn heard(&mut self, value: Value) {
        let Value::Push { kind: PushKind::Invalidate, data } = value else { return };
        if self.sabotage.is_deaf {
            return;
        }
        match data.into_iter().next() {
            Some(Value::Array(names)) => {
                for name in names {
                    let Value::BulkString(name) = name else { continue };
                    if let Some(key) = self.names.key_of(&name) {
                        (self.tell)(Event::Key(key.to_vec()));
                    } else if let Some(tag) = self.names.tag_of(&name) {
                        (self.tell)(Event::Tag(tag.to_vec()));
                    }
                }
            }
            _ => (self.tell)(Event::Everything),
        }
    }
}

/// A server that is only starting, or that is too busy, will be able later.
fn refused(error: &redis::ServerError) -> Failure {
    match error.code() {
        "LOADING" | "BUSY" | "MASTERDOWN" | "CLUSTERDOWN" => Failure::Lost(io::Error::other(spoken(error))),
        _ => Failure::Refused(spoken(error)),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
