//! Many keys at once: one question to the remote tier, one call of the loader, one flight per key.

mod loader;
mod piece;
mod warm;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use tokio::time::Instant;

use self::loader::{ErasedBatch, erase_batch, single};
use self::piece::{Pick, Piece};
use crate::budget::Urgency;
use crate::clock::Tick;
use crate::counters::Count;
use crate::engine::{Engine, Outcome, Served, Slot, Source};
use crate::error::{Failure, LoadError};
use crate::flight::{Begun, Flight};
use crate::glimpse::Glimpse;
use crate::key::CacheKey;
use crate::lineage::Lineage;
use crate::load::{Answer, Boarding, Cargo, Job, Joined, Waited};
use crate::loaded::{Content, Loaded, Notes};
use crate::remote::{Claim, Filled, LeaseAnswer, LeaseRequest, RemoteKey, RemoteTier, StampRecord, StampRequest};
use crate::shared_read::{Fenced, Permission, Plan, Worth, stamps_before};
use crate::tag::TagId;
use crate::view::{Demand, Found, View};

/// One key of a batch that this call loads.
struct Seat {
    boarding: Boarding,
    job: Job,
    place: usize,
    fallback: Option<Served>,
}

/// What the tiers have of a batch.
struct There<K, T> {
    found: HashMap<K, T>,
    /// The keys that memory does not have.
    missing: Vec<K>,
    /// The places of those that the remote tier does not have either.
    open: Vec<usize>,
    glimpse: Option<Glimpse>,
}

/// The keys that memory does not have, and how they are loaded.
struct Batch<K> {
    keys: Arc<[K]>,
    loader: ErasedBatch,
    urgency: Urgency,
}

/// A key of a batch that somebody loads.
struct Ticket {
    place: usize,
    job: Job,
    flight: Arc<Flight<Slot>>,
    /// `Some` where it was somebody else's load already.
    joined: Option<Joined>,
}

