//! Keys that a warm-up brings in together, each with its own end.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use super::loader::erase_batch;
use super::{Batch, There};
use crate::budget::Urgency;
use crate::engine::Source;
use crate::error::LoadError;
use crate::glimpse::Glimpse;
use crate::key::{CacheKey, KeyWriter, MAX_KEY_BYTES};
use crate::load::Waited;
use crate::loaded::Loaded;
use crate::view::View;
use crate::warmup::Brought;

/// How often a key is tried whose load was overtaken by an invalidation.
const ROUNDS: usize = 2;

impl<K, V> View<K, V>
where
    K: CacheKey + Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Brings keys in by one call of the loader, as [`View::warm`] does; one that fails is no other one's concern.
    pub(crate) async fn bring_together<I, R, E, F, Fut>(&self, keys: Vec<K>, loader: Arc<F>) -> Vec<Brought>
    where
        F: Fn(Vec<K>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<I, E>> + Send + 'static,
        I: IntoIterator<Item = (K, R)> + Send,
        R: Into<Loaded<V>>,
        E: fmt::Display + Send + Sync + 'static,
    {
        let mut brought = Vec::with_capacity(keys.len());
        let (keys, too_long): (Vec<K>, Vec<K>) =
            keys.into_iter().partition(|key| KeyWriter::encode(key).len() <= MAX_KEY_BYTES);
        brought.extend(too_long.iter().map(|key| Brought::of_error(self.encoded::<E>(key).err())));
        let There { missing, mut open, glimpse, .. } = self.there(&keys, Urgency::WarmUp, |_, _| None::<()>).await;
        brought.extend((open.len()..keys.len()).map(|_| Brought::AlreadyThere));
        let mut glimpse: Option<Arc<Glimpse>> = glimpse.filter(|glimpse| !glimpse.stale).map(Arc::new);
        let keys: Arc<[K]> = missing.into();
        let batch = Batch { loader: erase_batch(Arc::clone(&keys), loader), keys, urgency: Urgency::WarmUp };
        for _ in 0..ROUNDS {
            if open.is_empty() {
                break;
            }
            let before = brought.len();
            let tickets = match self.embark::<E>(&batch, &open, glimpse.take(), |_, _| ()) {
                Ok(tickets) => tickets,
                Err(error) => {
                    brought.extend(open.iter().map(|_| Brought::of_error(Some(error.clone()))));
                    return brought;
                }
            };
            let there = open.len() - tickets.len();
            brought.extend((0..there).map(|_| Brought::AlreadyThere));
            let mut again = Vec::new();
            for ticket in tickets {
                match self.arrive(&ticket).await {
                    Waited::Served(served) if ticket.joined.is_none() && served.source == Source::Loader => {
                        brought.push(Brought::Loaded);
                    }
                    Waited::Served(_) => brought.push(Brought::AlreadyThere),
                    Waited::Failed(failure) => brought.push(Brought::of_error(Some(LoadError::<E>::from(failure)))),
                    Waited::Again => again.push(ticket.place),
                }
            }
            debug_assert_eq!(brought.len() - before + again.len(), open.len(), "each key has one end");
            open = again;
        }
        brought.extend(open.iter().map(|_| Brought::Skipped));
        brought
    }
}
