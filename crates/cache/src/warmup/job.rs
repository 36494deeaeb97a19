//! A job: which keys of a view, how they are loaded, how urgent it is, and when it runs.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::Either;

use super::crew::{Chunk, Chunks};
use super::keys::Keys;
use super::loader::KeyLoader;
use super::report::Progress;
use crate::clock::Tick;
use crate::key::CacheKey;
use crate::view::View;

/// Who goes first among the warm-ups of a cache. Readers go before all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// When no other warm-up runs.
    Idle,
    /// The usual.
    #[default]
    Normal,
    /// Before the others.
    Urgent,
}

type Observer = Arc<dyn Fn(&Progress<'_>) + Send + Sync>;

/// Keys of a view that are to be there before anybody asks. Runs when it is told to, and besides as its schedule says.
#[must_use]
pub struct WarmupJob {
    pub(super) name: Arc<str>,
    pub(super) priority: Priority,
    pub(super) at_startup: bool,
    pub(super) period: Option<Duration>,
    pub(super) jitter: Duration,
    pub(super) observer: Option<Observer>,
    open: Box<dyn Fn(Tick, usize) -> Chunks + Send + Sync>,
}

impl fmt::Debug for WarmupJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WarmupJob").field("name", &self.name).field("priority", &self.priority).finish_non_exhaustive()
    }
}

impl WarmupJob {
    /// A job of normal priority that runs on demand.
    pub fn new<K, V>(name: &str, view: &View<K, V>, keys: Keys<K>, loader: KeyLoader<K, V>) -> Self
    where
        K: CacheKey + Clone + Eq + Hash + Send + Sync + 'static,
        V: Send + Sync + 'static,
    {
        let view = view.clone();
        Self {
            name: name.into(),
            priority: Priority::Normal,
            at_startup: false,
            period: None,
            jitter: Duration::ZERO,
            observer: None,
            open: Box::new(move |now, most| chunks(&view, &keys, &loader, now, most)),
        }
    }

    /// Who goes first.
    pub fn priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// Runs once when the registry starts, as soon as memory is served.
    pub fn at_startup(self) -> Self {
        Self { at_startup: true, ..self }
    }

    /// Runs again so long after its last run ended; at least a millisecond.
    pub fn every(self, period: Duration) -> Self {
        Self { period: Some(period.max(Duration::from_millis(1))), ..self }
    }

    /// Waits up to this much longer each time, by chance, so that nodes do not all load at once.
    pub fn jitter(self, most: Duration) -> Self {
        Self { jitter: most, ..self }
    }

    /// Is told how far each run is, after each key or batch. It runs among the loads, and should be quick.
    pub fn observer(self, observer: impl Fn(&Progress<'_>) + Send + Sync + 'static) -> Self {
        Self { observer: Some(Arc::new(observer)), ..self }
    }

    pub(super) fn open(&self, now: Tick, most: usize) -> Chunks {
        (self.open)(now, most)
    }
}

/// The keys as they come, in chunks of what one call loads.
fn chunks<K, V>(view: &View<K, V>, keys: &Keys<K>, loader: &KeyLoader<K, V>, now: Tick, most: usize) -> Chunks
where
    K: CacheKey + Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    let (view, loader) = (view.clone(), loader.clone());
    let stream = match loader.loads_together() {
        true => Either::Left(keys.open(now).ready_chunks(most)),
        false => Either::Right(keys.open(now).map(|key| vec![key])),
    };
    Box::pin(stream.map(move |items| {
        let (mut keys, mut errors) = (Vec::with_capacity(items.len()), Vec::new());
        for item in items {
            match item {
                Ok(key) => keys.push(key),
                Err(error) => errors.push(error),
            }
        }
        let (view, loader, size) = (view.clone(), loader.clone(), keys.len());
        Chunk { keys: size, errors, bring: Box::pin(async move { loader.bring(&view, keys).await }) }
    }))
}
