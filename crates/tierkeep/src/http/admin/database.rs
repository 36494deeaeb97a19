//! What an operator asks of the database.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use tierkeep_db::{ClosedConnections, Database, Pool, PoolCounts, PoolStatus};
use tierkeep_learning::store::StoreError;
use utoipa::ToSchema;

use crate::doctor::{Document, Examination};
use crate::http::error::{ApiError, Problem};
use crate::http::extract::Parameters;
use crate::http::{App, json};

/// What is known of the database.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct DatabaseDocument {
    #[serde(flatten)]
    found: Document,
    /// This node's connections; null on SQLite.
    #[schema(required)]
    pool: Option<PoolDocument>,
}

/// A node's connections to PostgreSQL. Counts are since the node began.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct PoolDocument {
    /// Connections ready to be lent.
    idle: usize,
    /// Connections that are lent, being made, checked or closed.
    in_use: usize,
    /// Who waits for one.
    waiting: usize,
    /// Most that may exist.
    max: usize,
    /// Connections that were made.
    made: u64,
    /// Attempts to make one that failed.
    refused: u64,
    /// How often one was lent.
    lent: u64,
    /// How often none became free in time.
    timed_out: u64,
    /// Milliseconds that were waited for one, all together.
    waited_ms: f64,
    /// The longest of these waits.
    longest_wait_ms: f64,
    /// Connections that were closed.
    closed: ClosedDocument,
}

/// Connections that were closed, by reason.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ClosedDocument {
    /// Returned while as many were idle as are kept.
    overflow: u64,
    /// Too old.
    recycled: u64,
    /// Without a sign of life.
    dead: u64,
    /// Made before one that was found dead, or for a schema that is no more.
    outdated: u64,
    /// Returned in a failed transaction, or with a query under way.
    unfinished: u64,
    /// With a state of their own.
    discarded: u64,
}

impl PoolDocument {
    fn of(pool: &Pool) -> Self {
        let PoolStatus { idle, in_use, waiting, max } = pool.status();
        let PoolCounts { made, refused, lent, timed_out, waited, longest_wait, closed } = pool.counts();
        let ClosedConnections { overflow, recycled, dead, outdated, unfinished, discarded, ended: _ } = closed;
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        Self {
            idle,
            in_use,
            waiting,
            max,
            made,
            refused,
            lent,
            timed_out,
            waited_ms: millis(waited),
            longest_wait_ms: millis(longest_wait),
            closed: ClosedDocument { overflow, recycled, dead, outdated, unfinished, discarded },
        }
    }
}

/// What is worth doing about the database
#[utoipa::path(
    get, path = "/v1/admin/database", tag = "operation",
    responses(
        (status = 200, body = DatabaseDocument),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn database(State(app): State<Arc<App>>, query: Parameters) -> Result<Response, ApiError> {
    query.only(&[])?;
    let store = app.tiers.statistics().store();
    let db = store.looked_at();
    let examination = Examination::of(&db).await.map_err(|error| ApiError::from(StoreError::from(error)))?;
    let pool = match &db {
        Database::Postgres(pool) => Some(PoolDocument::of(pool)),
        Database::Sqlite(_) => None,
    };
    json(&DatabaseDocument { found: Document::of(&examination), pool })
}
