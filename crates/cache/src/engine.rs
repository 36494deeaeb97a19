//! One node's cache, whatever its values are: the parts, and how a read looks into memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::adaptive::Adaptive;
use crate::budget::{Budget, Urgency};
use crate::bus::{Bus, NodeId};
use crate::cells::Base;
use crate::clock::{Clock, Tick};
use crate::codec::ErasedCodec;
use crate::counters::{Count, Counters};
use crate::entropy::Entropy;
use crate::error::Failure;
use crate::event::Events;
use crate::flight::{Coherence, FillRefusal, Flight};
use crate::invalidation::Unsettled;
use crate::lineage::WaitGraph;
use crate::memory::{AnyValue, Entry, KeyRef, ViewNumber};
use crate::policy::Policy;
use crate::promise::Lease;
use crate::remote::{RemoteKey, RemoteTier};
use crate::stamp::Standing;
use crate::tag::TagId;
use crate::waits::Waits;
use crate::warmup::{HotKeys, HotView};

/// Where the waiters of a load look.
#[derive(Debug)]
pub(crate) struct Slot {
    /// A value that will do for some while the load goes on.
    offered: OnceLock<Served>,
    outcome: OnceLock<Outcome>,
    published: Notify,
    pub(crate) began: Tick,
}

impl Slot {
    /// The first outcome counts.
    fn publish(&self, outcome: Outcome) {
        if self.outcome.set(outcome).is_ok() {
            self.published.notify_waiters();
        }
    }

    /// Gives those who wait a value, if it will do for them; the load goes on.
    pub(crate) fn offer(&self, served: Served) {
        if self.offered.set(served).is_ok() {
            self.published.notify_waiters();
        }
    }

    /// The outcome, whenever it comes, or what is offered meanwhile, if it will do. Whoever it will not do for must wait
    /// for the end: looking again would find the same load and the same offer.
    pub(crate) async fn outcome(&self, will_do: impl Fn(&Served) -> bool) -> Outcome {
        loop {
            // Whoever asks first and looks then cannot miss the moment in between.
            let published = self.published.notified();
            if let Some(outcome) = self.outcome.get() {
                return outcome.clone();
            }
            if let Some(offered) = self.offered.get().filter(|offered| will_do(offered)) {
                return Outcome::Served(offered.clone());
            }
            published.await;
        }
    }
}

/// How a load ended, for all who waited.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Served(Served),
    Failed(Failure),
    /// It was a look into the remote tier only, and found nothing.
    Nothing,
    /// It was given up; whoever still wants the value begins anew.
    Cancelled,
}

/// A value, or the knowledge that there is none, and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) value: Option<AnyValue>,
    pub(crate) source: Source,
    pub(crate) stale: bool,
    pub(crate) loaded_at: Tick,
    /// The end of its life, from which on it may only stand in.
    pub(crate) fresh_until: Tick,
    pub(crate) position: Option<u64>,
    /// All tags it carries: what depends on it carries them, too.
    pub(crate) tags: Arc<[TagId]>,
    /// Not for readers that came after this invalidation of a tag.
    pub(crate) not_after: Option<u64>,
    pub(crate) waits: Waits,
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// This node's memory.
    Memory,
    /// The remote tier.
    Remote,
    /// The loader, called for this read or for another one that it waited for.
    Loader,
}

/// Whether two values of a view are equal.
pub(crate) type Same = Arc<dyn Fn(&AnyValue, &AnyValue) -> bool + Send + Sync>;
/// The view and the key of a value that was not stored, and why.
pub(crate) type Refusal = (Arc<str>, Arc<[u8]>, FillRefusal);

/// What all handles of one view share.
pub(crate) struct ViewShared {
    pub(crate) name: Arc<str>,
    pub(crate) number: ViewNumber,
    pub(crate) policy: Policy,
    /// All tags of a key that has none of its own, and those of its own, which are none.
    pub(crate) plain_tags: Arc<[TagId]>,
    pub(crate) no_tags: Arc<[TagId]>,
    /// The tags that every entry of the view carries.
    pub(crate) base_tags: [TagId; 2],
    /// Their cells.
    pub(crate) base: Base,
    pub(crate) codec: Option<Box<dyn ErasedCodec>>,
    pub(crate) weigh: Box<dyn Fn(&AnyValue) -> usize + Send + Sync>,
    pub(crate) tracked: bool,
    pub(crate) counters: Counters,
    /// One hit in so many is compared with the source.
    pub(crate) audit: Option<u64>,
    pub(crate) same: Option<Same>,
    /// Whether adaptive refresh takes two values for the same.
    pub(crate) unchanged: Option<Same>,
    /// What learns of accesses.
    pub(crate) hot: Option<HotView>,
    /// Values that the source does not have yet.
    #[cfg(feature = "write-back")]
    pub(crate) overlay: std::sync::OnceLock<std::sync::Weak<dyn crate::write_back::Dirty>>,
}

