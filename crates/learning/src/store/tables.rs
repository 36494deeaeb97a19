//! Whose tables a store reads, and what a platform's column of zones may hold.

use crate::calendar::Zone;

/// Whose tables a store reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tables {
    /// Tierkeep's own: summaries are stored beside the rows.
    Own,
    /// A platform's, through a mapping, with Tierkeep's tables and triggers attached: summaries are stored as well.
    Attached,
    /// A platform's, through a mapping, and nothing attached: every answer comes from rows.
    Platform,
}

impl Tables {
    /// Whether summaries are stored.
    pub(super) fn have_summaries(self) -> bool {
        self != Self::Platform
    }
}

/// A learner's zone by its name in a row; an unknown name counts as none, as the platform's column may hold anything.
pub(super) fn zone_of(name: Option<&str>) -> Option<Zone> {
    let name = name.filter(|name| !name.is_empty())?;
    match Zone::new(name) {
        Ok(zone) => Some(zone),
        Err(error) => {
            tracing::warn!(%error, "a learner's zone is unknown; the installation's zone counts instead");
            None
        }
    }
}
