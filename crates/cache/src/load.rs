//! A load from its beginning to its end: the remote tier, the lease, the budget, the loader, the store.
//!
//! Length: one load in the order in which it happens.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::adaptive::{Beat, Rhythm};
use crate::budget::Urgency;
use crate::clock::Tick;
use crate::counters::Count;
use crate::engine::{Engine, Outcome, Served, Slot, Source, ViewShared};
use crate::error::Failure;
use crate::event::Event;
use crate::flight::{Begun, FillRefusal, Flight, Marked, Stored};
use crate::lineage::Lineage;
use crate::loaded::{Content, Notes};
use crate::memory::{AnyValue, Details, Entry, KeyRef, Parts, Times};
use crate::pulse::{Pace, Pulse};
use crate::remote::LeaseToken;
use crate::shared_read::{Approach, Permission};
use crate::stamp::Standing;
use crate::tag::TagId;
use crate::view::Demand;
use crate::waits::Waits;

/// A loader whose types are forgotten.
pub(crate) type ErasedLoader<'a> = Box<dyn FnOnce(Seed) -> LoaderFuture<'a> + Send + 'a>;
pub(crate) type LoaderFuture<'a> = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send + 'a>>;

/// What a loader is told.
pub(crate) struct Seed {
    pub(crate) stale: Option<AnyValue>,
    pub(crate) minimum_version: Option<u64>,
    pub(crate) lineage: Lineage,
}

/// What a loader answered.
pub(crate) struct Answer {
    pub(crate) content: Content<AnyValue>,
    pub(crate) notes: Notes,
}

/// What a load is for.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) view: Arc<ViewShared>,
    /// The tags known from the key, with those that everything in the view carries; sorted.
    pub(crate) tags: Arc<[TagId]>,
    /// The same without those that everything in the view carries.
    pub(crate) own_tags: Arc<[TagId]>,
    /// The lowest position of the source that will do.
    pub(crate) required: Option<u64>,
    /// The load that asks, if one does.
    pub(crate) lineage: Lineage,
    pub(crate) urgency: Urgency,
    /// For an early refresh: a value in the remote tier will do while less than this part of its life is over.
    pub(crate) younger_than_percent: Option<u8>,
    /// For an adaptive refresh.
    pub(crate) beat: Option<Arc<Beat>>,
}

impl Job {
    pub(crate) fn covers(&self, position: Option<u64>) -> bool {
        self.required.is_none_or(|required| position.is_some_and(|position| position >= required))
    }
}

/// How things stood when a reader joined a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joined {
    /// The last invalidation of a tag before it came.
    since: u64,
    /// Whether memory could be served.
    leased: bool,
}

/// How a reader's wait ended.
pub(crate) enum Waited {
    Served(Served),
    Failed(Failure),
    /// Look again.
    Again,
}

impl Engine {
    /// Begins or joins a load of a key that memory has no fresh value of.
    pub(crate) fn board(&self, job: &Job, key: KeyRef<'_>) -> Begun<Slot> {
        let now = self.clock.now();
        if let (Some(hot), Urgency::Reader) = (&job.view.hot, job.urgency) {
            hot.record(key.bytes, now);
        }
        let usable = |entry: &Entry, standing| {
            self.lease.serves(now)
                && standing == Standing::Current
                && now < entry.fresh_until()
                && job.covers(entry.position())
                && job.younger_than_percent.is_none_or(|_| now < entry.refresh_at())
        };
        let joinable = |slot: &Slot| self.lease.may_join(slot.began, now);
        self.coherence.begin(key, &job.view.base, &job.own_tags, usable, joinable, || self.slot())
    }