impl ViewShared {
    /// A value that the source does not have yet, as memory would hold it.
    #[cfg(feature = "write-back")]
    #[inline]
    fn dirty(&self, key: &[u8], now: Tick) -> Option<Entry> {
        let value = self.overlay.get()?.upgrade()?.dirty(key)?;
        Some(Entry::pinned(value, now))
    }

    /// Whether values may be dirty.
    #[cfg(feature = "write-back")]
    pub(crate) fn writes_back(&self) -> bool {
        self.overlay.get().is_some()
    }

    /// Writes dirty values to the source, and tells whether none of these keys is dirty any more.
    #[cfg(feature = "write-back")]
    pub(crate) async fn flush_dirty(&self, keys: &[Box<[u8]>]) -> bool {
        match self.overlay.get().and_then(std::sync::Weak::upgrade) {
            Some(overlay) => overlay.flush_keys(keys).await,
            None => true,
        }
    }

    pub(crate) fn count(&self, count: Count) {
        self.counters.add(count);
    }

    pub(crate) fn count_fill(&self, urgency: Urgency) {
        self.count(Count::Fill);
        if urgency == Urgency::WarmUp {
            self.count(Count::WarmupLoad);
        }
    }

    pub(crate) fn remote_key(&self, key: &[u8]) -> RemoteKey {
        RemoteKey::new(&self.name, key)
    }
}

/// What memory has for a reader.
#[derive(Debug)]
pub(crate) enum Look {
    Fresh(Entry),
    /// May be served, marked stale, while one load replaces it.
    Stale(Entry),
    Miss,
}

pub(crate) struct Engine {
    pub(crate) node: NodeId,
    pub(crate) coherence: Coherence<Slot>,
    pub(crate) remote: Option<Arc<dyn RemoteTier>>,
    pub(crate) bus: Option<Arc<dyn Bus>>,
    pub(crate) clock: Clock,
    pub(crate) entropy: Entropy,
    pub(crate) budget: Budget,
    pub(crate) adaptive: Adaptive,
    pub(crate) events: Events,
    pub(crate) lease: Lease,
    /// What learns of the accesses of views that say nothing else.
    pub(crate) hot: Option<Arc<HotKeys>>,
    pub(crate) waits: WaitGraph,
    pub(crate) views: RwLock<Vec<Arc<ViewShared>>>,
    /// The views of `#[cached]` functions.
    pub(crate) opened: crate::call::Opened,
    pub(crate) unsettled: Unsettled,
    pub(crate) confirmations: crate::membership::Confirmations,
    pub(crate) tasks: TaskTracker,
    pub(crate) cancel: CancellationToken,
    pub(crate) switches: Switches,
    /// The last refusals of fills, for `explain`.
    pub(crate) refusals: Mutex<VecDeque<Refusal>>,
}

/// Mechanisms that tests switch off, to show that they are needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Switches {
    pub(crate) notice_gaps: bool,
    pub(crate) lease_from_echo: bool,
    pub(crate) cap_refreshes: bool,
}

/// The tag that everything carries.
pub(crate) fn everything() -> TagId {
    crate::tag::Tag::named("tierkeep/everything").id()
}

/// The tag that all entries of a view carry.
pub(crate) fn all_of(view: &str) -> TagId {
    crate::tag::Tag::of("tierkeep/view", view).id()
}

/// The tag that an entry of a tracked view carries, for what depends on it.
pub(crate) fn itself(view: &str, key: &[u8]) -> crate::tag::Tag {
    crate::tag::Tag::of("tierkeep/entry", (view, key))
}

impl Engine {
    /// What memory has of a key that `covers` accepts.
    #[inline]
    pub(crate) fn look(
        &self,
        view: &ViewShared,
        key: KeyRef<'_>,
        now: Tick,
        covers: impl Fn(Option<u64>) -> bool,
    ) -> Look {
        #[cfg(feature = "write-back")]
        if let Some(entry) = view.dirty(key.bytes, now) {
            return Look::Fresh(entry);
        }
        if !self.lease.serves(now) {
            view.count(Count::Bypass);
            return Look::Miss;
        }
        let Some(entry) = self.coherence.memory().get(key) else { return Look::Miss };
        let standing = self.coherence.standing(&view.base, &entry);
        if standing == Standing::Void || !covers(entry.position()) {
            if entry.gap != self.coherence.gap() as u32 {
                view.count(Count::Suspect);
            }
            return Look::Miss;
        }
        self.judge(view, entry, standing, now)
    }

