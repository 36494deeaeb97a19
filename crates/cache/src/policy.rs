//! How long values live, and what happens at the end of their life.

use std::time::Duration;

use crate::adaptive::AdaptiveRefresh;
use crate::pulse::Pace;

/// The longest life of a value: 30 days. Longer ones are cut, so that tag records have an end, too.
pub const MAX_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

/// The rules of a view's values. All times count from the *beginning* of the load.
///
/// ```
/// use std::time::Duration;
/// use tierkeep_cache::Policy;
///
/// let policy = Policy::ttl(Duration::from_secs(600))
///     .stale_while_revalidate(Duration::from_secs(60))
///     .stale_if_error(Duration::from_secs(3600))
///     .negative(Duration::from_secs(30));
/// assert_eq!(policy.time_to_live(), Duration::from_secs(600));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub(crate) ttl: Duration,
    pub(crate) memory_ttl: Option<Duration>,
    pub(crate) jitter_percent: u8,
    pub(crate) while_revalidate: Duration,
    pub(crate) if_error: Duration,
    pub(crate) negative: Option<Duration>,
    pub(crate) early_refresh_percent: Option<u8>,
    pub(crate) adaptive: Option<AdaptiveRefresh>,
    pub(crate) soft_timeout: Option<Duration>,
    pub(crate) hard_timeout: Duration,
    pub(crate) max_value_bytes: usize,
}

impl Policy {
    /// Values are fresh for this long, at most [`MAX_TTL`]. The other settings begin with: jitter 5 %, nothing
    /// served stale, no negative entries, no early refresh, no soft timeout, hard timeout 30 s, values of up to 16 MiB.
    pub fn ttl(ttl: Duration) -> Self {
        Self {
            ttl: ttl.min(MAX_TTL),
            memory_ttl: None,
            jitter_percent: 5,
            while_revalidate: Duration::ZERO,
            if_error: Duration::ZERO,
            negative: None,
            early_refresh_percent: None,
            adaptive: None,
            soft_timeout: None,
            hard_timeout: Duration::from_secs(30),
            max_value_bytes: 16 << 20,
        }
    }

    /// How long values are fresh, before jitter.
    pub fn time_to_live(&self) -> Duration {
        self.ttl
    }

    /// Memory holds a value no longer than this, whatever is left of its life: the backstop against messages
    /// that were lost without a trace. Default: the whole life.
    pub fn memory_ttl(self, cap: Duration) -> Self {
        Self { memory_ttl: Some(cap), ..self }
    }

    /// Shortens each life by a random part of up to this many percent (0-50), so that what was loaded together
    /// does not expire together.
    pub fn jitter(self, percent: u8) -> Self {
        Self { jitter_percent: percent.min(50), ..self }
    }

    /// For this long after its life a value is still served, marked stale, while one load replaces it.
    pub fn stale_while_revalidate(self, window: Duration) -> Self {
        Self { while_revalidate: window.min(MAX_TTL), ..self }
    }

    /// For this long after its life a value is served, marked stale, where the loader fails or takes too long.
    /// A value that was invalidated hard never is.
    pub fn stale_if_error(self, window: Duration) -> Self {
        Self { if_error: window.min(MAX_TTL), ..self }
    }

    /// Remembers for this long that the source has no value. Invalidate the key, or a tag of it, when one is created.
    pub fn negative(self, ttl: Duration) -> Self {
        Self { negative: Some(ttl.min(MAX_TTL)), ..self }
    }

    /// Once this many percent (1-99) of a life are over, a hit starts a refresh in the background, which asks the
    /// remote tier first: another node may have refreshed the value already.
    pub fn early_refresh(self, percent: u8) -> Self {
        Self { early_refresh_percent: Some(percent.clamp(1, 99)), ..self }
    }

