//! Who may have a connection, and when one is made, kept or closed. Knows nothing of PostgreSQL.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{PoolCounts, PoolStatus};
use crate::Error;
use tally::{Reason, Tally, Waiting};

mod tally;

/// How long lent connections may take to come back when the pool closes. A request that runs longer was not drained.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// What the pool needs to know about connections.
pub(super) trait Connector: Send + Sync + 'static {
    /// One connection.
    type Session: Send + 'static;

    /// Makes a connection, within a time limit of its own. Leaks nothing if dropped.
    fn connect(&self) -> impl Future<Output = Result<Self::Session, Error>> + Send;

    /// Tells without waiting whether the connection is known to be dead.
    fn is_dead(&self, session: &Self::Session) -> bool;

    /// Asks the server for a sign of life, within a time limit of its own.
    fn ping(&self, session: &mut Self::Session) -> impl Future<Output = bool> + Send;

    /// Ends what the last user left unfinished, within a time limit of its own; false if the connection must not be
    /// used again.
    fn reset(&self, session: &mut Self::Session) -> impl Future<Output = bool> + Send;

    /// Says goodbye and waits until the connection is gone, within a time limit of its own.
    fn close(&self, session: Self::Session) -> impl Future<Output = ()> + Send;

    /// Cuts every connection that was made and still exists.
    fn cut_all(&self) -> impl Future<Output = ()> + Send;
}

/// The numbers of a pool.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) size: usize,
    pub(super) overflow: usize,
    pub(super) timeout: Duration,
    pub(super) recycle: Duration,
    pub(super) pre_ping: bool,
}

pub(super) struct Lending<C: Connector> {
    shared: Arc<Shared<C>>,
}

struct Shared<C: Connector> {
    connector: C,
    limits: Limits,
    /// One place per connection that may exist. A place is held while a connection is made, lent, checked after use or
    /// closed. An idle connection holds none, yet the bound holds: a connection is made only when none is idle.
    places: Arc<Semaphore>,
    tally: Tally,
    state: Mutex<State<C::Session>>,
    /// Tasks that check or close connections after use, and a token per place that is held.
    tasks: TaskTracker,
}

struct State<S> {
    /// The one returned last is at the end and is lent first.
    idle: Vec<Idle<S>>,
    /// Connections made before this moment are not used again: one of them was found dead then, or somebody said so.
    dead_before: Option<Instant>,
    closed: bool,
}

struct Idle<S> {
    session: S,
    made: Instant,
}

/// A connection that is lent. Dropping it returns it.
pub(super) struct Lease<C: Connector> {
    shared: Arc<Shared<C>>,
    /// Present until the lease is taken apart.
    content: Option<Content<C::Session>>,
    used: AtomicBool,
}

struct Content<S> {
    session: S,
    made: Instant,
    place: Place,
    /// Whoever drops the lease may be outside of the runtime.
    runtime: Handle,
}

/// The right to have a connection; what `close` waits for.
struct Place {
    _permit: OwnedSemaphorePermit,
    _token: TaskTrackerToken,
}

impl<C: Connector> Lending<C> {
    pub(super) fn new(connector: C, limits: Limits) -> Self {
        let max = limits.max();
        Self {
            shared: Arc::new(Shared {
                connector,
                limits,
                places: Arc::new(Semaphore::new(max)),
                tally: Tally::default(),
                state: Mutex::new(State { idle: Vec::new(), dead_before: None, closed: false }),
                tasks: TaskTracker::new(),
            }),
        }
    }

