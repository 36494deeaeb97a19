//! A loader of many keys whose types are forgotten.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;

use crate::error::Failure;
use crate::load::{Answer, ErasedLoader};
use crate::loaded::{Content, Loaded, Notes};

/// A batch loader whose types are forgotten: keys by their place, answers in the same order, `None` where it gave none.
pub(super) type ErasedBatch = Arc<dyn Fn(Vec<usize>) -> BatchFuture + Send + Sync>;
type BatchFuture = Pin<Box<dyn Future<Output = Result<Vec<Option<Answer>>, Failure>> + Send>>;

/// The batch loader for one of its keys.
pub(super) fn single(loader: &ErasedBatch, place: usize) -> ErasedLoader<'static> {
    let loader = Arc::clone(loader);
    Box::new(move |_| {
        Box::pin(async move {
            let mut answers = loader(vec![place]).await?;
            let none = || Answer { content: Content::Absent, notes: Notes::default() };
            Ok(answers.pop().flatten().unwrap_or_else(none))
        })
    })
}

pub(super) fn erase_batch<K, V, I, R, E, F, Fut>(keys: Arc<[K]>, loader: Arc<F>) -> ErasedBatch
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
    F: Fn(Vec<K>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<I, E>> + Send + 'static,
    I: IntoIterator<Item = (K, R)> + Send,
    R: Into<Loaded<V>>,
    E: fmt::Display + Send + Sync + 'static,
{
    Arc::new(move |places: Vec<usize>| {
        let keys = Arc::clone(&keys);
        let asked = places.iter().map(|place| keys[*place].clone()).collect();
        let future = loader(asked);
        Box::pin(async move {
            let pairs = future.await.map_err(Failure::of)?;
            let mut by_key: HashMap<K, Loaded<V>> =
                pairs.into_iter().map(|(key, loaded)| (key, loaded.into())).collect();
            let answer = |loaded: Loaded<V>| Answer { content: loaded.content.erase(), notes: loaded.notes };
            Ok(places.iter().map(|place| by_key.remove(&keys[*place]).map(answer)).collect())
        })
    })
}
