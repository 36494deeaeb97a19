//! Where an answer came from.

use std::sync::Arc;
use std::time::Duration;

use tierkeep_learning::store::Basis;

use super::body::Body;
use crate::watch::Waited;

/// Where an answer came from, the nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// The memory of this process.
    L1,
    /// Redis.
    L2,
    /// The database, from stored summaries.
    L3,
    /// Rows: no tier had it.
    Miss,
    /// A kept answer that may be out of date, because the database cannot be asked.
    Stale,
}

impl Tier {
    /// All, the nearest first.
    pub(crate) const ALL: [Self; 5] = [Self::L1, Self::L2, Self::L3, Self::Miss, Self::Stale];

    /// The farthest of some tiers; a kept answer that may be out of date is worse than any that was computed.
    pub fn worst(tiers: impl IntoIterator<Item = Self>) -> Option<Self> {
        tiers.into_iter().max_by_key(|tier| *tier as u8)
    }

    /// Its name in the header `X-Cache`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::L1 => "l1",
            Self::L2 => "l2",
            Self::L3 => "l3",
            Self::Miss => "miss",
            Self::Stale => "stale",
        }
    }

    /// That of an answer that was computed.
    pub(crate) fn computed(basis: Basis) -> Self {
        match basis {
            Basis::Summaries => Self::L3,
            Basis::Rows => Self::Miss,
        }
    }
}

/// An answer and where it came from.
#[derive(Debug, Clone)]
pub struct Found {
    /// What is sent.
    pub body: Arc<Body>,
    /// Where it came from.
    pub tier: Tier,
    /// Time since it was computed.
    pub age: Duration,
    /// What it was waited for.
    pub(crate) waited: Waited,
}

impl Found {
    pub(super) fn computed(body: Body) -> Self {
        let tier = Tier::computed(body.basis());
        Self { tier, body: Arc::new(body), age: Duration::ZERO, waited: Waited::default() }
    }
}
