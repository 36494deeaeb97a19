//! Clean-ups that are asked for over HTTP, and the list of them.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use tierkeep_learning::store::StoreError;
use tierkeep_retention::{Ended, Pace, RetentionError, RunEntry, RunId};
use utoipa::ToSchema;

use super::body;
use super::error::{ApiError, BadParameter, Fault, Problem, clip};
use super::extract::{JsonBody, Limit, Parameter, Parameters, in_path};
use super::{App, json};
use crate::cleanup::{Begun, Document, Export, PATIENCE, Phase, Request, RestoreDocument, present};
use crate::config::Days;

/// What is to be cleaned up. What is left out is as the configuration says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CleanupRequest {
    /// Says what would be done, and writes nothing.
    dry_run: bool,
    /// These phases only; left out = all.
    #[serde(deserialize_with = "some_phases")]
    #[schema(min_items = 1)]
    phases: Vec<Phase>,
    /// Archive sessions that began so many days ago.
    #[schema(minimum = 1, maximum = 36500)]
    archive_older_than: Option<i64>,
    /// Delete archived ones that began so many days ago, and the data of learners who were not seen since.
    #[schema(minimum = 1, maximum = 36500)]
    delete_older_than: Option<i64>,
    /// Rows of every batch; left out, as many as 200 ms allow.
    #[schema(minimum = 1, maximum = 50000)]
    batch_size: Option<i64>,
    /// End after so many seconds between two batches.
    #[schema(minimum = 1)]
    max_seconds: Option<i64>,
    /// Carries out a plan that a guard refuses.
    force: bool,
    /// Whether rows are exported to `retention.export_dir` before they are deleted.
    export: bool,
}

/// How a run is to be undone.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RestoreRequest {
    /// Says what would come back, and writes nothing.
    dry_run: bool,
}

/// No list is all phases; an empty one is nothing to do, and whoever sends it means something else.
fn some_phases<'de, D: Deserializer<'de>>(phases: D) -> Result<Vec<Phase>, D::Error> {
    let phases = Vec::deserialize(phases)?;
    if phases.is_empty() {
        return Err(D::Error::custom("an empty list of phases; accepted: one or more, or none at all for every phase"));
    }
    Ok(phases)
}

impl Default for CleanupRequest {
    fn default() -> Self {
        Self {
            dry_run: false,
            phases: Vec::new(),
            archive_older_than: None,
            delete_older_than: None,
            batch_size: None,
            max_seconds: None,
            force: false,
            export: true,
        }
    }
}

/// A clean-up that was begun.
#[derive(Debug, Serialize, ToSchema)]
struct CleanupBegun {
    /// Its number; null while it still looks at the tables: then the list of runs will have it.
    #[schema(value_type = Option<i64>, required)]
    run_id: Option<RunId>,
}

/// The shape of a run.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct Run {
    /// Its number; later runs have higher ones.
    run_id: i64,
    /// What was asked for.
    command: String,
    /// When it began.
    #[schema(format = DateTime)]
    started_at: String,
    /// When it ended; null while it works, and of one that crashed until the next run begins.
    #[schema(format = DateTime, required)]
    ended_at: Option<String>,
    /// `running`, `done`, `budget`, `signal`, `refused`, `failed` or `crashed`.
    ended: String,
    /// Why it ended so.
    #[schema(required)]
    reason: Option<String>,
    /// What it was to do.
    #[schema(value_type = Object)]
    plan: (),
    /// What it did.
    #[schema(value_type = Object)]
    report: (),
    /// Batches that were committed.
    batches: u64,
    /// Rows in them.
    rows: u64,
}

/// Runs, newest first.
#[derive(Serialize)]
struct RunPage {
    items: Vec<RunEntry>,
    next: Option<RunId>,
}

/// The shape of such a page.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct Runs {
    /// Newest first.
    items: Vec<Run>,
    /// What to give as `before` for the next page, which may be empty; null if there is none.
    #[schema(required)]
    next: Option<i64>,
}