    /// Waits for a load; `joined` as it was when [`Begun::Wait`] was given.
    pub(crate) async fn wait(&self, job: &Job, flight: &Flight<Slot>, joined: Joined, demand: Demand) -> Waited {
        job.view.count(Count::Wait);
        let _edge = match job.lineage.current() {
            None => None,
            Some(waiter) => match self.waits.wait(waiter, &flight.key) {
                Some(edge) => Some(edge),
                None => return Waited::Failed(self.cycle(&flight.key.borrow())),
            },
        };
        let will_do = |served: &Served| {
            let stale = served.stale && demand != Demand::StaleWillDo;
            !stale && self.will_do(job, flight, served, joined)
        };
        let outcome = flight.outcome.outcome(will_do).await;
        match outcome {
            Outcome::Served(served) if will_do(&served) => {
                self.awaited(job, flight);
                Waited::Served(served)
            }
            Outcome::Served(_) => Waited::Again,
            Outcome::Failed(failure) => Waited::Failed(failure),
            Outcome::Nothing | Outcome::Cancelled if self.cancel.is_cancelled() => Waited::Failed(Failure::Closed),
            Outcome::Nothing | Outcome::Cancelled => Waited::Again,
        }
    }

    /// A reader joins a load now; `since` as [`Begun::Wait`] gave it.
    pub(crate) fn joined(&self, since: u64) -> Joined {
        Joined { since, leased: self.lease.serves(self.clock.now()) }
    }

    /// Whether what a load brought may be given to a reader that joined it.
    ///
    /// Without a lease a load may be joined because it began lately, and so did what it reads. What memory had to fall
    /// back on when it began may be older by a whole lease.
    pub(crate) fn will_do(&self, job: &Job, flight: &Flight<Slot>, served: &Served, joined: Joined) -> bool {
        let lately = joined.leased || served.source != Source::Memory;
        lately && !self.overtaken(flight, served, joined.since) && job.covers(served.position)
    }

    /// Whether a reader that came when `since` was the last invalidation must not be given this as it is.
    fn overtaken(&self, flight: &Flight<Slot>, served: &Served, since: u64) -> bool {
        match self.coherence.standing_for(since, flight, &served.tags) {
            Standing::Void => true,
            // Memory has it as well, and says that it is stale.
            Standing::Stale => !served.stale,
            Standing::Current => false,
        }
    }

    /// The outcome of a load, whenever it comes.
    pub(crate) async fn outcome(&self, flight: &Flight<Slot>) -> Outcome {
        flight.outcome.outcome(|_| true).await
    }

    /// A value to fall back on, if memory holds it even now that the load is registered. An invalidation between the look
    /// into memory and the load's beginning would be seen neither by that look nor by those who wait for the load.
    fn still_held(&self, flight: &Flight<Slot>, job: &Job, found: Served) -> Option<Served> {
        let entry = self.coherence.memory().peek(flight.key.borrow())?;
        let same = match (&entry.value, &found.value) {
            (Some(held), Some(found)) => Arc::ptr_eq(held, found),
            (held, found) => held.is_none() && found.is_none(),
        };
        let standing = self.coherence.standing(&job.view.base, &entry);
        let stale = found.stale || standing == Standing::Stale;
        (same && standing != Standing::Void).then_some(Served { stale, ..found })
    }

    pub(crate) fn cycle(&self, key: &KeyRef<'_>) -> Failure {
        let view = self.view_numbered(key.view).map_or_else(String::new, |view| view.name.to_string());
        Failure::DependencyCycle(format!("{view}/{}", crate::key::Readable(key.bytes)).into())
    }

    /// Runs a load in a task of its own: a caller that goes away takes nothing with it.
    pub(crate) fn launch(
        self: &Arc<Self>,
        flight: Arc<Flight<Slot>>,
        job: Job,
        fallback: Option<Served>,
        loader: ErasedLoader<'static>,
    ) {
        let engine = Arc::clone(self);
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            let flown = Boarding::new(engine, flight).fly(job, fallback, Some(loader));
            tokio::select! { biased; () = cancel.cancelled() => {} () = flown => {} }
        });
    }
}

/// A lease to be given back.
pub(crate) type Leased = (Arc<ViewShared>, LeaseToken);

/// A load that runs. Dropped before its end, it leaves no lease, and its waiters look again.
pub(crate) struct Boarding {
    engine: Arc<Engine>,
    flight: Arc<Flight<Slot>>,
    leased: Option<Leased>,
    ended: bool,
}

