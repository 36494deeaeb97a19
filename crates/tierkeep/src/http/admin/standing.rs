//! How the tiers of a node stand, for programs and for people.

use serde::Serialize;
use tierkeep_learning::statistic::StatisticKind;
use utoipa::ToSchema;

use crate::tiers::{SharedTier, Standing, Tier, Tiers, ViewState};
use crate::watch::{HitRatios, Latency};

/// How the tiers of this node stand.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CacheStanding {
    /// `on`; `bypassed` while the database has not said within `freshness.bound` what changed, or a trigger is missing;
    /// `off` where nothing is kept.
    status: &'static str,
    /// Where the database stands, as this node knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    /// Milliseconds since it said so, where that is longer than the bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    behind_ms: Option<u64>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    l1: Option<MemoryStanding>,
    /// `none`, `connected` or `away`.
    #[serde(skip_serializing_if = "Option::is_none")]
    l2: Option<&'static str>,
    /// Each statistic's counts.
    statistics: Vec<StatisticCounts>,
    /// Why the key would be answered as it would, if one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) explanation: Option<String>,
}

/// The memory tier.
#[derive(Debug, Serialize, ToSchema)]
struct MemoryStanding {
    /// Answers in it.
    entries: usize,
    /// Bytes they take.
    bytes: u64,
    /// Its bound.
    capacity: u64,
    /// Answers that gave way to others.
    evictions: u64,
}

/// What happened to one statistic's answers since this node started.
#[derive(Debug, Serialize, ToSchema)]
struct StatisticCounts {
    /// The statistic.
    statistic: &'static str,
    /// Seconds its answers live at most.
    ttl_seconds: u64,
    /// Reads that memory answered.
    l1: u64,
    /// Reads that Redis answered.
    l2: u64,
    /// Reads that no tier above the database answered.
    misses: u64,
    /// The share of reads that memory or Redis answered.
    hit_ratio: HitRatio,
    /// Computations.
    loads: u64,
    /// Computations that failed.
    failures: u64,
    /// Reads that waited for somebody else's computation.
    waits: u64,
    /// Calls of Redis that failed.
    l2_errors: u64,
    /// How long questions waited for their answers, by the tier that had them; without tiers that had none.
    answers: Vec<TierAnswers>,
}

/// A share of reads, 0 to 1, over some times, as far as the node has run; null where nobody read.
#[derive(Debug, Serialize, ToSchema)]
struct HitRatio {
    /// The last five minutes, the running one included.
    #[schema(required)]
    last_5_minutes: Option<f64>,
    /// The last 60 minutes.
    #[schema(required)]
    last_hour: Option<f64>,
    /// The last 24 hours.
    #[schema(required)]
    last_day: Option<f64>,
}

/// The answers of one tier to questions for one statistic since this node started. A question about many learners is one.
#[derive(Debug, Serialize, ToSchema)]
struct TierAnswers {
    /// `l1`, `l2`, `l3` (stored summaries), `miss` (rows) or `stale`.
    tier: &'static str,
    /// How many.
    count: u64,
    /// Microseconds within which half of them were there; estimated from a histogram, as the next.
    p50_us: u64,
    /// Microseconds within which 99 of 100 were.
    p99_us: u64,
}

impl CacheStanding {
    /// How they stand now.
    pub(super) fn of(tiers: &Tiers) -> Self {
        let nothing = Self {
            status: "off",
            position: None,
            behind_ms: None,
            l1: None,
            l2: None,
            statistics: Vec::new(),
            explanation: None,
        };
        let Some(state) = tiers.state() else { return nothing };
        let memory = &state.cache;
        let (ratios, latencies) = (tiers.watch().hit_ratios(&state.views), tiers.watch().latencies());
        let counts = |view| StatisticCounts::of(view, &ratios, &latencies);
        Self {
            status: if state.standing == Standing::Current { "on" } else { "bypassed" },
            position: Some(state.position),
            behind_ms: match state.standing {
                Standing::Behind(behind) => u64::try_from(behind.as_millis()).ok(),
                Standing::Current | Standing::Untold => None,
            },
            l1: Some(MemoryStanding {
                entries: memory.entries,
                bytes: memory.memory_bytes,
                capacity: memory.memory_capacity,
                evictions: memory.evictions,
            }),
            l2: Some(match state.shared {
                SharedTier::None => "none",
                SharedTier::Connected => "connected",
                SharedTier::Away => "away",
            }),
            statistics: state.views.iter().map(counts).collect(),
            explanation: None,
        }
    }
}

impl StatisticCounts {
    fn of(
        view: &ViewState,
        ratios: &[(StatisticKind, HitRatios)],
        latencies: &[(StatisticKind, Tier, Latency)],
    ) -> Self {
        let ratio = ratios.iter().find(|(kind, _)| *kind == view.kind).map(|(_, ratio)| *ratio).unwrap_or_default();
        let answers = latencies.iter().filter(|(kind, ..)| *kind == view.kind);
        Self {
            statistic: view.kind.name(),
            ttl_seconds: view.ttl.as_secs(),
            l1: view.counts.memory_hits,
            l2: view.counts.remote_hits,
            misses: view.counts.misses,
            hit_ratio: HitRatio { last_5_minutes: ratio.lately, last_hour: ratio.hour, last_day: ratio.day },
            loads: view.counts.loads,
            failures: view.counts.load_failures,
            waits: view.counts.waits,
            l2_errors: view.counts.remote_errors,
            answers: answers.map(|(_, tier, latency)| TierAnswers::of(*tier, latency)).collect(),
        }
    }
}

impl TierAnswers {
    fn of(tier: Tier, latency: &Latency) -> Self {
        let micros =
            |share| latency.quantile(share).map_or(0, |within| u64::try_from(within.as_micros()).unwrap_or(u64::MAX));
        Self { tier: tier.name(), count: latency.count(), p50_us: micros(0.5), p99_us: micros(0.99) }
    }
}
