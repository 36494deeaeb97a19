//! What an operator asks of a node's cache.

pub(super) mod database;
mod standing;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tierkeep_cache::{Acknowledgement, Receipt};
use tierkeep_learning::key::UserId;
use utoipa::ToSchema;

use self::standing::CacheStanding;
use super::docs::Id;
use super::error::{ApiError, BadParameter, Fault, Problem, clip};
use super::extract::{JsonBody, Parameters};
use super::{App, json};
use crate::tiers::{self, Invalidation, Question, Tiers};

/// Most keys, tags and learners of one request, each.
const MAX_TARGETS: usize = 1000;

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
    let mut standing = CacheStanding::of(&app.tiers);
    standing.explanation = explanation;
    json(&standing)
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
pub(crate) fn document(tiers: &Tiers) -> serde_json::Result<serde_json::Value> {
    serde_json::to_value(CacheStanding::of(tiers))
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
