//! What the parts of a node count and measure themselves, as it is at one moment.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use tierkeep_cache::Counts;
use tierkeep_db::{ClosedConnections, PoolCounts, PoolStatus};
use tierkeep_learning::statistic::StatisticKind;
use tierkeep_schedule::TaskCounts;

use super::asked::Told;
use crate::audit::Audited;
use crate::cleanup;
use crate::tiers::{Polls, SharedTier, Standing, State, Tier, ViewState, WarmupCounts};
use crate::watch::{BOUNDS, HitRatios, Latency};

/// A node at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// The tiers; `None` where nothing is kept.
    pub(super) tiers: Option<State>,
    /// How long answers took, by statistic and tier.
    pub(super) latencies: Vec<(StatisticKind, Tier, Latency)>,
    /// The share of reads that a tier above the database answered.
    pub(super) ratios: Vec<(StatisticKind, HitRatios)>,
    /// What the auditor has done.
    pub(super) audit: Audited,
    /// The connections; `None` where there is no pool.
    pub(super) pool: Option<(PoolStatus, PoolCounts)>,
    pub(super) folded: u64,
    pub(super) pruned: u64,
    pub(super) holds_lease: bool,
    pub(super) retention: cleanup::Standing,
    /// What ended of each task.
    pub(super) ended: Vec<TaskCounts>,
    /// What the database has told.
    pub(super) told: Told,
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        page.info("tierkeep_build", "The version that runs", &[("version", env!("CARGO_PKG_VERSION"))])?;
        page.latencies(&self.latencies)?;
        if let Some(state) = &self.tiers {
            page.ratios(&self.ratios)?;
            page.feed(state)?;
            page.polls(&state.polls)?;
            page.statistics(&state.views)?;
            page.memory(&state.cache)?;
            page.redis(state.shared)?;
            page.warmup(state.warmup)?;
            page.learned(state)?;
        }
        page.count("tierkeep_upkeep_folded_learners", "Learners whose summaries were folded in advance", self.folded)?;
        page.count("tierkeep_upkeep_pruned_changes", "Changes that were removed", self.pruned)?;
        let help = "Whether this node folds for all (1) or another one does, or nothing waits (0)";
        page.gauge("tierkeep_upkeep_lease_held", help, f64::from(u8::from(self.holds_lease)))?;
        page.audit(self.audit)?;
        page.retention(&self.retention)?;
        page.ended(&self.ended)?;
        page.told(&self.told)?;
        self.pool.map_or(Ok(()), |(status, counts)| page.pool(status, counts))
    }
}

type Label<'a> = (&'static str, &'a str);

