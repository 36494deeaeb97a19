//! How the tiers of a node stand, for those who watch it.

use std::time::Duration;

use tierkeep_learning::statistic::StatisticKind;

use super::feed::{Polls, Standing};
use super::learned::LearnedState;
use super::warmup::WarmupCounts;

/// How the tiers of a node stand.
#[derive(Debug, Clone)]
pub struct State {
    /// Whether what was kept may be served.
    pub standing: Standing,
    /// The position up to which this node was told every change.
    pub position: u64,
    /// Time since the database was asked, to which it has answered.
    pub behind: Duration,
    /// Why changes may go unnoticed; empty = they do not.
    pub broken: Vec<String>,
    /// The cache.
    pub cache: tierkeep_cache::State,
    /// The tier that nodes share.
    pub shared: SharedTier,
    /// Each statistic's view.
    pub views: Vec<ViewState>,
    /// What asking for changes has cost and brought.
    pub polls: Polls,
    /// What was computed before anybody asked.
    pub warmup: WarmupCounts,
    /// What was hot before a restart; `None` where nothing is restored.
    pub learned: Option<LearnedState>,
}

/// The tier that nodes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedTier {
    /// None is configured.
    None,
    /// It is connected.
    Connected,
    /// It is down.
    Away,
}

/// A view, by its statistic.
#[derive(Debug, Clone, Copy)]
pub struct ViewState {
    /// The statistic.
    pub kind: StatisticKind,
    /// How long its answers live at most.
    pub ttl: Duration,
    /// What happened in it.
    pub counts: tierkeep_cache::Counts,
    /// Answers that are there because they were hot before a restart.
    pub restored: u64,
}
