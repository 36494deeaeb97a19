//! What a node tells those who watch it: counts and measures in the text format of OpenMetrics, which Prometheus reads.
//!
//! Everything is read when it is asked for; nothing runs in between, and histograms have a fixed size. No label has a value
//! that comes from a request: there are as many series as statistics, tiers, routes, methods and states.

mod snapshot;
mod traffic;

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use self::snapshot::Snapshot;
pub use self::traffic::Traffic;
use crate::cleanup::Standing;
use crate::tiers::Tiers;
use crate::upkeep;

/// The type of what [`Metrics::render`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is counted by nobody else.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Requests of the API.
    pub traffic: Traffic,
    /// What this node has done for all.
    pub upkeep: Arc<upkeep::Done>,
}

impl Metrics {
    /// All metrics of a node at this moment.
    ///
    /// # Errors
    /// None that a text in memory could have.
    pub fn render(&self, tiers: &Tiers, retention: Standing) -> Result<String, fmt::Error> {
        let snapshot = Snapshot {
            tiers: tiers.state(),
            audit: tiers.audit().read(),
            pool: tiers.statistics().store().pool_status(),
            folded: self.upkeep.folded(),
            pruned: self.upkeep.pruned(),
            holds_lease: self.upkeep.holds_lease(),
            retention,
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
