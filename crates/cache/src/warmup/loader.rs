//! How a warm-up loads, and how its keys are brought in.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;

use super::report::Brought;
use crate::budget::Urgency;
use crate::engine::{Outcome, Source};
use crate::error::{Failure, LoadError};
use crate::flight::Begun;
use crate::key::CacheKey;
use crate::lineage::Lineage;
use crate::load::Waited;
use crate::loaded::{LoadContext, Loaded};
use crate::view::{Demand, View, erase};

type Loading<T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send>>;
type Each<K, V> = Arc<dyn Fn(K, LoadContext<V>) -> Loading<Loaded<V>> + Send + Sync>;
type Together<K, V> = Arc<dyn Fn(Vec<K>) -> Loading<Vec<(K, Loaded<V>)>> + Send + Sync>;

/// How the values of a view are loaded for a warm-up: key by key, or many by one call.
pub struct KeyLoader<K, V>(Means<K, V>);

enum Means<K, V> {
    Each(Each<K, V>),
    Together(Together<K, V>),
}

impl<K, V> Clone for KeyLoader<K, V> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Means::Each(load) => Means::Each(Arc::clone(load)),
            Means::Together(load) => Means::Together(Arc::clone(load)),
        })
    }
}

impl<K, V> fmt::Debug for KeyLoader<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.loads_together() { "KeyLoader::together" } else { "KeyLoader::each" })
    }
}

impl<K, V> KeyLoader<K, V> {
    /// One call a key, as for [`View::get_or_load`](crate::View::get_or_load).
    pub fn each<R, E, F, Fut>(loader: F) -> Self
    where
        F: Fn(K, LoadContext<V>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        R: Into<Loaded<V>>,
        E: fmt::Display,
    {
        Self(Means::Each(Arc::new(move |key, context| {
            let loading = loader(key, context);
            Box::pin(async move { loading.await.map(Into::into).map_err(|error| error.to_string()) })
        })))
    }

    /// One call for many keys, as for [`View::get_many_or_load`](crate::View::get_many_or_load). The load limit counts it
    /// as one load.
    pub fn together<I, R, E, F, Fut>(loader: F) -> Self
    where
        F: Fn(Vec<K>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<I, E>> + Send + 'static,
        I: IntoIterator<Item = (K, R)>,
        R: Into<Loaded<V>>,
        E: fmt::Display,
    {
        Self(Means::Together(Arc::new(move |keys| {
            let loading = loader(keys);
            Box::pin(async move {
                let pairs = loading.await.map_err(|error| error.to_string())?;
                Ok(pairs.into_iter().map(|(key, loaded)| (key, loaded.into())).collect())
            })
        })))
    }

    /// Whether one call loads many keys.
    pub(super) fn loads_together(&self) -> bool {
        matches!(self.0, Means::Together(_))
    }

    /// Brings keys in by way of the one load path.
    pub(super) async fn bring(&self, view: &View<K, V>, keys: Vec<K>) -> Vec<Brought>
    where
        K: CacheKey + Clone + Eq + Hash + Send + Sync + 'static,
        V: Send + Sync + 'static,
    {
        match &self.0 {
            Means::Together(load) => {
                let load = Arc::clone(load);
                view.bring_together(keys, Arc::new(move |keys| load(keys))).await
            }
            Means::Each(load) => {
                let mut brought = Vec::with_capacity(keys.len());
                for key in keys {
                    brought.push(bring_one(view, key, Arc::clone(load)).await);
                }
                brought
            }
        }
    }
}

async fn bring_one<K, V>(view: &View<K, V>, key: K, load: Each<K, V>) -> Brought
where
    K: CacheKey + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    let bytes = match view.encoded::<String>(&key) {
        Ok(bytes) => bytes,
        Err(error) => return Brought::of_error(Some(error)),
    };
    if view.held(&key).is_some() {
        return Brought::AlreadyThere;
    }
    let engine = &view.engine;
    let job = view.job(&key, Urgency::WarmUp, Lineage::default());
    let at = view.entry_key(&bytes);
    match engine.board(&job, at) {
        Begun::Entry(_) => Brought::AlreadyThere,
        Begun::Wait { flight, since } => {
            match engine.wait(&job, &flight, engine.joined(since), Demand::StaleWillDo).await {
                Waited::Served(_) => Brought::AlreadyThere,
                Waited::Failed(failure) => failed(failure),
                Waited::Again => Brought::Skipped,
            }
        }
        Begun::Lead(flight) => {
            let fallback = view.leftover(at, &job);
            engine.launch(Arc::clone(&flight), job, fallback, erase(move |context| load(key, context)));
            match engine.outcome(&flight).await {
                Outcome::Served(served) if served.source == Source::Loader => Brought::Loaded,
                Outcome::Served(_) => Brought::AlreadyThere,
                Outcome::Failed(failure) => failed(failure),
                Outcome::Nothing | Outcome::Cancelled if engine.cancel.is_cancelled() => Brought::Closed,
                Outcome::Nothing | Outcome::Cancelled => Brought::Skipped,
            }
        }
    }
}

fn failed(failure: Failure) -> Brought {
    Brought::of_error(Some(LoadError::<String>::from(failure)))
}
