//! A view as a loader of another value reads it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use super::{Asked, Demand, View, erase, value_of};
use crate::budget::Urgency;
use crate::error::LoadError;
use crate::key::CacheKey;
use crate::loaded::{LoadContext, Loaded};

/// A view as a loader of another value reads it; see [`View::within`].
pub struct Within<'a, K, V, V2> {
    pub(super) view: &'a View<K, V>,
    pub(super) context: &'a LoadContext<V2>,
}

impl<K: CacheKey, V: Send + Sync + 'static, V2> Within<'_, K, V, V2> {
    /// As [`View::get_or_load`], and records the dependency.
    ///
    /// # Errors
    /// As [`View::get_or_load`], and [`LoadError::DependencyCycle`] where the value would come to depend on itself.
    pub async fn get_or_load<R, E, F, Fut>(&self, key: &K, loader: F) -> Result<Arc<V>, LoadError<E>>
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        R: Into<Loaded<V>>,
        E: fmt::Display + Send + Sync + 'static,
    {
        if !self.view.shared.tracked {
            self.context.do_not_store();
        }
        let asked = Asked { urgency: Urgency::Reader, lineage: self.context.lineage.clone(), demand: Demand::Fresh };
        let served = self.view.ask(key, asked, erase(loader)).await?;
        if served.stale {
            self.context.do_not_store();
        }
        self.context.depends_on(served.tags.iter().copied());
        value_of(served.value.as_ref()).ok_or(LoadError::Absent)
    }
}