impl Boarding {
    pub(crate) fn new(engine: Arc<Engine>, flight: Arc<Flight<Slot>>) -> Self {
        Self { engine, flight, leased: None, ended: false }
    }

    /// Flies to the end. Without a loader only the remote tier is asked.
    pub(crate) async fn fly(mut self, job: Job, fallback: Option<Served>, loader: Option<ErasedLoader<'_>>) {
        let mut waits = Waits::default();
        let mut outcome = self.travel(&job, fallback, loader, &mut waits).await;
        if let Outcome::Served(served) = &mut outcome {
            served.waits = waits;
        }
        self.finish(outcome).await;
    }

    pub(crate) fn flight(&self) -> &Arc<Flight<Slot>> {
        &self.flight
    }

    /// A lease that is to be given back, unless [`Boarding::spent`] says that a store has used it up. Said before it is
    /// asked for: the answer may never be heard.
    pub(crate) fn leased(&mut self, view: &Arc<ViewShared>, token: LeaseToken) {
        self.leased = Some((Arc::clone(view), token));
    }

    pub(crate) fn spent(&mut self) {
        self.leased = None;
    }

    /// Ends the load.
    pub(crate) async fn finish(mut self, outcome: Outcome) {
        // Waiters first: what is left does not concern them.
        self.engine.coherence.end(&self.flight);
        Engine::publish(&self.flight, outcome);
        self.ended = true;
        if let Some(release) = self.release() {
            release.await;
        }
    }

    fn release(&mut self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let (view, token) = self.leased.take()?;
        let remote = Arc::clone(self.engine.remote.as_ref()?);
        let key = view.remote_key(&self.flight.key.bytes);
        Some(async move {
            if remote.release(&[(key, token)]).await.is_err() {
                view.count(Count::RemoteError);
            }
        })
    }

    async fn travel(
        &mut self,
        job: &Job,
        fallback: Option<Served>,
        loader: Option<ErasedLoader<'_>>,
        waits: &mut Waits,
    ) -> Outcome {
        let engine = Arc::clone(&self.engine);
        let mut fallback = fallback.and_then(|stale| engine.still_held(&self.flight, job, stale));
        let set_out = engine.clock.now();
        let approach =
            engine.approach(&self.flight, job, &mut fallback, &mut self.leased, loader.is_some(), waits).await;
        let arrived = engine.clock.now();
        waits.set_remote(set_out, arrived, matches!(approach, Approach::Load(Permission::Degraded)));
        let permission = match approach {
            Approach::Found(served) => return Outcome::Served(served),
            Approach::Load(permission) => permission,
        };
        let Some(loader) = loader else { return Outcome::Nothing };
        if let (Permission::Unstored, Urgency::Refresh | Urgency::WarmUp) = (&permission, job.urgency) {
            // Another node is at it already.
            return fallback.map_or(Outcome::Cancelled, Outcome::Served);
        }
        let Some(_permit) = engine.budget.acquire(job.urgency).await else {
            job.view.count(Count::Overload);
            return match job.urgency {
                // A refresh does not wait for its turn; readers who joined it may.
                Urgency::Refresh => Outcome::Cancelled,
                Urgency::Reader | Urgency::WarmUp => self.instead(job, fallback, Failure::Overloaded),
            };
        };
        let (began, watch) = (engine.clock.now(), Instant::now());
        waits.set_turn(arrived, began);
        let result = self.run(job, fallback.as_ref(), loader).await;
        let cost = engine.clocked(job, watch.elapsed());
        let answer = match result {
            Ok(answer) => answer,
            Err(failure) => {
                job.view.count(Count::LoadFailure);
                return self.instead(job, fallback, failure);
            }
        };
        let Some(mut cargo) = Cargo::of(answer, fallback.as_ref(), began) else {
            return Outcome::Failed(Failure::NotModifiedWithoutValue);
        };
        engine.note_load(job, self.flight.key.borrow(), watch.elapsed());
        cargo.rhythm = engine.rhythm(job, cargo.value.as_ref(), cargo.notes.version, cost);
        let (served, taken) = engine.store(&self.flight, job, permission, cargo).await;
        if taken {
            self.spent();
        }
        Outcome::Served(served)
    }