    pub(super) async fn get(&self) -> Result<Lease<C>, Error> {
        let shared = &self.shared;
        let mut place = shared.place().await?;
        while let Some(idle) = shared.take_idle() {
            if let Some(reason) = shared.is_outdated(idle.made) {
                place = shared.close_and_keep(idle.session, place, reason).await?;
                continue;
            }
            // From here on dropping this future returns the connection like any other.
            let mut lease = shared.lease(idle.session, idle.made, place);
            if shared.is_alive(lease.unused_session_mut()).await {
                shared.tally.lent();
                return Ok(lease);
            }
            shared.lock().dead_before = Some(Instant::now());
            let content = lease.take();
            place = shared.close_and_keep(content.session, content.place, Reason::Dead).await?;
        }
        let session = shared.connector.connect().await.inspect_err(|_| shared.tally.refused())?;
        shared.tally.made();
        shared.tally.lent();
        Ok(shared.lease(session, Instant::now(), place))
    }

    pub(super) fn renew(&self) {
        self.shared.lock().dead_before = Some(Instant::now());
    }

    pub(super) fn status(&self) -> PoolStatus {
        let max = self.shared.limits.max();
        PoolStatus {
            idle: self.shared.lock().idle.len(),
            in_use: max - self.shared.places.available_permits(),
            waiting: self.shared.tally.waiting(),
            max,
        }
    }

    pub(super) fn counts(&self) -> PoolCounts {
        self.shared.tally.read()
    }

    pub(super) async fn close(&self) {
        let shared = &self.shared;
        shared.places.close();
        let idle = {
            let mut state = shared.lock();
            state.closed = true;
            std::mem::take(&mut state.idle)
        };
        for idle in idle {
            let shared = Arc::clone(shared);
            shared.tally.closed(Reason::Ended);
            self.shared.tasks.spawn(async move { shared.connector.close(idle.session).await });
        }
        shared.tasks.close();
        // What is not back by then is cut, so the outcome does not matter.
        let _ = tokio::time::timeout(CLOSE_GRACE, shared.tasks.wait()).await;
        shared.connector.cut_all().await;
    }
}

impl<C: Connector> Shared<C> {
    /// Waits for a place, first come, first served.
    async fn place(&self) -> Result<Place, Error> {
        let _waiting = Waiting::new(&self.tally);
        let permit = Arc::clone(&self.places).acquire_owned();
        match tokio::time::timeout(self.limits.timeout, permit).await {
            Ok(Ok(permit)) => Ok(Place { _permit: permit, _token: self.tasks.token() }),
            Ok(Err(_)) => Err(Error::Closed),
            Err(_) => {
                self.tally.timed_out();
                // an error that were larger would make every result that holds one larger
                let told = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
                Err(Error::PoolTimeout {
                    waited: self.limits.timeout,
                    size: told(self.limits.size),
                    overflow: told(self.limits.overflow),
                    in_use: told(self.limits.max() - self.places.available_permits()),
                    // This caller still counts.
                    others: told(self.tally.waiting().saturating_sub(1)),
                })
            }
        }
    }

    fn take_idle(&self) -> Option<Idle<C::Session>> {
        self.lock().idle.pop()
    }

    fn is_outdated(&self, made: Instant) -> Option<Reason> {
        if self.lock().is_dead(made) {
            Some(Reason::Outdated)
        } else {
            (made.elapsed() >= self.limits.recycle).then_some(Reason::Recycled)
        }
    }

    async fn is_alive(&self, session: &mut C::Session) -> bool {
        !self.connector.is_dead(session) && (!self.limits.pre_ping || self.connector.ping(session).await)
    }

    fn lease(self: &Arc<Self>, session: C::Session, made: Instant, place: Place) -> Lease<C> {
        Lease {
            shared: Arc::clone(self),
            content: Some(Content { session, made, place, runtime: Handle::current() }),
            used: AtomicBool::new(false),
        }
    }