impl<K, V> View<K, V>
where
    K: CacheKey + Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// The values that memory or the remote tier have, in one round trip. Keys without a fresh value are left out.
    pub async fn get_many(&self, keys: &[K]) -> HashMap<K, Arc<V>> {
        let there = self.there(keys, Urgency::Reader, Self::value_alone).await;
        there.open.iter().for_each(|_| self.shared.count(Count::Miss));
        there.found
    }

    /// The values of all keys; those that no tier has are loaded by one call of the loader, which is given their keys
    /// and answers with pairs. A key that it leaves out has no value, and is left out of the result.
    ///
    /// One round trip to the remote tier asks for all keys. A key that somebody loads already is waited for, not
    /// loaded twice; a key that another node loads is waited for, and loaded by a call of its own if that node fails.
    /// The load limit counts a batch as one load. The loader runs in a task of its own.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache = tierkeep_cache::Cache::builder("shop").build()?;
    /// let squares = cache.view::<u64, u64>("squares").build()?;
    ///
    /// let load = async |keys: Vec<u64>| Ok::<_, String>(keys.into_iter().map(|key| (key, key * key)).collect::<Vec<_>>());
    /// let many = squares.get_many_or_load(&[2, 3], load).await?;
    /// assert_eq!(*many[&3], 9);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`View::get_or_load`]; one key that fails fails the call, while values that came are stored.
    pub async fn get_many_or_load<I, R, E, F, Fut>(
        &self,
        keys: &[K],
        loader: F,
    ) -> Result<HashMap<K, Arc<V>>, LoadError<E>>
    where
        F: Fn(Vec<K>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<I, E>> + Send + 'static,
        I: IntoIterator<Item = (K, R)> + Send,
        R: Into<Loaded<V>>,
        E: fmt::Display + Send + Sync + 'static,
    {
        self.many(keys, Urgency::Reader, loader, Self::value_alone).await
    }

    /// As [`get_many_or_load`](Self::get_many_or_load), and tells of each value where it came from and how old it is.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache = tierkeep_cache::Cache::builder("shop").build()?;
    /// let squares = cache.view::<u64, u64>("squares").build()?;
    ///
    /// let load = async |keys: Vec<u64>| Ok::<_, String>(keys.into_iter().map(|key| (key, key * key)).collect::<Vec<_>>());
    /// assert_eq!(squares.fetch_many(&[2], load).await?[&2].source, tierkeep_cache::Source::Loader);
    /// assert_eq!(squares.fetch_many(&[2], load).await?[&2].source, tierkeep_cache::Source::Memory);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`View::get_or_load`]; one key that fails fails the call, while values that came are stored.
    pub async fn fetch_many<I, R, E, F, Fut>(&self, keys: &[K], loader: F) -> Result<HashMap<K, Found<V>>, LoadError<E>>
    where
        F: Fn(Vec<K>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<I, E>> + Send + 'static,
        I: IntoIterator<Item = (K, R)> + Send,
        R: Into<Loaded<V>>,
        E: fmt::Display + Send + Sync + 'static,
    {
        self.many(keys, Urgency::Reader, loader, Self::value_and_origin).await
    }

    /// Brings values into the tiers before anybody asks, with the lowest urgency: at most half of the load limit, and
    /// every rule of invalidation holds. Counted neither as hits nor as misses. Returns how many values are there now.
    ///
    /// # Errors
    /// As [`View::get_many_or_load`].
    pub async fn warm<I, R, E, F, Fut>(&self, keys: &[K], loader: F) -> Result<usize, LoadError<E>>
    where
        F: Fn(Vec<K>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<I, E>> + Send + 'static,
        I: IntoIterator<Item = (K, R)> + Send,
        R: Into<Loaded<V>>,
        E: fmt::Display + Send + Sync + 'static,
    {
        Ok(self.many(keys, Urgency::WarmUp, loader, Self::value_alone).await?.len())
    }

    async fn many<T, I, R, E, F, Fut>(
        &self,
        keys: &[K],
        urgency: Urgency,
        loader: F,
        pick: Pick<K, V, T>,
    ) -> Result<HashMap<K, T>, LoadError<E>>
    where
        F: Fn(Vec<K>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<I, E>> + Send + 'static,
        I: IntoIterator<Item = (K, R)> + Send,
        R: Into<Loaded<V>>,
        E: fmt::Display + Send + Sync + 'static,
    {
        let There { mut found, missing, mut open, glimpse } = self.there(keys, urgency, pick).await;
        if open.is_empty() {
            return Ok(found);
        }
        // Stale values are worth another question, by the flights that can fall back on them.
        let mut glimpse = glimpse.filter(|glimpse| !glimpse.stale).map(Arc::new);
        let keys: Arc<[K]> = missing.into();
        let batch = Batch { loader: erase_batch(Arc::clone(&keys), Arc::new(loader)), keys, urgency };
        while !open.is_empty() {
            let mut again = Vec::new();
            for ticket in self.embark(&batch, &open, glimpse.take(), |key, piece| {
                found.extend(pick(self, piece).map(|picked| (key, picked)));
            })? {
                match self.arrive(&ticket).await {
                    Waited::Served(served) => {
                        let served = if urgency == Urgency::WarmUp { served } else { self.counted(served) };
                        if let Some(picked) = pick(self, Piece::of(&served)) {
                            found.insert(batch.keys[ticket.place].clone(), picked);
                        }
                    }
                    Waited::Failed(failure) => return Err(failure.into()),
                    Waited::Again => again.push(ticket.place),
                }
            }
            open = again;
        }
        Ok(found)
    }

    /// What memory and the remote tier have of these keys.
    async fn there<T>(&self, keys: &[K], urgency: Urgency, pick: Pick<K, V, T>) -> There<K, T> {
        let mut found = HashMap::with_capacity(keys.len());
        let mut wanted: HashSet<&K> = HashSet::with_capacity(keys.len());
        let mut missing: Vec<K> = Vec::new();
        for key in keys.iter().filter(|key| wanted.insert(*key)) {
            let entry = match urgency {
                Urgency::WarmUp => self.held(key),
                _ => self.fresh_where(key, |_, _| true),
            };
            match entry {
                Some(entry) => found.extend(pick(self, Piece::in_memory(&entry)).map(|picked| (key.clone(), picked))),
                None => missing.push(key.clone()),
            }
        }
        let mut glimpse = if missing.is_empty() { None } else { self.glimpse(&missing, urgency).await };
        let mut open: Vec<usize> = (0..missing.len()).collect();
        if let Some(glimpse) = &mut glimpse {
            for (place, value, loaded_at) in std::mem::take(&mut glimpse.found) {
                let piece = Piece { value: value.as_ref(), source: Source::Remote, stale: false, loaded_at };
                found.extend(pick(self, piece).map(|picked| (missing[place].clone(), picked)));
            }
            open = glimpse.missing.iter().map(|(place, _)| *place).collect();
        }
        There { found, missing, open, glimpse }
    }

    /// Begins or joins the load of each key, and sends those that this call begins on their way.
    fn embark<E>(
        &self,
        batch: &Batch<K>,
        open: &[usize],
        glimpse: Option<Arc<Glimpse>>,
        mut there: impl FnMut(K, Piece<'_>),
    ) -> Result<Vec<Ticket>, LoadError<E>> {
        let keys = &batch.keys;
        let (mut tickets, mut seats) = (Vec::with_capacity(open.len()), Vec::with_capacity(open.len()));
        for &place in open {
            let bytes = self.encoded(&keys[place])?;
            let job = self.job(&keys[place], batch.urgency, Lineage::default());
            let (flight, joined) = match self.engine.board(&job, self.entry_key(&bytes)) {
                Begun::Entry(entry) => {
                    if batch.urgency != Urgency::WarmUp {
                        self.shared.count(Count::MemoryHit);
                    }
                    there(keys[place].clone(), Piece::in_memory(&entry));
                    continue;
                }
                Begun::Wait { flight, since } => (flight, Some(self.engine.joined(since))),
                Begun::Lead(flight) => {
                    let boarding = Boarding::new(Arc::clone(&self.engine), Arc::clone(&flight));
                    let fallback = self.leftover(self.entry_key(&bytes), &job);
                    seats.push(Seat { boarding, job: job.clone(), place, fallback });
                    (flight, None)
                }
            };
            tickets.push(Ticket { place, job, flight, joined });
        }
        if !seats.is_empty() {
            let (engine, loader) = (Arc::clone(&self.engine), Arc::clone(&batch.loader));
            let cancel = self.engine.cancel.clone();
            drop(self.engine.tasks.spawn(async move {
                tokio::select! { biased; () = cancel.cancelled() => {} () = engine.fly_together(seats, glimpse, loader) => {} }
            }));
        }
        Ok(tickets)
    }

    async fn arrive(&self, ticket: &Ticket) -> Waited {
        if let Some(joined) = ticket.joined {
            return self.engine.wait(&ticket.job, &ticket.flight, joined, Demand::StaleWillDo).await;
        }
        match self.engine.outcome(&ticket.flight).await {
            Outcome::Served(served) => Waited::Served(served),
            Outcome::Failed(failure) => Waited::Failed(failure),
            Outcome::Cancelled if self.engine.cancel.is_cancelled() => Waited::Failed(Failure::Closed),
            Outcome::Nothing | Outcome::Cancelled => Waited::Again,
        }
    }
}

impl Engine {
    /// Loads several keys of one view: all that the remote tier has, then one call of the loader for the rest.
    async fn fly_together(self: Arc<Self>, seats: Vec<Seat>, glimpse: Option<Arc<Glimpse>>, loader: ErasedBatch) {
        let (mut leased, mut alone) = (Vec::new(), Vec::new());
        for (seat, permission) in self.approach_together(seats, glimpse).await {
            match permission {
                Permission::Unstored => alone.push(seat),
                permission => leased.push((seat, permission)),
            }
        }
        // Another node loads these: wait for it key by key, beside the batch.
        for seat in alone {
            let single = single(&loader, seat.place);
            let engine = Arc::clone(&self);
            drop(self.tasks.spawn(async move {
                let cancel = engine.cancel.clone();
                let flown = seat.boarding.fly(seat.job, seat.fallback, Some(single));
                tokio::select! { biased; () = cancel.cancelled() => {} () = flown => {} }
            }));
        }
        if !leased.is_empty() {
            self.load_together(leased, &loader).await;
        }
    }

    /// Asks the remote tier for all keys in one call, and for the leases of those it does not have in another.
    async fn approach_together(&self, seats: Vec<Seat>, glimpse: Option<Arc<Glimpse>>) -> Vec<(Seat, Permission)> {
        let mut left = Vec::with_capacity(seats.len());
        let mut shared = Vec::with_capacity(seats.len());
        for seat in seats {
            match self.remote_for(&seat.job, &seat.boarding.flight().key.bytes) {
                Some(_) => shared.push(seat),
                None if self.remote.is_none() || seat.job.view.codec.is_none() => left.push((seat, Permission::Alone)),
                None => left.push((seat, Permission::Degraded)),
            }
        }
        let Some(remote) = self.remote.clone().filter(|_| !shared.is_empty()) else { return left };
        if let Some(glimpse) = glimpse {
            // Read before these flights began: their leases, asked for next, tell whether a value has come since.
            let claim_of = |place: usize| {
                let index = glimpse.missing.binary_search_by_key(&place, |(place, _)| *place);
                index.map_or(Claim::IfAbsent, |index| glimpse.missing[index].1)
            };
            let wanting = shared.into_iter().map(|seat| (claim_of(seat.place), seat));
            let wanting = wanting.map(|(claim, seat)| (seat, claim)).collect();
            left.extend(self.lease_together(remote.as_ref(), wanting, &|tag| glimpse.record(tag)).await);
            return left;
        }
        let names: Vec<RemoteKey> = shared.iter().map(name).collect();
        let mut tags: Vec<TagId> = shared.iter().flat_map(|seat| seat.job.tags.iter().copied()).collect();
        tags.sort_unstable();
        tags.dedup();
        let sent = self.clock.now();
        let Ok(read) = remote.read(&names, &tags).await else {
            left.extend(shared.into_iter().map(|seat| {
                let permission = self.degraded(&seat.job);
                (seat, permission)
            }));
            return left;
        };
        let record = |tag: &TagId| read.stamps.get(tags.binary_search(tag).ok()?)?.as_ref();
        let mut wanting = Vec::new();
        for (index, mut seat) in shared.into_iter().enumerate() {
            let records: Vec<Option<&StampRecord>> = seat.job.tags.iter().map(record).collect();
            let value = read.values.get(index).and_then(Option::as_ref);
            match self.weigh_up(&seat.job, value, &records, remote.as_ref()).await {
                Worth::Fresh(opened) => {
                    let served = self.promote(seat.boarding.flight(), &seat.job, opened, sent);
                    seat.boarding.finish(Outcome::Served(served)).await;
                    continue;
                }
                Worth::Stale(opened) => {
                    let stale = crate::shared_read::aged(&seat.job, &opened, sent, Source::Remote, true);
                    seat.fallback = seat.fallback.take().or(Some(stale));
                    wanting.push((seat, Claim::Refresh));
                }
                Worth::Useless => wanting.push((seat, Claim::Refresh)),
                Worth::Nothing => wanting.push((seat, Claim::IfAbsent)),
            }
        }
        left.extend(self.lease_together(remote.as_ref(), wanting, &record).await);
        left
    }

    async fn lease_together<'a>(
        &self,
        remote: &dyn RemoteTier,
        mut wanting: Vec<(Seat, Claim)>,
        record: &(impl Fn(&TagId) -> Option<&'a StampRecord> + Sync),
    ) -> Vec<(Seat, Permission)> {
        if wanting.is_empty() {
            return Vec::new();
        }
        let requests: Vec<LeaseRequest> =
            wanting.iter().map(|(seat, claim)| self.lease_request(&seat.job, &name(seat), *claim)).collect();
        for ((seat, _), request) in wanting.iter_mut().zip(&requests) {
            let view = Arc::clone(&seat.job.view);
            seat.boarding.leased(&view, request.token);
        }
        let mut captures: Vec<StampRequest> = Vec::new();
        for (seat, _) in &wanting {
            let records: Vec<Option<&StampRecord>> = seat.job.tags.iter().map(record).collect();
            captures.extend(self.capture(&seat.job, &records));
        }
        captures.sort_unstable_by_key(|request| request.tag);
        captures.dedup_by_key(|request| request.tag);
        let Ok(acquired) = remote.acquire(&requests, &captures).await else {
            return wanting
                .into_iter()
                .map(|(seat, _)| {
                    let permission = self.degraded(&seat.job);
                    (seat, permission)
                })
                .collect();
        };
        let captured = |tag: &TagId| {
            let index = captures.binary_search_by_key(tag, |request| request.tag).ok()?;
            acquired.stamps.get(index)
        };
        let answers = acquired.leases.iter().copied().map(Some).chain(std::iter::repeat(None));
        let permission = |seat: &Seat, request: &LeaseRequest, answer: Option<LeaseAnswer>| match answer {
            Some(LeaseAnswer::Granted) => {
                let records: Vec<Option<&StampRecord>> =
                    seat.job.tags.iter().map(|tag| record(tag).or_else(|| captured(tag))).collect();
                let stamps = stamps_before(&seat.job.tags, &records, &[]);
                Permission::Leased(Fenced { token: request.token, born: acquired.bumps, stamps })
            }
            _ => Permission::Unstored,
        };
        let each = wanting.into_iter().zip(&requests).zip(answers);
        each.map(|(((mut seat, _), request), answer)| {
            let permission = permission(&seat, request, answer);
            if !matches!(permission, Permission::Leased(_)) {
                seat.boarding.spent();
            }
            (seat, permission)
        })
        .collect()
    }

    /// One call of the loader, one call of the remote tier, then memory.
    async fn load_together(&self, seats: Vec<(Seat, Permission)>, loader: &ErasedBatch) {
        let Some(first) = seats.first() else { return };
        let (view, urgency) = (Arc::clone(&first.0.job.view), first.0.job.urgency);
        let Some(permit) = self.budget.acquire(urgency).await else {
            view.count(Count::Overload);
            return self.fail_together(seats, &Failure::Overloaded).await;
        };
        view.count(Count::Load);
        let (began, watch) = (self.clock.now(), Instant::now());
        let places = seats.iter().map(|(seat, _)| seat.place).collect();
        let hard = view.policy.hard_timeout;
        let answers = tokio::time::timeout(hard, crate::load::caught(|| loader(places))).await;
        drop(permit);
        // Each key's share: what it would cost alone is not known.
        let cost = self.clocked(&seats[0].0.job, watch.elapsed()) / seats.len() as u64;
        let answers = match answers.unwrap_or(Err(Failure::TimedOut(hard))) {
            Ok(answers) => answers,
            Err(failure) => {
                view.count(Count::LoadFailure);
                return self.fail_together(seats, &failure).await;
            }
        };
        let share = watch.elapsed() / u32::try_from(seats.len()).unwrap_or(u32::MAX);
        for (seat, _) in &seats {
            self.note_load(&seat.job, seat.boarding.flight().key.borrow(), share);
        }
        self.store_together(seats, answers, (began, cost)).await;
    }

    async fn store_together(&self, seats: Vec<(Seat, Permission)>, answers: Vec<Option<Answer>>, load: (Tick, u64)) {
        let mut packed = Vec::with_capacity(seats.len());
        let mut answers = answers.into_iter();
        let (began, cost) = load;
        for (seat, permission) in seats {
            let none = || Answer { content: Content::Absent, notes: Notes::default() };
            let answer = answers.next().flatten().unwrap_or_else(none);
            let Some(mut cargo) = Cargo::of(answer, seat.fallback.as_ref(), began) else {
                seat.boarding.finish(Outcome::Failed(Failure::NotModifiedWithoutValue)).await;
                continue;
            };
            cargo.rhythm = self.rhythm(&seat.job, None, None, cost.max(1));
            let pack = self.pack(seat.boarding.flight(), &seat.job, permission, cargo).await;
            packed.push((seat, pack));
        }
        let fills: Vec<_> = packed.iter().filter_map(|(_, pack)| pack.plan.fill().cloned()).collect();
        let filled = match &self.remote {
            Some(remote) if !fills.is_empty() => remote.fill(&fills).await.ok(),
            _ => None,
        };
        let mut filled = filled.map(Vec::into_iter);
        for (mut seat, pack) in packed {
            let answer = match pack.plan {
                Plan::Ship(_) => filled.as_mut().map(|filled| filled.next().unwrap_or(Filled::Rejected)),
                _ => None,
            };
            let (served, taken) = self.put_away(seat.boarding.flight(), &seat.job, pack, answer);
            if taken {
                seat.boarding.spent();
            }
            seat.boarding.finish(Outcome::Served(served)).await;
        }
    }

    async fn fail_together(&self, seats: Vec<(Seat, Permission)>, failure: &Failure) {
        for (seat, _) in seats {
            let outcome = seat.boarding.instead(&seat.job, seat.fallback, failure.clone());
            seat.boarding.finish(outcome).await;
        }
    }
}

fn name(seat: &Seat) -> RemoteKey {
    seat.job.view.remote_key(&seat.boarding.flight().key.bytes)
}
