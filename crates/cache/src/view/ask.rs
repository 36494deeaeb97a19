//! A read that goes through all tiers to the loader.

use std::sync::Arc;

use super::View;
use crate::budget::Urgency;
use crate::clock::Tick;
use crate::counters::Count;
use crate::engine::{Engine, Look, Served, Source};
use crate::error::LoadError;
use crate::flight::Begun;
use crate::key::CacheKey;
use crate::lineage::Lineage;
use crate::load::{ErasedLoader, Job, Waited};
use crate::memory::{Entry, KeyRef};
use crate::pulse::Pace;

/// How a read is made.
pub(crate) struct Asked {
    pub(crate) urgency: Urgency,
    pub(crate) lineage: Lineage,
    pub(crate) demand: Demand,
}

/// What will do for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    StaleWillDo,
    Fresh,
}

impl<K: CacheKey, V: Send + Sync + 'static> View<K, V> {
    /// Reads through all tiers to the loader.
    pub(crate) async fn ask<E>(
        &self,
        key: &K,
        asked: Asked,
        loader: ErasedLoader<'static>,
    ) -> Result<Served, LoadError<E>>
    where
        E: Send + Sync + 'static,
    {
        let bytes = self.encoded(key)?;
        let mut job = self.job(key, asked.urgency, asked.lineage);
        let entry_key = self.entry_key(&bytes);
        if let Some(own) = job.lineage.current()
            && job.lineage.contains(&crate::memory::EntryKey { view: entry_key.view, bytes: entry_key.bytes.into() })
        {
            tracing::debug!(view = %self.shared.name, ?own, "a value would depend on itself");
            return Err(self.engine.cycle(&entry_key).into());
        }
        let mut loader = Some(loader);
        loop {
            let now = self.engine.clock.now();
            let mut fallback = None;
            match self.engine.look(&self.shared, entry_key, now, |position| job.covers(position)) {
                Look::Fresh(entry) => {
                    self.engine.touch(&self.shared, entry_key, &entry, now);
                    self.hit(&entry);
                    if let Some(loader) = loader.take() {
                        self.tend(&job, &entry, entry_key, now, loader);
                    }
                    return Ok(Engine::served(&self.shared, &entry, Source::Memory, false));
                }
                Look::Stale(entry) if asked.demand == Demand::StaleWillDo => {
                    self.engine.touch(&self.shared, entry_key, &entry, now);
                    let served = Engine::served(&self.shared, &entry, Source::Memory, true);
                    self.shared.count(Count::MemoryHit);
                    self.shared.count(Count::StaleServed);
                    if let Some(loader) = loader.take() {
                        job.urgency = Urgency::Refresh;
                        self.engine.refresh(job, entry_key, Some(served.clone()), loader);
                    }
                    return Ok(served);
                }
                _ => fallback = self.leftover(entry_key, &job).or(fallback),
            }
            match self.engine.board(&job, entry_key) {
                Begun::Entry(entry) => {
                    self.shared.count(Count::MemoryHit);
                    return Ok(Engine::served(&self.shared, &entry, Source::Memory, false));
                }
                Begun::Wait { flight, since } => {
                    match self.engine.wait(&job, &flight, self.engine.joined(since), asked.demand).await {
                        Waited::Served(served) => return Ok(self.counted(served)),
                        Waited::Failed(failure) => return Err(failure.into()),
                        Waited::Again => {}
                    }
                }
                Begun::Lead(flight) => {
                    let Some(loader) = loader.take() else { return Err(LoadError::Closed) };
                    let _edge = match job.lineage.current() {
                        None => None,
                        Some(waiter) => match self.engine.waits.wait(waiter, &flight.key) {
                            Some(edge) => Some(edge),
                            None => {
                                self.engine.coherence.end(&flight);
                                Engine::publish(&flight, crate::engine::Outcome::Cancelled);
                                return Err(self.engine.cycle(&entry_key).into());
                            }
                        },
                    };
                    self.engine.launch(Arc::clone(&flight), job.clone(), fallback, loader);
                    let will_do = |served: &Served| asked.demand == Demand::StaleWillDo || !served.stale;
                    return match flight.outcome.outcome(will_do).await {
                        crate::engine::Outcome::Served(served) => Ok(self.counted(served)),
                        crate::engine::Outcome::Failed(failure) => Err(failure.into()),
                        _ => Err(LoadError::Closed),
                    };
                }
            }
        }
    }

    pub(crate) fn counted(&self, served: Served) -> Served {
        self.shared.count(match served.source {
            Source::Memory => Count::MemoryHit,
            Source::Remote => Count::RemoteHit,
            Source::Loader => Count::Miss,
        });
        if served.stale {
            self.shared.count(Count::StaleServed);
        }
        served
    }

    /// What memory still holds of an expired value, for a loader that fails.
    pub(crate) fn leftover(&self, key: KeyRef<'_>, job: &Job) -> Option<Served> {
        let now = self.engine.clock.now();
        let entry = self.engine.coherence.memory().peek(key)?;
        let void = self.engine.coherence.standing(&self.shared.base, &entry) == crate::stamp::Standing::Void;
        let usable = !void && self.engine.lease.serves(now) && now < entry.kept_until() && job.covers(entry.position());
        usable.then(|| Engine::served(&self.shared, &entry, Source::Memory, true))
    }

    /// What a hit may set off: a refresh, or an audit.
    fn tend(&self, job: &Job, entry: &Entry, key: KeyRef<'_>, now: Tick, loader: ErasedLoader<'static>) {
        let due = now >= entry.refresh_at();
        let adaptive = self.shared.policy.adaptive.is_some();
        let beat = if due && adaptive { self.engine.beat(&self.shared, key, entry, now) } else { None };
        if due && (beat.is_some() || !adaptive) {
            let mut job = job.clone();
            job.urgency = Urgency::Refresh;
            let pace = entry.pulse().map_or(Pace::BASE, |pulse| pulse.pace);
            job.younger_than_percent = self.shared.policy.young_percent(pace);
            job.beat = beat;
            let fallback = Engine::served(&self.shared, entry, Source::Memory, false);
            self.engine.refresh(job, key, Some(fallback), loader);
        } else if self.shared.audit.is_some_and(|hits| self.engine.entropy.below(hits) == 0) {
            self.engine.audit(job.clone(), key.to_owned(), entry.value.clone(), loader);
        }
    }
}