/// What is being written.
pub(super) struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    pub(super) fn family<'a>(
        &'a mut self,
        name: &'static str,
        help: &'static str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'a>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }

    fn info(&mut self, name: &'static str, help: &'static str, labels: &[Label<'_>]) -> fmt::Result {
        self.family(name, help, MetricType::Info)?.encode_info(&labels)
    }

    fn count(&mut self, name: &'static str, help: &'static str, value: u64) -> fmt::Result {
        self.family(name, help, MetricType::Counter)?.encode_counter::<NoLabelSet, u64, u64>(&value, None)
    }

    pub(super) fn counts<'a, const N: usize>(
        &mut self,
        name: &'static str,
        help: &'static str,
        values: impl IntoIterator<Item = ([Label<'a>; N], u64)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Counter)?;
        for (labels, value) in values {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&value, None)?;
        }
        Ok(())
    }

    pub(super) fn gauge(&mut self, name: &'static str, help: &'static str, value: f64) -> fmt::Result {
        self.family(name, help, MetricType::Gauge)?.encode_gauge(&value)
    }

    pub(super) fn gauges(
        &mut self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: &[(&str, f64)],
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Gauge)?;
        for (of, value) in values {
            family.encode_family(&[(label, *of)])?.encode_gauge(value)?;
        }
        Ok(())
    }

    /// One of several states is 1, the others are 0.
    fn state<const N: usize>(
        &mut self,
        name: &'static str,
        help: &'static str,
        states: [(&'static str, bool); N],
    ) -> fmt::Result {
        self.gauges(name, help, "state", &states.map(|(state, is_it)| (state, f64::from(u8::from(is_it)))))
    }

    fn feed(&mut self, state: &State) -> fmt::Result {
        let help = "The position up to which this node was told every change";
        self.gauge("tierkeep_feed_position", help, measure(state.position))?;
        let help = "Time since the question to the database that it has answered last";
        self.gauge("tierkeep_feed_lag_seconds", help, state.behind.as_secs_f64())?;
        let standing = state.standing;
        self.state(
            "tierkeep_feed_state",
            "Whether kept answers are served: current; behind: the database has not said in time what changed; untold: a \
             change could go unnoticed",
            [
                ("current", standing == Standing::Current),
                ("behind", matches!(standing, Standing::Behind(_))),
                ("untold", standing == Standing::Untold),
            ],
        )
    }

    fn polls(&mut self, polls: &Polls) -> fmt::Result {
        let by_outcome = [([("outcome", "answered")], polls.answered), ([("outcome", "failed")], polls.failed)];
        self.counts("tierkeep_feed_polls", "Questions to the database for what changed", by_outcome)?;
        self.count("tierkeep_feed_events", "Changes that this node was told", polls.told)?;
        let help = "Time for one question for what changed";
        polls.seconds.encode(self.family("tierkeep_feed_poll_duration_seconds", help, MetricType::Histogram)?)
    }

    fn statistics(&mut self, views: &[ViewState]) -> fmt::Result {
        let hits = views.iter().flat_map(|view| {
            let of = |tier| [("statistic", view.kind.name()), ("tier", tier)];
            [(of("l1"), view.counts.memory_hits), (of("l2"), view.counts.remote_hits)]
        });
        self.counts("tierkeep_cache_hits", "Reads that memory (l1) or Redis (l2) answered", hits)?;
        for (name, help, count) in OF_STATISTICS {
            let values = views.iter().map(|view| ([("statistic", view.kind.name())], count(&view.counts)));
            self.counts(name, help, values)?;
        }
        Ok(())
    }

    fn latencies(&mut self, latencies: &[(StatisticKind, Tier, Latency)]) -> fmt::Result {
        let help = "Time from a question to its answer, by the tier that had it";
        let mut family = self.family("tierkeep_answer_duration_seconds", help, MetricType::Histogram)?;
        for (kind, tier, latency) in latencies {
            let bounds = BOUNDS.iter().map(Duration::as_secs_f64).chain([f64::MAX]);
            let buckets: Vec<(f64, u64)> = bounds.zip(latency.buckets).collect();
            let labels = [("statistic", kind.name()), ("tier", tier.name())];
            let mut series = family.encode_family(&labels)?;
            series.encode_histogram::<NoLabelSet>(latency.sum.as_secs_f64(), latency.count(), &buckets, None)?;
        }
        Ok(())
    }

    fn ratios(&mut self, ratios: &[(StatisticKind, HitRatios)]) -> fmt::Result {
        let help = "Share of the reads of the last five minutes that memory or Redis answered, 0 to 1";
        let values: Vec<_> = ratios.iter().filter_map(|(kind, of)| Some((kind.name(), of.last?))).collect();
        self.gauges("tierkeep_cache_hit_ratio", help, "statistic", &values)
    }

    fn memory(&mut self, cache: &tierkeep_cache::State) -> fmt::Result {
        self.gauge("tierkeep_cache_entries", "Answers in memory", measure(cache.entries as u64))?;
        self.gauge("tierkeep_cache_bytes", "Bytes that they take", measure(cache.memory_bytes))?;
        self.gauge("tierkeep_cache_capacity_bytes", "Bytes that they may take", measure(cache.memory_capacity))?;
        self.count("tierkeep_cache_evictions", "Answers that gave way to others in memory", cache.evictions)?;
        self.count("tierkeep_cache_gaps", "Times that messages of other nodes were missed", cache.gaps)?;
        let help = "Orders to forget that Redis has not acknowledged yet";
        self.gauge("tierkeep_cache_unsettled_invalidations", help, measure(cache.unsettled as u64))?;
        self.gauge("tierkeep_cache_loads_running", "Computations that run", measure(cache.loads_running as u64))?;
        let help = "Whether memory may be served (1)";
        self.gauge("tierkeep_cache_memory_served", help, f64::from(u8::from(cache.serves_memory)))?;
        let promise = match cache.promise {
            tierkeep_cache::Promise::Local => "local",
            tierkeep_cache::Promise::Bounded(_) => "bounded",
            tierkeep_cache::Promise::Strict(_) => "strict",
        };
        let help = "What the bus between nodes promises of orders to forget";
        self.info("tierkeep_cache_promise", help, &[("promise", promise)])
    }

    fn redis(&mut self, shared: SharedTier) -> fmt::Result {
        self.state(
            "tierkeep_redis_state",
            "The tier that nodes share",
            [
                ("none", shared == SharedTier::None),
                ("connected", shared == SharedTier::Connected),
                ("away", shared == SharedTier::Away),
            ],
        )
    }

    fn warmup(&mut self, warmup: WarmupCounts) -> fmt::Result {
        self.count("tierkeep_warmup_queued_learners", "Learners whose change set their turn", warmup.queued)?;
        self.count("tierkeep_warmup_done", "Answers brought into the tiers before anybody asked", warmup.done)?;
        self.count("tierkeep_warmup_dropped", "Learners and answers that were given up", warmup.dropped)?;
        self.count("tierkeep_warmup_failed", "Answers that could not be computed", warmup.failed)?;
        let help = "Learners that wait for their turn";
        self.gauge("tierkeep_warmup_waiting_learners", help, measure(warmup.waiting as u64))
    }

    fn learned(&mut self, state: &State) -> fmt::Result {
        let of_statistic = |count: fn(&ViewState) -> u64| {
            let views = state.views.iter();
            views.map(|view| ([("statistic", view.kind.name())], count(view))).collect::<Vec<_>>()
        };
        let help = "Answers that are there because they were hot before a restart";
        self.counts("tierkeep_warmup_restored", help, of_statistic(|view| view.restored))?;
        let help = "Answers that were stored in memory before anybody asked";
        self.counts("tierkeep_warmup_loads", help, of_statistic(|view| view.counts.warmup_loads))?;
        let help = "Of these, those that somebody asked for";
        self.counts("tierkeep_warmup_used", help, of_statistic(|view| view.counts.warmup_used))?;
        let help = "Of these, those that left memory before anybody asked for them";
        self.counts("tierkeep_warmup_wasted", help, of_statistic(|view| view.counts.warmup_wasted))?;
        let Some(learned) = &state.learned else { return Ok(()) };
        let help = "Whether what was hot before the start is there, as far as the node waits for that (1)";
        self.gauge("tierkeep_warmup_ready", help, f64::from(u8::from(learned.ready.is_some())))?;
        if let Some(age) = learned.snapshot_age {
            let help = "Time since that was taken down which was restored or saved last of what is hot";
            self.gauge("tierkeep_warmup_snapshot_age_seconds", help, age.as_secs_f64())?;
        }
        let counts = learned.counts;
        let by_outcome = [
            ([("outcome", "restored")], counts.restored),
            ([("outcome", "refused")], counts.refused),
            ([("outcome", "load_failed")], counts.load_failures),
            ([("outcome", "saved")], counts.saved),
            ([("outcome", "save_failed")], counts.save_failures),
        ];
        let help = "What is hot, as it was read from the database at the start, and written to it";
        self.counts("tierkeep_warmup_snapshots", help, by_outcome)
    }

    fn audit(&mut self, audit: Audited) -> fmt::Result {
        let help = "Learners whose stored summaries were compared with their rows";
        self.count("tierkeep_audit_learners", help, audit.learners)?;
        self.count("tierkeep_audit_differences", "Stored values that differed from the rows", audit.differences)?;
        self.count("tierkeep_audit_repairs", "Times that something was built anew as it differed", audit.repairs)?;
        self.count("tierkeep_audit_failures", "Comparisons that could not be made", audit.failures)
    }

    fn retention(&mut self, retention: &cleanup::Standing) -> fmt::Result {
        if let Some(backlog) = retention.backlog {
            let help = "Time by which the oldest session that waits is older than retention.archive_after_days";
            self.gauge("tierkeep_retention_backlog_seconds", help, backlog)?;
        }
        let by = |label, counts: &[(&'static str, u64)]| {
            counts.iter().map(|(of, count)| ([(label, *of)], *count)).collect::<Vec<_>>()
        };
        let help = "Clean-ups of this node, by how they ended";
        self.counts("tierkeep_retention_runs", help, by("ended", &retention.ended))?;
        self.counts("tierkeep_retention_rows", "Rows that they moved, by rule", by("rule", &retention.rows))
    }

    fn pool(&mut self, status: PoolStatus, counts: PoolCounts) -> fmt::Result {
        let PoolStatus { idle, in_use, waiting, max } = status;
        let by_state = [("idle", measure(idle as u64)), ("in_use", measure(in_use as u64))];
        self.gauges("tierkeep_pool_connections", "Connections to PostgreSQL", "state", &by_state)?;
        self.gauge("tierkeep_pool_max_connections", "Connections that there may be", measure(max as u64))?;
        self.gauge("tierkeep_pool_waiting", "Requests that wait for a connection", measure(waiting as u64))?;
        let PoolCounts { made, refused: _, lent, timed_out, waited, longest_wait: _, closed } = counts;
        self.count("tierkeep_pool_lent", "Connections that were lent", lent)?;
        self.count("tierkeep_pool_timeouts", "Requests that no connection became free for in time", timed_out)?;
        let help = "Time that requests waited for a connection";
        let mut family = self.family("tierkeep_pool_wait_seconds", help, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, f64, u64>(&waited.as_secs_f64(), None)?;
        self.count("tierkeep_pool_made", "Connections that were made", made)?;
        let ClosedConnections { overflow, recycled, dead, outdated, unfinished, discarded, ended: _ } = closed;
        let reasons = [
            ("overflow", overflow),
            ("recycled", recycled),
            ("dead", dead),
            ("outdated", outdated),
            ("unfinished", unfinished),
            ("discarded", discarded),
        ];
        let by_reason = reasons.map(|(reason, count)| ([("reason", reason)], count));
        self.counts("tierkeep_pool_closed", "Connections that were closed, by reason", by_reason)
    }
}

type Counted = (&'static str, &'static str, fn(&Counts) -> u64);

/// What is counted of each statistic. Beyond 2^53 the last digits of a gauge are lost, never of a counter.
const OF_STATISTICS: [Counted; 17] = [
    ("tierkeep_cache_misses", "Reads that no tier above the database answered", |counts| counts.misses),
    ("tierkeep_cache_stale_served", "Reads that were given a kept answer while the database was down", |counts| {
        counts.stale_served
    }),
    ("tierkeep_cache_loads", "Computations", |counts| counts.loads),
    ("tierkeep_cache_load_failures", "Computations that failed", |counts| counts.load_failures),
    ("tierkeep_cache_waits", "Reads that waited for somebody else's computation", |counts| counts.waits),
    ("tierkeep_cache_lease_waits", "Computations that waited for another node's", |counts| counts.lease_waits),
    ("tierkeep_cache_overloads", "Computations that were not begun because too many waited", |counts| counts.overloads),
    ("tierkeep_cache_fills", "Answers stored in memory", |counts| counts.fills),
    ("tierkeep_cache_fills_refused", "Answers not stored because something changed meanwhile", |counts| {
        counts.fills_refused
    }),
    ("tierkeep_cache_invalidations", "Orders to forget an answer", |counts| counts.invalidations),
    ("tierkeep_cache_expired", "Answers that were swept out after their life", |counts| counts.expired),
    ("tierkeep_cache_bypasses", "Reads that found memory turned off", |counts| counts.bypasses),
    ("tierkeep_cache_refreshes", "Answers that were computed anew before their life was over", |counts| {
        counts.refreshes
    }),
    ("tierkeep_cache_refreshes_changed", "Of these, those that had changed", |counts| counts.refreshes_changed),
    ("tierkeep_cache_refreshes_wasted", "Of these, those that nobody read", |counts| counts.refreshes_wasted),
    ("tierkeep_cache_refreshes_shed", "Computations before the end that were given up under load", |counts| {
        counts.refreshes_shed
    }),
    ("tierkeep_cache_l2_errors", "Calls of Redis that failed", |counts| counts.remote_errors),
];

/// Measures are doubles in every format of Prometheus.
pub(super) fn measure(value: u64) -> f64 {
    value as f64
}