    /// A reader is given this entry of memory.
    #[inline]
    pub(crate) fn touch(&self, view: &ViewShared, key: KeyRef<'_>, entry: &Entry, now: Tick) {
        if entry.is_unread() && self.coherence.memory().first_read(key) {
            view.count(Count::WarmupUsed);
        }
        if let Some(hot) = &view.hot {
            hot.sample(key.bytes, now);
        }
    }

    /// A reader was given what it waited for: had a warm-up loaded it, it was not in vain.
    pub(crate) fn awaited(&self, job: &crate::load::Job, flight: &Flight<Slot>) {
        let (memory, key) = (self.coherence.memory(), flight.key.borrow());
        let is_unread = || memory.peek(key).is_some_and(|entry| entry.is_unread());
        if job.urgency != Urgency::WarmUp && is_unread() && memory.first_read(key) {
            job.view.count(Count::WarmupUsed);
        }
    }

    /// A loader took this long. Tells those who learn, also whether the value was loaded because another one was
    /// invalidated, or was of a position before the one that is required; what was forgotten by its key has been told
    /// when it was.
    pub(crate) fn note_load(&self, job: &crate::load::Job, key: KeyRef<'_>, took: Duration) {
        let view = &job.view;
        let Some(hot) = &view.hot else { return };
        let now = self.clock.now();
        hot.loaded(key.bytes, took, now);
        let changed = self.coherence.memory().peek(key).is_some_and(|before| {
            before.gap == self.coherence.gap() as u32
                && (self.coherence.standing(&view.base, &before) != Standing::Current || !job.covers(before.position()))
        });
        if changed {
            hot.changed(key.bytes, now);
        }
    }

    /// Counts what warm-ups brought in vain.
    pub(crate) fn count_wasted(&self) {
        for (number, wasted) in self.coherence.memory().take_wasted().into_iter().enumerate() {
            if let Some(view) = self.view_numbered(number as ViewNumber).filter(|_| wasted > 0) {
                view.counters.add_many(Count::WarmupWasted, wasted);
            }
        }
    }

    /// Fresh, stale or worthless, by time; invalidations have been asked.
    #[inline]
    pub(crate) fn judge(&self, view: &ViewShared, entry: Entry, standing: Standing, now: Tick) -> Look {
        if standing == Standing::Current && now < entry.fresh_until() {
            Look::Fresh(entry)
        } else if self.may_serve_stale(view, &entry, standing, now) {
            Look::Stale(entry)
        } else {
            Look::Miss
        }
    }

    fn may_serve_stale(&self, view: &ViewShared, entry: &Entry, standing: Standing, now: Tick) -> bool {
        let softly = standing == Standing::Stale && now < entry.fresh_until();
        softly || now < entry.fresh_until().after(view.policy.while_revalidate).min(entry.kept_until())
    }

    /// An entry as a reader gets it.
    pub(crate) fn served(view: &ViewShared, entry: &Entry, source: Source, stale: bool) -> Served {
        let own = entry.marks().iter().map(|mark| mark.tag);
        Served {
            value: entry.value.clone(),
            source,
            stale,
            loaded_at: entry.loaded_at,
            fresh_until: entry.fresh_until(),
            position: entry.position(),
            tags: own.chain(view.base_tags).collect(),
            not_after: None,
            waits: Waits::default(),
        }
    }

    pub(crate) fn slot(&self) -> Slot {
        Slot { offered: OnceLock::new(), outcome: OnceLock::new(), published: Notify::new(), began: self.clock.now() }
    }

    /// Ends a load for its waiters; the first outcome counts.
    pub(crate) fn publish(flight: &Flight<Slot>, outcome: Outcome) {
        flight.outcome.publish(outcome);
    }

    pub(crate) fn view(&self, name: &str) -> Option<Arc<ViewShared>> {
        let views = self.views.read().unwrap_or_else(PoisonError::into_inner);
        views.iter().find(|view| &*view.name == name).map(Arc::clone)
    }

    /// The view with this number; numbers are given in order and never again.
    pub(crate) fn view_numbered(&self, number: ViewNumber) -> Option<Arc<ViewShared>> {
        self.views.read().unwrap_or_else(PoisonError::into_inner).get(number as usize).map(Arc::clone)
    }
}
