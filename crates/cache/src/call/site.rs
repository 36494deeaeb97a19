//! The views of `#[cached]` functions: opened by the first call, found by the later ones.

use std::any::{TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::cache::Cache;
use crate::call::CallKey;
use crate::engine::ViewShared;
use crate::error::BuildError;
use crate::loaded::LoadContext;
use crate::tag::{Tag, TagId};
use crate::view::{TagsOf, View, ViewBuilder};

/// Tells the tags of a value, one after the other.
type TellTags<V> = fn(&V, &mut dyn FnMut(&Tag));

/// A `#[cached]` function as a cache sees it: `R` is what it returns, `V` and `E` are the value and the error in that.
#[doc(hidden)]
pub struct Site<R, V, E> {
    /// The view's name.
    pub view: &'static str,
    /// The function: two of them must not share a view, since their keys mean different things.
    pub origin: &'static str,
    /// Gives the view its policy and its codec.
    pub set_up: fn(ViewBuilder<CallKey, V>) -> ViewBuilder<CallKey, V>,
    /// The bytes that a value takes.
    pub weigh: fn(&V) -> usize,
    /// Whether an answer may be stored.
    pub accepts: fn(&R) -> bool,
    /// The value in an answer.
    pub value: fn(R) -> Result<Option<V>, E>,
    /// Tells the tags that are found in a value.
    pub tags: TellTags<V>,
}

impl<R, V, E> Site<R, V, E> {
    /// What an answer means to the cache.
    pub(crate) fn judge(&self, answer: R, context: &LoadContext<V>) -> Result<Option<V>, E> {
        if !(self.accepts)(&answer) {
            context.do_not_store();
        }
        let value = (self.value)(answer)?;
        if let Some(value) = &value {
            (self.tags)(value, &mut |tag| {
                context.tag(tag);
            });
        }
        Ok(value)
    }
}

/// The views that were opened. They are kept without their cache: it would never be dropped.
#[derive(Default)]
pub(crate) struct Opened {
    views: RwLock<HashMap<&'static str, Known, foldhash::fast::RandomState>>,
}

struct Known {
    origin: &'static str,
    value: (TypeId, &'static str),
    shared: Arc<ViewShared>,
    base: [TagId; 2],
    tags_of: TagsOf<CallKey>,
}

impl Known {
    fn attach<R, V: 'static, E>(&self, cache: &Cache, site: &Site<R, V, E>) -> Result<View<CallKey, V>, BuildError> {
        if self.value.0 == TypeId::of::<V>() && self.origin == site.origin {
            return Ok(View::attach(cache, &self.shared, self.base, &self.tags_of));
        }
        Err(BuildError::ViewOfAnother {
            view: site.view.to_owned(),
            theirs: format!("{} ({})", self.origin, self.value.1),
            ours: format!("{} ({})", site.origin, type_name::<V>()),
        })
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let views = self.views.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_list().entries(views.keys()).finish()
    }
}

impl Cache {
    /// The view of a function, which the first call builds.
    ///
    /// # Errors
    /// [`BuildError::ViewOfAnother`]: another function, or this one with another type of values, has a view of this
    /// name; [`BuildError::ViewExists`]: somebody built one by hand.
    #[doc(hidden)]
    pub fn open<R, V>(&self, site: &Site<R, V, impl Sized>) -> Result<View<CallKey, V>, BuildError>
    where
        V: Send + Sync + 'static,
    {
        let opened = &self.engine.opened.views;
        if let Some(known) = opened.read().unwrap_or_else(PoisonError::into_inner).get(site.view) {
            return known.attach(self, site);
        }
        // The function's own expressions are run before the lock is taken: they may be anything.
        let builder = (site.set_up)(self.view(site.view)).tags(CallKey::tags);
        let mut opened = opened.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = opened.get(site.view) {
            return known.attach(self, site);
        }
        let view = builder.build_weighed(site.weigh)?;
        let known = Known {
            origin: site.origin,
            value: (TypeId::of::<V>(), type_name::<V>()),
            shared: Arc::clone(&view.shared),
            base: view.base,
            tags_of: Arc::new(CallKey::tags),
        };
        opened.insert(site.view, known);
        Ok(view)
    }
}