    /// Refreshes values that are being read before they expire, each key at its own pace: the period begins at the base, is
    /// a tenth of the base shorter after each refresh that found a change and a tenth longer after each that found
    /// none, within a tenth of the base and the whole. Takes the place of [`early_refresh`](Self::early_refresh).
    ///
    /// The first hit on a value that is due starts the refresh in the background, if a load may begin at once, and asks
    /// the remote tier first. A value that nobody reads after its refresh expires. What all refreshes of a cache may
    /// cost is bounded by [`CacheBuilder::refresh_limit`](crate::CacheBuilder::refresh_limit): keys whose refresh pays
    /// most (reads × load time) come first, the others are put off. All of it is this node's own affair.
    ///
    /// A view says with [`ViewBuilder::compared`](crate::ViewBuilder::compared) or
    /// [`compared_by`](crate::ViewBuilder::compared_by) what a change is; a loader may say it with
    /// [`Loaded::version`](crate::Loaded::version) and [`Loaded::not_modified`](crate::Loaded::not_modified). Where nobody does, the
    /// period stays the base. Reads through `get_or_load`, `find_or_load` and `fetch` bring a loader and can refresh.
    ///
    /// Not for sources that tell of their changes: an exact invalidation leaves nothing stale that a refresh could find,
    /// and costs nothing while nothing changes. This is for the others: foreign services, files, clocks.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tierkeep_cache::{AdaptiveRefresh, Cache, Policy, RefreshLimit};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache = Cache::builder("shop").refresh_limit(RefreshLimit::extra_percent(50)).build()?;
    /// let policy = Policy::ttl(Duration::from_secs(600)).adaptive_refresh(AdaptiveRefresh::default());
    /// let rates = cache.view::<String, u64>("rates").policy(policy).compared().build()?;
    ///
    /// let rate = rates.get_or_load(&"EUR".to_owned(), async |_| Ok::<_, std::io::Error>(108)).await?;
    /// assert_eq!((*rate, rates.counts().refreshes), (108, 0));
    /// # Ok(()) }
    /// ```
    pub fn adaptive_refresh(self, refresh: AdaptiveRefresh) -> Self {
        Self { adaptive: Some(refresh), ..self }
    }

    /// After `soft` a waiting reader is given the stale value, if there is one that may be served; after `hard`
    /// the load is given up, with an error to all who wait.
    pub fn loader_timeout(self, soft: Option<Duration>, hard: Duration) -> Self {
        Self { soft_timeout: soft, hard_timeout: hard, ..self }
    }

    /// Values above this many bytes are given to their readers and not stored. Default 16 MiB.
    pub fn max_value_bytes(self, bytes: usize) -> Self {
        Self { max_value_bytes: bytes, ..self }
    }

    /// The longest period of adaptive refresh, in percent of a life.
    fn base_percent(&self) -> Option<u8> {
        Some(self.adaptive?.base_percent.or(self.early_refresh_percent).unwrap_or(80))
    }

    /// How long after the beginning of its load a value is worth a refresh.
    pub(crate) fn refresh_after(&self, life: Duration, pace: Pace) -> Duration {
        let part = |percent: u8, life: Duration| life * u32::from(percent) / 100;
        match self.base_percent() {
            Some(percent) => pace.of(part(percent, self.memory_ttl.map_or(life, |cap| cap.min(life)))),
            None => self.early_refresh_percent.map_or(life, |percent| part(percent, life)),
        }
    }

    /// For a refresh: how old a value in the remote tier may be to do instead of a load, in percent of its life.
    pub(crate) fn young_percent(&self, pace: Pace) -> Option<u8> {
        self.base_percent().map(|percent| pace.share(percent)).or(self.early_refresh_percent)
    }

    /// How long beyond its life a value is worth keeping.
    pub(crate) fn grace(&self) -> Duration {
        self.while_revalidate.max(self.if_error)
    }

    /// The longest that a value of this policy can be anywhere.
    pub(crate) fn longest_life(&self) -> Duration {
        self.ttl.max(self.negative.unwrap_or_default()) + self.grace()
    }
}

impl Default for Policy {
    /// Five minutes, and the settings of [`Policy::ttl`].
    fn default() -> Self {
        Self::ttl(Duration::from_secs(300))
    }
}