/// Cleans up
#[utoipa::path(
    post, path = "/v1/admin/cleanup", tag = "operation",
    description = "Puts invalid rows into quarantine, archives old sessions, exports and deletes older ones, batch by batch. It goes \
                   on when the answer is there, and ends between two batches when the node ends. A dry run is answered when it \
                   is done.",
    request_body = CleanupRequest,
    responses(
        (status = 200, body = Document, description = "What would be done: it was a dry run"),
        (status = 202, body = CleanupBegun, description = "It works", headers(
            ("Location" = String, description = "Where the run is told of"),
        )),
        (status = 409, body = Problem, content_type = "application/problem+json",
            description = "A guard refuses it, or another run works: then with `Retry-After`"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn cleanup(
    State(app): State<Arc<App>>,
    query: Parameters,
    JsonBody(asked): JsonBody<CleanupRequest>,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    let (store, config) = (Arc::clone(app.statistics().store()), app.retention.config());
    let request = asked.request()?;
    request.ages(config).map_err(|error| asked.ages_refused(&error))?;
    let now = present(&*store, app.clock).await?;
    let cleanup = request.cleanup(now, config).map_err(|error| asked.ages_refused(&error))?;
    if asked.dry_run {
        let began = Instant::now();
        let plan = store.plan_cleanup(&cleanup, request.limits(config), request.is_forced).await?;
        return json(&Document::of_plan(plan, &cleanup, began.elapsed()));
    }
    // who waits longer than a request may take is told that it plans
    let patience = app.limits.timeout / 2;
    match app.retention.begin(store, &request, cleanup, app.clock, patience).await? {
        Begun::Works(run) => accepted(Some(run)),
        Begun::Plans => accepted(None),
        Begun::Ended(outcome) => match (outcome.ended, outcome.reason) {
            (Ended::Refused, reason) => {
                Err(StoreError::Retention(RetentionError::Refused(reason.unwrap_or_default())).into())
            }
            _ => accepted(Some(outcome.run)),
        },
    }
}

fn accepted(run_id: Option<RunId>) -> Result<Response, ApiError> {
    let mut response = json(&CleanupBegun { run_id })?;
    *response.status_mut() = StatusCode::ACCEPTED;
    let place = run_id.map_or_else(|| "/v1/admin/runs".to_owned(), |run| format!("/v1/admin/runs/{run}"));
    response.headers_mut().insert(header::LOCATION, HeaderValue::try_from(place).map_err(ApiError::internal)?);
    Ok(response)
}

/// Clean-ups, newest first
#[utoipa::path(
    get, path = "/v1/admin/runs", tag = "operation",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Rows of a page; default: 100"),
        ("before" = Option<i64>, Query, minimum = 1, description = "The `next` of the page before: runs before this one"),
    ),
    responses(
        (status = 200, body = Runs),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn runs(State(app): State<Arc<App>>, query: Parameters) -> Result<Response, ApiError> {
    query.only(&["limit", "before"])?;
    let size = query.get::<Limit>("limit")?.unwrap_or_default().0;
    let before = query.get::<RunId>("before")?;
    let items = app.statistics().store().retention_runs(before, size.get()).await?;
    let is_full = u32::try_from(items.len()).is_ok_and(|rows| rows == size.get());
    // a page that is full may be the last one; then the next one is empty
    let next = items.last().map(|run| run.run_id).filter(|_| is_full);
    json(&RunPage { items, next })
}

/// One clean-up
#[utoipa::path(
    get, path = "/v1/admin/runs/{id}", tag = "operation",
    params(("id" = i64, Path, minimum = 1, description = "The run's number")),
    responses(
        (status = 200, body = Run),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn run(
    State(app): State<Arc<App>>,
    RunInPath(run): RunInPath,
    query: Parameters,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    let unknown = || ApiError::from(StoreError::Retention(RetentionError::UnknownRun(run)));
    let behind = run.get().checked_add(1).and_then(|next| RunId::new(next).ok()).ok_or_else(unknown)?;
    let found = app.statistics().store().retention_runs(Some(behind), 1).await?;
    json(found.first().filter(|found| found.run_id == run).ok_or_else(unknown)?)
}

/// Brings back what a clean-up moved
#[utoipa::path(
    post, path = "/v1/admin/runs/{id}/restore", tag = "operation",
    description = "All that the run archived or put into quarantine comes back, column for column, unless it was deleted since. It \
                   goes on when the answer is there, and ends between two batches when the node ends.",
    params(("id" = i64, Path, minimum = 1, description = "The run's number")),
    request_body(content = RestoreRequest, description = "May be left out"),
    responses(
        (status = 200, body = RestoreDocument,
            description = "What came back, or would; `ended` says whether that is all"),
        (status = 202, body = CleanupBegun, description = "It still works; the same request later tells what is left"),
        (status = 409, body = Problem, content_type = "application/problem+json",
            description = "A guard refuses it, or another run works: then with `Retry-After`"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn restore(
    State(app): State<Arc<App>>,
    RunInPath(run): RunInPath,
    query: Parameters,
    asked: Bytes,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    let asked = if asked.is_empty() { RestoreRequest::default() } else { body::read(&asked)? };
    let store = Arc::clone(app.statistics().store());
    if asked.dry_run {
        let began = Instant::now();
        let plan = app.retention.plan_restore(store, run, app.clock).await?;
        return json(&RestoreDocument::of_plan(plan, began.elapsed()));
    }
    match app.retention.restore(store, run, app.clock, app.limits.timeout / 2).await? {
        Some(restored) => json(&RestoreDocument::of_restored(&restored)),
        None => accepted(None),
    }
}

/// The run that a path names.
#[derive(Debug)]
pub(super) struct RunInPath(RunId);

impl<S: Send + Sync> FromRequestParts<S> for RunInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        in_path(parts, state, "id").await.map(Self)
    }
}

impl Parameter for RunId {
    const ACCEPTED: &'static str = "a whole number from 1 to 2^63-1";

    fn fault(_: &str) -> Fault {
        Fault::Unreadable
    }
}

impl CleanupRequest {
    fn request(&self) -> Result<Request, BadParameter> {
        let days = |parameter, given: Option<i64>| match given.map(|days| (days, Days::new(days))) {
            None => Ok(None),
            Some((_, Ok(days))) => Ok(Some(days)),
            Some((given, Err(_))) => Err(out_of_range(parameter, given, "1 to 36500")),
        };
        let batch = match self.batch_size {
            None => None,
            Some(rows) => Some(
                u32::try_from(rows)
                    .ok()
                    .filter(|rows| *rows <= Pace::MAX_ROWS.get())
                    .and_then(NonZeroU32::new)
                    .ok_or_else(|| out_of_range("batch_size", rows, "1 to 50000"))?,
            ),
        };
        let budget = match self.max_seconds {
            None => None,
            Some(seconds) => Some(
                u64::try_from(seconds)
                    .ok()
                    .filter(|seconds| *seconds > 0)
                    .map(Duration::from_secs)
                    .ok_or_else(|| out_of_range("max_seconds", seconds, "1 or more"))?,
            ),
        };
        Ok(Request {
            phases: self.phases.clone(),
            archive_after: days("archive_older_than", self.archive_older_than)?,
            delete_after: days("delete_older_than", self.delete_older_than)?,
            batch,
            budget,
            wait: PATIENCE,
            is_forced: self.force,
            export: if self.export { Export::Configured } else { Export::Nowhere },
        })
    }

    fn ages_refused(&self, error: &crate::cleanup::RequestError) -> ApiError {
        let given = self.delete_older_than.map_or_else(|| "the configured age".to_owned(), |days| days.to_string());
        BadParameter {
            parameter: "delete_older_than",
            given: clip(&given),
            accepted: error.to_string(),
            fault: Fault::OutOfRange,
        }
        .into()
    }
}

fn out_of_range(parameter: &'static str, given: i64, accepted: &str) -> BadParameter {
    BadParameter { parameter, given: given.to_string(), accepted: accepted.to_owned(), fault: Fault::OutOfRange }
}
