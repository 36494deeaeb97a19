//! Reads whose loader borrows from its caller, and so cannot run in a task of its own.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::budget::Urgency;
use crate::engine::{Engine, Look, Outcome, Served, Source};
use crate::error::LoadError;
use crate::flight::Begun;
use crate::key::CacheKey;
use crate::lineage::Lineage;
use crate::load::{Boarding, Waited};
use crate::loaded::{LoadContext, Loaded};
use crate::memory::Entry;
use crate::view::{Demand, View, erase, value_of};

impl<K: CacheKey, V: Send + Sync + 'static> View<K, V> {
    /// As [`get_or_load`](Self::get_or_load) for a loader that borrows from its caller, and so runs in the caller's own
    /// future: dropping that ends the load, and whoever waits for it begins anew.
    ///
    /// There is no task that could load in the background, so a value past its life is replaced by a reader: the one
    /// that finds it loads and waits, the others are served the stale value meanwhile
    /// ([`Policy::stale_while_revalidate`](crate::Policy::stale_while_revalidate)).
    /// Early refresh and audit do not run.
    ///
    /// # Errors
    /// As [`get_or_load`](Self::get_or_load).
    pub async fn get_or_load_here<R, E, F, Fut>(&self, key: &K, loader: F) -> Result<Arc<V>, LoadError<E>>
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send,
        Fut: Future<Output = Result<R, E>> + Send,
        R: Into<Loaded<V>>,
        E: fmt::Display + Send + Sync + 'static,
    {
        self.find_or_load_here(key, loader).await?.ok_or(LoadError::Absent)
    }

    /// As [`get_or_load_here`](Self::get_or_load_here); `None` where the loader says, or is known to have said, that
    /// there is no value.
    ///
    /// # Errors
    /// As [`get_or_load_here`](Self::get_or_load_here), [`LoadError::Absent`] apart.
    pub async fn find_or_load_here<R, E, F, Fut>(&self, key: &K, loader: F) -> Result<Option<Arc<V>>, LoadError<E>>
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send,
        Fut: Future<Output = Result<R, E>> + Send,
        R: Into<Loaded<V>>,
        E: fmt::Display + Send + Sync + 'static,
    {
        if let Some(entry) = self.fresh_where(key, |_, _| true) {
            return Ok(value_of(entry.value.as_ref()));
        }
        let served = Box::pin(self.load_here(key, loader)).await?;
        Ok(value_of(served.value.as_ref()))
    }

    async fn load_here<R, E, F, Fut>(&self, key: &K, loader: F) -> Result<Served, LoadError<E>>
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send,
        Fut: Future<Output = Result<R, E>> + Send,
        R: Into<Loaded<V>>,
        E: fmt::Display + Send + Sync + 'static,
    {
        let job = self.job(key, Urgency::Reader, Lineage::default());
        let bytes = self.encoded(key)?;
        let entry_key = self.entry_key(&bytes);
        let mut loader = Some(loader);
        loop {
            let now = self.engine.clock.now();
            let served = |entry: &Entry, stale| Engine::served(&self.shared, entry, Source::Memory, stale);
            let stale = match self.engine.look(&self.shared, entry_key, now, |position| job.covers(position)) {
                Look::Fresh(entry) => {
                    self.engine.touch(&self.shared, entry_key, &entry, now);
                    return Ok(self.counted(served(&entry, false)));
                }
                Look::Stale(entry) => {
                    self.engine.touch(&self.shared, entry_key, &entry, now);
                    Some(served(&entry, true))
                }
                Look::Miss => None,
            };
            match self.engine.board(&job, entry_key) {
                Begun::Entry(entry) => return Ok(self.counted(served(&entry, false))),
                Begun::Wait { flight, since } => match stale {
                    Some(stale) => return Ok(self.counted(stale)),
                    None => match self.engine.wait(&job, &flight, self.engine.joined(since), Demand::StaleWillDo).await
                    {
                        Waited::Served(served) => return Ok(self.counted(served)),
                        Waited::Failed(failure) => return Err(failure.into()),
                        Waited::Again => {}
                    },
                },
                Begun::Lead(flight) => {
                    let Some(loader) = loader.take() else { return Err(LoadError::Closed) };
                    let fallback = stale.or_else(|| self.leftover(entry_key, &job));
                    let boarding = Boarding::new(Arc::clone(&self.engine), Arc::clone(&flight));
                    Box::pin(boarding.fly(job.clone(), fallback, Some(erase(loader)))).await;
                    return match self.engine.outcome(&flight).await {
                        // After a soft timeout those who waited were given the stale value; this reader was there to
                        // the end, and need not take it.
                        Outcome::Served(served) if served.stale => match self.fresh_where(key, |_, _| true) {
                            Some(entry) => Ok(Engine::served(&self.shared, &entry, Source::Loader, false)),
                            None => Ok(self.counted(served)),
                        },
                        Outcome::Served(served) => Ok(self.counted(served)),
                        Outcome::Failed(failure) => Err(failure.into()),
                        _ => Err(LoadError::Closed),
                    };
                }
            }
        }
    }
}
