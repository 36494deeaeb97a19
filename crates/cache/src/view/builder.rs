//! How a view is set up.

use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use super::{PositionOf, TagsOf, View};
use crate::byte_size::ByteSize;
use crate::cache::Cache;
use crate::codec::{Codec, Erased};
use crate::counters::Counters;
use crate::engine::{Same, ViewShared, all_of, everything};
use crate::error::BuildError;
use crate::key::CacheKey;
use crate::memory::AnyValue;
use crate::policy::Policy;
use crate::tag::{Tag, TagId};
use crate::warmup::HotKeys;

/// Sets a view up; made by [`Cache::view`], ended by [`build`](Self::build).
#[must_use]
pub struct ViewBuilder<K, V> {
    cache: Cache,
    name: String,
    policy: Policy,
    codec: Option<Box<dyn crate::codec::ErasedCodec>>,
    tags_of: Option<TagsOf<K>>,
    required: Option<PositionOf<K>>,
    tracked: bool,
    audit: Option<u64>,
    same: Option<Same>,
    unchanged: Option<Same>,
    hot: Option<Arc<HotKeys>>,
    types: PhantomData<fn(&K) -> V>,
}

impl<K: CacheKey, V: Send + Sync + 'static> ViewBuilder<K, V> {
    pub(crate) fn new(cache: Cache, name: &str) -> Self {
        let policy = cache.default_policy();
        let hot = cache.engine.hot.clone();
        Self {
            cache,
            name: name.to_owned(),
            policy,
            codec: None,
            tags_of: None,
            required: None,
            tracked: false,
            audit: None,
            same: None,
            unchanged: None,
            hot,
            types: PhantomData,
        }
    }

    /// How long values live; without it, the cache's default.
    pub fn policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// How values become bytes. Without a codec the view lives in memory only, whatever tiers the cache has.
    pub fn codec(self, codec: impl Codec<V>) -> Self {
        Self { codec: Some(Box::new(Erased::<V, _>::new(codec))), ..self }
    }

    /// Tags that follow from the key. They are the cheapest: known before the load, they cost no second question.
    pub fn tags(self, tags: impl Fn(&K) -> Vec<Tag> + Send + Sync + 'static) -> Self {
        Self { tags_of: Some(Arc::new(tags)), ..self }
    }

    /// Values of this view depend on values of another one, by key: whatever invalidates one of those invalidates
    /// them. The other view must be [`tracked`](Self::tracked). Views are built one after the other, so a circle
    /// cannot be declared.
    pub fn depends_on<K2, V2>(self, view: &View<K2, V2>, keys: impl Fn(&K) -> Vec<K2> + Send + Sync + 'static) -> Self
    where
        K: 'static,
        K2: CacheKey + 'static,
        V2: Send + Sync + 'static,
    {
        let (view, before) = (view.clone(), self.tags_of.clone());
        let tags = move |key: &K| {
            let mut tags = before.as_ref().map_or_else(Vec::new, |before| before(key));
            for key in keys(key) {
                tags.extend(view.tags_of.as_ref().map_or_else(Vec::new, |tags_of| tags_of(&key)));
                tags.push(view.tag_of(&key));
            }
            tags
        };
        Self { tags_of: Some(Arc::new(tags)), ..self }
    }

    /// A value counts only if the position it was loaded at (see [`Loaded::position`](crate::Loaded::position)) is at least this; `None`
    /// where nothing is known to have changed. For caches that are told of changes by a feed with positions.
    pub fn required_position(self, position: impl Fn(&K) -> Option<u64> + Send + Sync + 'static) -> Self {
        Self { required: Some(Arc::new(position)), ..self }
    }

    /// Other values may depend on values of this view. Each then carries a tag of its own, which costs a record in
    /// the remote tier per value, and an invalidation by key reaches what depends on it.
    pub fn tracked(self) -> Self {
        Self { tracked: true, ..self }
    }

    /// Compares one hit in so many with the source, in the background and within the load limit, and counts
    /// disagreements: see [`Counts::audit_stuck`](crate::Counts::audit_stuck). Reads through [`View::get_or_load`] and its kind are sampled.
    pub fn audit_one_in(self, hits: u64) -> Self
    where
        V: PartialEq,
    {
        let same = |left: &AnyValue, right: &AnyValue| left.downcast_ref::<V>() == right.downcast_ref::<V>();
        Self { audit: Some(hits.max(1)), same: Some(Arc::new(same)), ..self }
    }

    /// Adaptive refresh takes values that are not equal for changed ones; see [`Policy::adaptive_refresh`].
    pub fn compared(self) -> Self
    where
        V: PartialEq,
    {
        let same = |left: &AnyValue, right: &AnyValue| left.downcast_ref::<V>() == right.downcast_ref::<V>();
        Self { unchanged: Some(Arc::new(same)), ..self }
    }

    /// As [`compared`](Self::compared), by what stands for a value: its digest, its ETag, its version.
    pub fn compared_by<D: PartialEq>(self, digest: impl Fn(&V) -> D + Send + Sync + 'static) -> Self {
        let of = move |value: &AnyValue| value.downcast_ref::<V>().map(&digest);
        Self { unchanged: Some(Arc::new(move |left, right| of(left) == of(right))), ..self }
    }

    /// Learns which keys are worth a warm-up, in place of what the cache was given for all views. One hit in some is
    /// recorded, which costs a hit a few nanoseconds; without it a hit costs nothing more.
    pub fn hot(self, keys: Arc<HotKeys>) -> Self {
        Self { hot: Some(keys), ..self }
    }

    /// The view, its values weighed by [`ByteSize`].
    ///
    /// # Errors
    /// The name is taken, empty, or longer than 100 bytes.
    pub fn build(self) -> Result<View<K, V>, BuildError>
    where
        V: ByteSize,
    {
        self.build_weighed(ByteSize::byte_size)
    }

    /// The view, its values weighed by this function: the bytes that a value occupies.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_weighed(self, weigh: impl Fn(&V) -> usize + Send + Sync + 'static) -> Result<View<K, V>, BuildError> {
        if self.name.is_empty() || self.name.len() > 100 {
            let length = self.name.len();
            return Err(BuildError::ViewName(self.name, length));
        }
        // A value that cannot be weighed is too large: it is given to its readers and not stored.
        let weigh = move |value: &AnyValue| {
            let weigh = AssertUnwindSafe(|| value.downcast_ref::<V>().map_or(0, &weigh));
            std::panic::catch_unwind(weigh).unwrap_or(usize::MAX)
        };
        let engine = Arc::clone(&self.cache.engine);
        let mut views = engine.views.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if views.iter().any(|view| *view.name == *self.name) {
            return Err(BuildError::ViewExists(self.name));
        }
        let base = [everything(), all_of(&self.name)];
        let shared = Arc::new(ViewShared {
            plain_tags: sorted(base).into(),
            no_tags: Arc::default(),
            base_tags: base,
            base: engine.coherence.cells().base(base),
            name: self.name.as_str().into(),
            number: views.len() as u32,
            policy: self.policy,
            codec: self.codec,
            weigh: Box::new(weigh),
            tracked: self.tracked,
            counters: Counters::new(),
            audit: self.audit,
            unchanged: self.unchanged.or(self.same.clone()),
            same: self.same,
            hot: self.hot.map(|hot| hot.view(&self.name)),
            #[cfg(feature = "write-back")]
            overlay: std::sync::OnceLock::new(),
        });
        views.push(Arc::clone(&shared));
        drop(views);
        if self.policy.adaptive.is_some() {
            engine.adaptive.join(engine.clock.now(), self.policy.ttl);
        }
        Ok(View {
            base,
            engine,
            shared,
            tags_of: self.tags_of,
            required: self.required,
            cache: self.cache,
            types: PhantomData,
        })
    }
}

fn sorted<const N: usize>(mut tags: [TagId; N]) -> [TagId; N] {
    tags.sort_unstable();
    tags
}