    /// Runs the loader, guarded against panics and endlessness. After the soft timeout those who wait are given
    /// the stale value, while the load goes on.
    async fn run(&self, job: &Job, fallback: Option<&Served>, loader: ErasedLoader<'_>) -> Result<Answer, Failure> {
        job.view.count(Count::Load);
        let key = self.flight.key.borrow();
        let seed = Seed {
            stale: fallback.and_then(|served| served.value.clone()),
            minimum_version: self.engine.coherence.floor(key, self.engine.clock.now()),
            lineage: job.lineage.of(self.flight.key.clone()),
        };
        let hard = job.view.policy.hard_timeout;
        let load = tokio::time::timeout(hard, caught(|| loader(seed)));
        let mut load = std::pin::pin!(load);
        let soft = job.view.policy.soft_timeout.filter(|soft| *soft < hard);
        if let (Some(soft), Some(stale)) = (soft, fallback) {
            tokio::select! {
                biased;
                ended = &mut load => return ended.unwrap_or(Err(Failure::TimedOut(hard))),
                () = tokio::time::sleep(soft) => self.flight.outcome.offer(stale.clone()),
            }
        }
        load.await.unwrap_or(Err(Failure::TimedOut(hard)))
    }

    /// A stale value where the policy allows one after a failure, else the failure.
    pub(crate) fn instead(&self, job: &Job, fallback: Option<Served>, failure: Failure) -> Outcome {
        let (now, window) = (self.engine.clock.now(), job.view.policy.if_error);
        match fallback {
            Some(stale) if !window.is_zero() && now < stale.fresh_until.after(window) => Outcome::Served(stale),
            _ => Outcome::Failed(failure),
        }
    }
}

impl Drop for Boarding {
    fn drop(&mut self) {
        if !self.ended {
            self.engine.coherence.end(&self.flight);
            Engine::publish(&self.flight, Outcome::Cancelled);
        }
        // The lease would run out by itself; given back, others need not wait for that.
        if let Some(release) = self.release()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            drop(self.engine.tasks.spawn_on(release, &runtime));
        }
    }
}

/// A loaded value on its way into the tiers.
pub(crate) struct Cargo {
    pub(crate) value: Option<AnyValue>,
    pub(crate) notes: Notes,
    /// Before the loader was called.
    pub(crate) began: Tick,
    /// For adaptive refresh, where it is known.
    pub(crate) rhythm: Option<Rhythm>,
}

impl Cargo {
    /// What a loader brought; `None` where it left a value unmodified that is not there.
    pub(crate) fn of(answer: Answer, fallback: Option<&Served>, began: Tick) -> Option<Self> {
        let Answer { content, mut notes } = answer;
        let value = match content {
            Content::Value(value) => Some(value),
            Content::Absent => None,
            Content::NotModified => {
                let stale = fallback?;
                // What its own loader said of it holds on.
                notes.tags.extend(stale.tags.iter().copied());
                notes.tags.sort_unstable();
                notes.tags.dedup();
                notes.position = notes.position.or(stale.position);
                Some(Arc::clone(stale.value.as_ref()?))
            }
        };
        Some(Self { value, notes, began, rhythm: None })
    }
}

impl Engine {
    /// How long a value that was loaded now will live; `None` for one that is not to be kept.
    pub(crate) fn times(&self, job: &Job, cargo: &Cargo) -> Option<Times> {
        let policy = &job.view.policy;
        let ttl = match cargo.value {
            Some(_) => cargo.notes.ttl.unwrap_or(policy.ttl),
            None => policy.negative?,
        };
        let ttl = ttl.min(crate::policy::MAX_TTL);
        let most = ttl.as_millis() as u64 * u64::from(policy.jitter_percent) / 100;
        let ttl = ttl - Duration::from_millis(self.entropy.below(most + 1));
        let refresh = policy.refresh_after(ttl, cargo.rhythm.map_or(Pace::BASE, |rhythm| rhythm.pace));
        (!ttl.is_zero()).then(|| Times {
            loaded_at: cargo.began,
            refresh_at: cargo.began.after(refresh),
            fresh_until: cargo.began.after(ttl),
            kept_until: cargo.began.after(ttl).after(policy.grace()),
        })
    }

