//! Erasing a learner everywhere: the database first, then what every tier has kept; and following those who departed.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Serialize;
use serde_json::{Value, json};
use tierkeep_learning::key::UserId;
use tierkeep_learning::store::erasure::{Erased, Grace};
use tierkeep_learning::store::{Store, StoreError};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::http::{App, InvalidateRequest, Invalidated};
use crate::tiers::{self, Invalidation, Tiers};

/// Time between two looks for learners who departed.
const LOOK: Duration = Duration::from_secs(60);
/// Learners erased at one look: each waits for writers, and writers for it.
const ERASED_PER_LOOK: u32 = 50;

/// What an erasure removed, and what a second look everywhere found.
#[derive(Debug, Serialize, ToSchema)]
pub struct Receipt {
    /// Whom.
    #[schema(value_type = crate::http::Id)]
    pub user_id: UserId,
    /// When, by the database's clock.
    #[schema(value_type = String, format = DateTime)]
    pub erased_at: jiff::Timestamp,
    /// Rows removed, by table.
    pub removed: std::collections::BTreeMap<String, u64>,
    /// Rows found when every table was looked at again after the commit.
    pub remaining: std::collections::BTreeMap<String, u64>,
    /// Which tiers have forgotten the answers about the learner. The database's new position has outdated them already.
    pub caches: Invalidated,
    /// What is kept: the id and the time, so that rows of this learner are refused from now on.
    pub kept: &'static str,
    /// Whether no row remains and every tier has forgotten.
    pub complete: bool,
}

impl Receipt {
    /// Puts together what the database and the tiers say.
    #[must_use]
    pub fn new(erased: Erased, caches: Invalidated) -> Self {
        let complete = erased.is_complete() && caches.is_complete();
        let Erased { user_id, erased_at, removed, remaining } = erased;
        Self {
            user_id,
            erased_at,
            removed,
            remaining,
            caches,
            kept: "a tombstone of id and time; for an hour, the id in the change feed",
            complete,
        }
    }
}

/// What is to be forgotten of a learner: the answers about them, and those they are counted in.
pub(crate) fn forgetting(user: UserId) -> InvalidateRequest {
    InvalidateRequest::new(Vec::new(), vec!["global".to_owned()], vec![user])
}

/// Erases a learner in the database and in all tiers; `None` if nothing is known of them.
///
/// # Errors
/// [`StoreError`].
pub async fn erase(tiers: &Tiers, user: UserId) -> Result<Option<Receipt>, StoreError> {
    match tiers.statistics().store().erase(user).await? {
        None => Ok(None),
        Some(erased) => Ok(Some(forget(tiers, erased).await)),
    }
}

async fn forget(tiers: &Tiers, erased: Erased) -> Receipt {
    let mut receipts = Vec::new();
    for order in [Invalidation::Tags(vec![tiers::global_tag()]), Invalidation::Learners(vec![erased.user_id])] {
        receipts.extend(tiers.invalidate(&order).await);
    }
    Receipt::new(erased, Invalidated::of(&receipts))
}

/// What an erasure would remove, without removing it; `None` if nothing is known of the learner.
///
/// # Errors
/// [`StoreError`].
pub async fn plan(store: &dyn Store, user: UserId) -> Result<Option<Value>, StoreError> {
    let traces = store.traces(user).await?;
    let is_known = traces.values().any(|rows| *rows > 0);
    Ok(is_known.then(|| json!({ "user_id": user, "dry_run": true, "would_remove": traces })))
}

/// Takes note of learners whose own row went and erases those who have been gone for `grace`; `None` = only takes note. One
/// look; how many were erased.
///
/// # Errors
/// [`StoreError`]; who was erased before it stays so.
pub async fn follow_departures(tiers: &Tiers, grace: Option<Grace>) -> Result<usize, StoreError> {
    let store = tiers.statistics().store();
    while store.note_departures().await? > 0 {}
    let Some(grace) = grace else { return Ok(0) };
    let erased = store.erase_departed(grace, ERASED_PER_LOOK).await?;
    let count = erased.len();
    for erased in erased {
        let receipt = forget(tiers, erased).await;
        tracing::info!(
            user_id = %receipt.user_id, complete = receipt.complete, removed = ?receipt.removed,
            "a learner was erased: their own row has been gone for retention.erase_grace"
        );
    }
    Ok(count)
}

/// Looks for departures now and then until `stop`. Any number of nodes may do so at once.
pub async fn follow(app: Arc<App>, grace: Option<SignedDuration>, stop: CancellationToken) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = looks.tick() => {}
        }
        let grace = grace.map(|length| Grace { length, now: None });
        if let Err(error) = follow_departures(&app.tiers, grace).await {
            tracing::warn!(%error, "departed learners are looked for again in a minute");
        }
    }
}
