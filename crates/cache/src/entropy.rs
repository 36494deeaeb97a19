//! Chance: stamps, lease tokens, jitter. One generator per cache, seeded, so that a simulation repeats.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};

/// SplitMix64 (Steele, Lea, Flood 2014) over a shared counter: each number is used once.
#[derive(Debug)]
pub(crate) struct Entropy(AtomicU64);

impl Entropy {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Seeded by the operating system, through the standard library's hash keys.
    pub(crate) fn unpredictable() -> Self {
        let mut hasher = std::hash::RandomState::new().build_hasher();
        hasher.write_u64(0x7469_6572_6b65_6570);
        Self::seeded(hasher.finish())
    }

    /// Any number but zero.
    pub(crate) fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).max(1)
    }

    /// Any number below `bound`, which is at least 1.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}