    /// Puts an entry into memory, by way of the flight's token, and tells how it went.
    pub(crate) fn keep(&self, flight: &Flight<Slot>, job: &Job, late: &[TagId], cargo: &Cargo, times: Times) -> Stored {
        let now = self.clock.now();
        let bytes = cargo.value.as_ref().map_or(0, |value| (job.view.weigh)(value));
        let times = self.capped(job, times);
        let stored = self.coherence.fill(flight, late, now, cargo.notes.version, |marked| Parts {
            value: cargo.value.clone(),
            bytes,
            details: details(marked, &cargo.notes, self.pulse(&job.view, cargo.rhythm)),
            times,
            warmed: job.urgency == Urgency::WarmUp,
        });
        match stored {
            Stored::Yes => job.view.count_fill(job.urgency),
            Stored::No(why) => self.refused(&job.view, &flight.key.bytes, why),
            Stored::NotAfter(_) => self.refused(&job.view, &flight.key.bytes, FillRefusal::TagInvalidated),
        }
        stored
    }

    /// Memory may keep a value for a shorter time than it lives.
    pub(crate) fn capped(&self, job: &Job, times: Times) -> Times {
        let Some(cap) = job.view.policy.memory_ttl else { return times };
        let most = self.clock.now().after(cap);
        Times { fresh_until: times.fresh_until.min(most), kept_until: times.kept_until.min(most), ..times }
    }

    pub(crate) fn refused(&self, view: &ViewShared, key: &[u8], why: FillRefusal) {
        view.count(if why == FillRefusal::TooLarge { Count::TooLarge } else { Count::FillRefused });
        let key: Arc<[u8]> = key.into();
        let mut refusals = self.refusals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if refusals.len() == 256 {
            refusals.pop_front();
        }
        refusals.push_back((Arc::clone(&view.name), Arc::clone(&key), why));
        drop(refusals);
        self.events.send(|| Event::FillRefused { view: Arc::clone(&view.name), key, why });
    }

    /// A value as the callers of its load get it, stored or not.
    pub(crate) fn delivered(job: &Job, late: &[TagId], cargo: &Cargo, stored: Stored) -> Served {
        Served {
            value: cargo.value.clone(),
            source: Source::Loader,
            stale: false,
            loaded_at: cargo.began,
            fresh_until: cargo.began,
            position: cargo.notes.position,
            tags: job.tags.iter().chain(late).copied().collect(),
            not_after: match stored {
                Stored::NotAfter(number) => Some(number),
                _ => None,
            },
            waits: Waits::default(),
        }
    }
}

/// What few entries have: tags of their own, or something that the source said.
pub(crate) fn details(marked: Marked, notes: &Notes, pulse: Option<Box<Pulse>>) -> Option<Arc<Details>> {
    let Marked { marks, born } = marked;
    if marks.is_empty() && notes.version.is_none() && notes.position.is_none() && pulse.is_none() {
        return None;
    }
    let ruled = crate::sync::AtomicU64::new(born);
    Some(Arc::new(Details { marks, born, ruled, version: notes.version, position: notes.position, pulse }))
}

/// Calls and polls a loader; a panic of either is its failure.
pub(crate) async fn caught<'a, T>(
    loader: impl FnOnce() -> Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>,
) -> Result<T, Failure> {
    let mut future = match std::panic::catch_unwind(AssertUnwindSafe(loader)) {
        Ok(future) => future,
        Err(panic) => return Err(Failure::Panicked(message(&*panic))),
    };
    std::future::poll_fn(move |context| {
        match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll,
            Err(panic) => std::task::Poll::Ready(Err(Failure::Panicked(message(&*panic)))),
        }
    })
    .await
}

fn message(panic: &(dyn std::any::Any + Send)) -> Arc<str> {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message").into()
}
