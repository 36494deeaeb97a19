//! What an operator asks of a node's cache.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tierkeep_cache::{Acknowledgement, Receipt};
use tierkeep_learning::key::UserId;
use utoipa::ToSchema;

use super::docs::Id;
use super::error::{ApiError, BadParameter, Fault, Problem, clip};
use super::extract::{JsonBody, Parameters};
use super::{App, json};
use crate::tiers::{self, Invalidation, Question, SharedTier, Standing};

/// Most keys, tags and learners of one request, each.
const MAX_TARGETS: usize = 1000;

/// How the tiers of this node stand.
#[derive(Debug, Serialize, ToSchema)]
struct CacheStanding {
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
    explanation: Option<String>,
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
    /// Computations.
    loads: u64,
    /// Computations that failed.
    failures: u64,
    /// Reads that waited for somebody else's computation.
    waits: u64,
    /// Calls of Redis that failed.
    l2_errors: u64,
}

/// How the cache stands
#[utoipa::path(
    get, path = "/v1/admin/cache", tag = "operation",
    params(("key" = Option<String>, Query,
        description = "Explains this key as well, such as daily/USER/2026-01-31 or streaks/USER")),
    responses(
        (status = 200, body = CacheStanding),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn cache(State(app): State<Arc<App>>, query: Parameters) -> Result<Response, ApiError> {
    query.only(&["key"])?;
    let explanation = match query.text("key") {
        None => None,
        Some(key) => app.tiers.explain(question("key", key)?).await.map(|explanation| explanation.to_string()),
    };
    json(&CacheStanding { explanation, ..standing(app.tiers.state().as_ref()) })
}

fn standing(state: Option<&tiers::State>) -> CacheStanding {
    let nothing = CacheStanding {
        status: "off",
        position: None,
        behind_ms: None,
        l1: None,
        l2: None,
        statistics: Vec::new(),
        explanation: None,
    };
    let Some(state) = state else { return nothing };
    let memory = &state.cache;
    CacheStanding {
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

fn counts(view: &tiers::ViewState) -> StatisticCounts {
    StatisticCounts {
        statistic: view.kind.name(),
        ttl_seconds: view.ttl.as_secs(),
        l1: view.counts.memory_hits,
        l2: view.counts.remote_hits,
        misses: view.counts.misses,
        loads: view.counts.loads,
        failures: view.counts.load_failures,
        waits: view.counts.waits,
        l2_errors: view.counts.remote_errors,
    }
}

/// What is to be forgotten; at least one of these, at most 1000 of each.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct InvalidateRequest {
    /// Answers by their keys.
    keys: Vec<String>,
    /// Answers by tags: `user:ID`, or `global`.
    tags: Vec<String>,
    /// All answers about these learners.
    #[schema(value_type = Vec<Id>)]
    users: Vec<UserId>,
    /// Everything.
    all: bool,
}

/// Who has forgotten it. This node always has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Invalidated {
    /// Whether every part has.
    complete: bool,
    /// Redis: `given`, `not needed`, or why it has not yet; it is asked again until it has.
    l2: String,
    /// The other nodes, in the same words.
    nodes: String,
}

/// Forgets kept answers, in all tiers and on all nodes
#[utoipa::path(
    post, path = "/v1/admin/cache/invalidate", tag = "operation",
    request_body = InvalidateRequest,
    responses(
        (status = 200, body = Invalidated),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn invalidate(
    State(app): State<Arc<App>>,
    query: Parameters,
    JsonBody(request): JsonBody<InvalidateRequest>,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    let mut receipts = Vec::new();
    for order in request.orders()? {
        receipts.extend(app.tiers.invalidate(&order).await);
    }
    json(&Invalidated::of(&receipts))
}

impl InvalidateRequest {
    /// The request that these words of the command line make.
    pub(crate) fn new(keys: Vec<String>, tags: Vec<String>, users: Vec<UserId>) -> Self {
        Self { keys, tags, users, all: false }
    }

    pub(crate) fn everything() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// What the cache is told.
    pub(crate) fn orders(&self) -> Result<Vec<Invalidation>, BadParameter> {
        for (parameter, count) in [("keys", self.keys.len()), ("tags", self.tags.len()), ("users", self.users.len())] {
            if count > MAX_TARGETS {
                return Err(refusal(parameter, &count.to_string(), "at most 1000".to_owned()));
            }
        }
        if self.all {
            return Ok(vec![Invalidation::Everything]);
        }
        let questions = self.keys.iter().map(|key| question("keys", key)).collect::<Result<Vec<_>, _>>()?;
        let mut tags = Vec::new();
        for name in &self.tags {
            tags.push(tiers::named_tag(name).ok_or_else(|| refusal("tags", name, "user:ID, global".to_owned()))?);
        }
        if questions.is_empty() && tags.is_empty() && self.users.is_empty() {
            return Err(refusal("keys", "", "at least one of keys, tags, users and all".to_owned()));
        }
        let mut orders = vec![Invalidation::Keys(questions), Invalidation::Tags(tags)];
        if !self.users.is_empty() {
            orders.push(Invalidation::Learners(self.users.clone()));
        }
        Ok(orders)
    }
}

impl Invalidated {
    /// A node could not be told.
    pub(crate) fn failed(error: &anyhow::Error) -> Self {
        Self { complete: false, l2: "unknown".to_owned(), nodes: error.to_string() }
    }

    /// Whether every part has.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    pub(crate) fn of(receipts: &[Receipt]) -> Self {
        let worst = |part: fn(&Receipt) -> &Acknowledgement| {
            let parts = receipts.iter().map(part);
            let mut told = "not needed".to_owned();
            for part in parts {
                match part {
                    Acknowledgement::Pending(why) => return why.clone(),
                    Acknowledgement::Given => "given".clone_into(&mut told),
                    Acknowledgement::NotNeeded => {}
                }
            }
            told
        };
        Self {
            complete: receipts.iter().all(Receipt::is_complete),
            l2: worst(|receipt| &receipt.remote),
            nodes: worst(|receipt| &receipt.bus),
        }
    }
}

/// The document that `GET /v1/admin/cache` answers, for a command that has no server to ask.
pub(crate) fn document(state: Option<&tiers::State>) -> serde_json::Result<serde_json::Value> {
    serde_json::to_value(standing(state))
}

fn question(parameter: &'static str, text: &str) -> Result<Question, BadParameter> {
    text.parse().map_err(|_| {
        let accepted = "daily/USER/DATE, weekly/USER/DATE, monthly/USER/MONTH, analytics/USER/DATE/DAYS/LANGUAGE, \
                        streaks/USER, heatmap/USER/YEAR, courses/USER, global; today for a date that is left out";
        BadParameter { fault: Fault::Unreadable, ..refusal(parameter, text, accepted.to_owned()) }
    })
}

fn refusal(parameter: &'static str, given: &str, accepted: String) -> BadParameter {
    BadParameter { parameter, given: clip(given), accepted, fault: Fault::OutOfRange }
}