    /// Closes a connection and hands its place back, which is given up only once the connection is gone, also if this
    /// future is dropped.
    async fn close_and_keep(
        self: &Arc<Self>,
        session: C::Session,
        place: Place,
        reason: Reason,
    ) -> Result<Place, Error> {
        self.tally.closed(reason);
        let (done, closed) = oneshot::channel();
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            shared.connector.close(session).await;
            // If nobody waits any more, the place is given up here.
            let _ = done.send(place);
        });
        closed.await.map_err(|_| Error::Closed)
    }

    /// Keeps a connection that is ready to be lent, or gives it back with the reason why it must be closed.
    fn keep(&self, content: Content<C::Session>) -> Option<(Content<C::Session>, Reason)> {
        let mut state = self.lock();
        if state.closed {
            return Some((content, Reason::Ended));
        }
        if state.is_dead(content.made) {
            return Some((content, Reason::Outdated));
        }
        if state.idle.len() >= self.limits.size {
            return Some((content, Reason::Overflow));
        }
        let Content { session, made, place, .. } = content;
        state.idle.push(Idle { session, made });
        drop(state);
        // Only now may somebody else look for an idle connection.
        drop(place);
        None
    }

    /// No code that holds this lock can panic, so a poisoned one is as good as new.
    fn lock(&self) -> MutexGuard<'_, State<C::Session>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Connector> Lease<C> {
    /// Returns the connection, which counts as used from now on.
    pub(super) fn session(&self) -> &C::Session {
        self.used.store(true, Ordering::Relaxed);
        &self.content.as_ref().expect("a lease is whole until it is dropped").session
    }

    pub(super) fn session_mut(&mut self) -> &mut C::Session {
        self.used.store(true, Ordering::Relaxed);
        self.unused_session_mut()
    }

    fn unused_session_mut(&mut self) -> &mut C::Session {
        &mut self.content.as_mut().expect("a lease is whole until it is dropped").session
    }

    /// Closes the connection instead of returning it.
    pub(super) fn discard(mut self) {
        let content = self.take();
        close_in_background(&self.shared, content, Reason::Discarded);
    }

    fn take(&mut self) -> Content<C::Session> {
        self.content.take().expect("a lease is whole until it is dropped")
    }
}

impl<C: Connector> Drop for Lease<C> {
    fn drop(&mut self) {
        let Some(content) = self.content.take() else {
            return;
        };
        if self.shared.connector.is_dead(&content.session) {
            close_in_background(&self.shared, content, Reason::Dead);
        } else if *self.used.get_mut() {
            reset_in_background(&self.shared, content);
        } else {
            keep_or_close(&self.shared, content);
        }
    }
}

fn reset_in_background<C: Connector>(shared: &Arc<Shared<C>>, mut content: Content<C::Session>) {
    let runtime = content.runtime.clone();
    let tasks = shared.tasks.clone();
    let shared = Arc::clone(shared);
    tasks.spawn_on(
        async move {
            if shared.connector.reset(&mut content.session).await {
                keep_or_close(&shared, content);
            } else {
                close_in_background(&shared, content, Reason::Unfinished);
            }
        },
        &runtime,
    );
}

fn keep_or_close<C: Connector>(shared: &Arc<Shared<C>>, content: Content<C::Session>) {
    if let Some((content, reason)) = shared.keep(content) {
        close_in_background(shared, content, reason);
    }
}

fn close_in_background<C: Connector>(shared: &Arc<Shared<C>>, content: Content<C::Session>, reason: Reason) {
    shared.tally.closed(reason);
    let tasks = shared.tasks.clone();
    let shared = Arc::clone(shared);
    tasks.spawn_on(
        async move {
            shared.connector.close(content.session).await;
            drop(content.place);
        },
        &content.runtime,
    );
}

impl<S> State<S> {
    fn is_dead(&self, made: Instant) -> bool {
        self.dead_before.is_some_and(|moment| made < moment)
    }
}

impl Limits {
    /// The semaphore counts no further than that; no server does either.
    fn max(&self) -> usize {
        self.size.saturating_add(self.overflow).min(Semaphore::MAX_PERMITS)
    }
}

impl<C: Connector> Clone for Lending<C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

#[cfg(test)]
mod tests;
