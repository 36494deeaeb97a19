//! What a node tells those who watch it: counts and measures in the text format of OpenMetrics, which Prometheus reads.
//!
//! Everything is read when it is asked for; nothing runs in between, and histograms have a fixed size. What only the database
//! knows is asked at most every 15 s, and nobody waits for it longer than 2 s. No label has a value that comes from a request:
//! there are as many series as statistics, tiers, routes, methods, tasks, tables and states.

mod asked;
mod installation;
mod snapshot;
mod traffic;

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tierkeep_schedule::TaskCounts;

pub use self::asked::Asked;
pub(crate) use self::asked::Told;
use self::snapshot::Snapshot;
pub use self::traffic::Traffic;
use crate::cleanup::Standing;
use crate::tiers::Tiers;
use crate::upkeep;

/// The type of the page that `GET /metrics` answers.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is counted by nobody else.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Requests of the API.
    pub traffic: Traffic,
    /// What this node has done for all.
    pub upkeep: Arc<upkeep::Done>,
    /// What the database tells of all nodes.
    pub asked: Asked,
}

impl Metrics {
    /// All metrics of a node at this moment.
    ///
    /// # Errors
    /// None that a text in memory could have.
    pub(crate) fn render(
        &self,
        tiers: &Tiers,
        retention: Standing,
        ended: Vec<TaskCounts>,
        told: Told,
    ) -> Result<String, fmt::Error> {
        let state = tiers.state();
        let snapshot = Snapshot {
            latencies: tiers.watch().latencies(),
            ratios: state.as_ref().map(|state| tiers.watch().hit_ratios(&state.views)).unwrap_or_default(),
            tiers: state,
            audit: tiers.audit().read(),
            pool: tiers.statistics().store().pool_status().zip(tiers.statistics().store().pool_counts()),
            folded: self.upkeep.folded(),
            pruned: self.upkeep.pruned(),
            holds_lease: self.upkeep.holds_lease(),
            retention,
            ended,
            told,
        };
        let mut registry = Registry::default();
        self.traffic.register(&mut registry);
        registry.register_collector(Box::new(snapshot));
        let mut text = String::with_capacity(TYPICAL);
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// Bytes that hold most pages without growing.
const TYPICAL: usize = 32 << 10;
