//! What happened, counted: per view, without a shared cache line between threads.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const STRIPES: usize = 16;

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident $field:ident,)*) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum Count { $($name),* }

        const KINDS: usize = [$(Count::$name),*].len();

        /// How often each thing happened since the cache was built.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counts { $($(#[$doc])* pub $field: u64,)* }

        impl Counts {
            /// Names and values, for an exporter.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field)),*].into_iter()
            }
        }

        impl Counters {
            /// All counts now; those of one moment only if nothing happens meanwhile.
            pub(crate) fn read(&self) -> Counts {
                let sum = |count: Count| {
                    self.stripes.iter().map(|stripe| stripe.0[count as usize].load(Ordering::Relaxed)).sum()
                };
                Counts { $($field: sum(Count::$name)),* }
            }
        }
    };
}

counts! {
    /// Reads that memory answered, stale and negative ones included.
    MemoryHit memory_hits,
    /// Reads that the remote tier answered.
    RemoteHit remote_hits,
    /// Reads that no tier could answer.
    Miss misses,
    /// Reads that were given a value marked stale.
    StaleServed stale_served,
    /// Reads that learnt from the cache that there is no value.
    NegativeHit negative_hits,
    /// Loaders that were started.
    Load loads,
    /// Loaders that failed, timed out or panicked.
    LoadFailure load_failures,
    /// Reads that waited for somebody else's load on this node.
    Wait waits,
    /// Loads that waited for another node's lease.
    LeaseWait lease_waits,
    /// Loads that were not begun because too many were waiting.
    Overload overloads,
    /// Values stored in memory.
    Fill fills,
    /// Values that were not stored, because something was invalidated meanwhile or the lease was lost.
    FillRefused fills_refused,
    /// Values stored in memory without the remote tier's consent, because it was away.
    DegradedFill degraded_fills,
    /// Values too large to be stored.
    TooLarge too_large,
    /// Bytes in the remote tier that are no value of this view: foreign, cut, damaged, of another release.
    Undecodable undecodable,
    /// Values that could not be encoded.
    Unencodable unencodable,
    /// Keys longer than accepted.
    KeyTooLong keys_too_long,
    /// Invalidations of keys, own and heard of.
    Invalidation invalidations,
    /// Entries that the sweep found expired.
    Expired expired,
    /// Reads that found memory turned off, because its lease had run out.
    Bypass bypasses,
    /// Entries that were suspect after a gap, found by a read.
    Suspect suspects,
    /// Calls of the remote tier that failed.
    RemoteError remote_errors,
    /// Hits that were compared with the source.
    Audited audited,
    /// Of these, those that differed at first and no longer when asked again.
    AuditTransient audit_transient,
    /// Of these, those that went on differing.
    AuditStuck audit_stuck,
    /// Values that adaptive refresh replaced before they expired.
    Refreshed refreshes,
    /// Of these, those that had changed.
    RefreshChanged refreshes_changed,
    /// Of these, those that nobody had read when they were replaced, forgotten or had expired.
    RefreshWasted refreshes_wasted,
    /// Adaptive refreshes that the cap put off, and keys that gave way to others.
    RefreshShed refreshes_shed,
    /// Values that a warm-up stored in memory, loaded or copied from the remote tier.
    WarmupLoad warmup_loads,
    /// Of these, those that somebody read.
    WarmupUsed warmup_used,
    /// Of these, those that left memory before anybody read them: expired, evicted, invalidated, replaced.
    WarmupWasted warmup_wasted,
}

#[repr(align(128))]
struct Stripe([AtomicU64; KINDS]);

/// The counters of one view.
pub(crate) struct Counters {
    stripes: Box<[Stripe]>,
}

impl Counters {
    pub(crate) fn new() -> Self {
        let stripe = |_| Stripe(std::array::from_fn(|_| AtomicU64::new(0)));
        Self { stripes: (0..STRIPES).map(stripe).collect() }
    }

    #[inline]
    pub(crate) fn add(&self, count: Count) {
        self.add_many(count, 1);
    }

    #[inline]
    pub(crate) fn add_many(&self, count: Count, times: u64) {
        self.stripes[stripe()].0[count as usize].fetch_add(times, Ordering::Relaxed);
    }
}

#[inline]
fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static STRIPE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
    }
    STRIPE.with(|stripe| *stripe)
}

impl Counts {
    /// The share of reads that a tier answered, 0 to 1; `None` before the first read.
    pub fn hit_ratio(&self) -> Option<f64> {
        let hits = self.memory_hits + self.remote_hits;
        let reads = hits + self.misses;
        (reads > 0).then(|| hits as f64 / reads as f64)
    }
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let mut sum = Counters::new();
        sum.take(self);
        sum.take(other);
        sum.read()
    }
}

impl Counters {
    fn take(&mut self, counts: Counts) {
        for (slot, (_, value)) in self.stripes[0].0.iter_mut().zip(counts.iter()) {
            *slot.get_mut() += value;
        }
    }
}
