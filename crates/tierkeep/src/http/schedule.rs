//! The schedule, and what is computed in advance because somebody asks for it.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tierkeep_learning::key::UserId;
use tierkeep_learning::store::{ActiveWithin, StoreError};
use tierkeep_schedule::{RunEntry, Scheduler, TaskName, TaskState};
use utoipa::ToSchema;

use super::docs::Id;
use super::error::{ApiError, BadParameter, Fault, Problem};
use super::extract::{JsonBody, Limit, Parameter, Parameters, in_path};
use super::{App, json};
use crate::config::TaskKind;
use crate::tasks::precompute::{Asked, Report, Whom};
use crate::tiers::{Precomputed, Tiers};

/// Most learners of one request.
const MAX_LEARNERS: usize = 1000;

/// A task, for programs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TaskDocument {
    /// What it is called.
    name: String,
    /// When it is due: `every 300s`, or a cron expression.
    due: String,
    /// In which zone.
    time_zone: String,
    /// Whether it is on, on all nodes.
    enabled: bool,
    /// When it is due next; null while it is off.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    next_at: Option<Timestamp>,
    /// When a run of it was last done.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    succeeded_at: Option<Timestamp>,
    /// Runs that have failed since.
    failures: u64,
    /// Its last run that has ended.
    #[schema(required)]
    last: Option<RunDocument>,
    /// Its run that works now.
    #[schema(required)]
    works: Option<RunDocument>,
}

/// A run of a task, for programs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RunDocument {
    /// Its number; later ones are higher.
    run_id: String,
    /// The task.
    task: String,
    /// The instant it runs for; of one that was asked for, when that was.
    #[schema(value_type = String, format = DateTime)]
    due: Timestamp,
    /// Whether somebody asked for it.
    asked_for: bool,
    /// `waiting`, `works`, `done`, `failed` or `refused`.
    state: &'static str,
    /// How often it was tried.
    attempts: u32,
    /// When it was last begun.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    started_at: Option<Timestamp>,
    /// When that ended.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    ended_at: Option<Timestamp>,
    /// The process that did it.
    #[schema(required)]
    node: Option<String>,
    /// What it did.
    #[schema(value_type = Option<Object>, required)]
    output: Option<Value>,
    /// Why it was not done.
    #[schema(required)]
    error: Option<String>,
}

/// The tasks.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ScheduleDocument {
    /// In the order of the configuration.
    tasks: Vec<TaskDocument>,
}

/// Runs, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HistoryDocument {
    /// Newest first.
    items: Vec<RunDocument>,
}

/// A run that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RunAskedFor {
    /// Its number.
    run_id: String,
}

/// Whether a task is to be on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskSwitch {
    /// On, or off until it is switched again, on all nodes.
    enabled: bool,
}

/// About whom.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PrecomputeRequest {
    /// Only about learners with a valid session in the last `days_active` local days.
    active_users_only: bool,
    /// Left out, `precompute.days_active`.
    #[schema(minimum = 1, maximum = 36500)]
    days_active: Option<i64>,
}

/// What is to be there before anybody asks; at least one learner, or `global`.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WarmupRequest {
    /// All statistics of these learners, as of their today; at most 1000.
    #[schema(value_type = Vec<Id>)]
    users: Vec<UserId>,
    /// The statistic over all learners.
    global: bool,
    /// Whether what is kept is forgotten before.
    force: bool,
}

impl From<&RunEntry> for RunDocument {
    fn from(run: &RunEntry) -> Self {
        Self {
            run_id: run.id.to_string(),
            task: run.task.to_string(),
            due: run.due,
            asked_for: run.is_asked_for,
            state: run.state.as_str(),
            attempts: run.attempts,
            started_at: run.started_at,
            ended_at: run.ended_at,
            node: run.node.clone(),
            output: run.output.clone(),
            error: run.error.clone(),
        }
    }
}

impl From<&TaskState> for TaskDocument {
    fn from(task: &TaskState) -> Self {
        Self {
            name: task.name.to_string(),
            due: task.timing.clone(),
            time_zone: task.zone.clone(),
            enabled: task.is_enabled,
            next_at: task.next_at,
            succeeded_at: task.succeeded_at,
            failures: task.failures,
            last: task.last.as_ref().map(RunDocument::from),
            works: task.works.as_ref().map(RunDocument::from),
        }
    }
}

/// The document of a run, for a command.
pub(crate) fn run_document(run: &RunEntry) -> Value {
    json!(RunDocument::from(run))
}

/// The document of a task, for a command.
pub(crate) fn task_document(task: &TaskState) -> Value {
    json!(TaskDocument::from(task))
}

/// The tasks that nodes do by themselves
#[utoipa::path(
    get, path = "/v1/admin/schedule", tag = "operation",
    responses(
        (status = 200, body = ScheduleDocument),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn schedule(State(app): State<Arc<App>>, query: Parameters) -> Result<Response, ApiError> {
    query.only(&[])?;
    let tasks = app.schedule()?.tasks().await?;
    json(&ScheduleDocument { tasks: tasks.iter().map(TaskDocument::from).collect() })
}

/// Runs of a task, newest first
#[utoipa::path(
    get, path = "/v1/admin/schedule/{name}/runs", tag = "operation",
    params(
        ("name" = String, Path, description = "The task"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many; default: 100"),
    ),
    responses(
        (status = 200, body = HistoryDocument),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn history(
    State(app): State<Arc<App>>,
    TaskInPath(name): TaskInPath,
    query: Parameters,
) -> Result<Response, ApiError> {
    query.only(&["limit"])?;
    let limit = query.get::<Limit>("limit")?.unwrap_or_default().0.get();
    let runs = app.schedule()?.history(Some(name.as_str()), limit).await?;
    json(&HistoryDocument { items: runs.iter().map(RunDocument::from).collect() })
}

/// Asks for a run of a task
#[utoipa::path(
    post, path = "/v1/admin/schedule/{name}/run", tag = "operation",
    description = "Whichever node with a scheduler comes first does it, whether or not the task is on.",
    params(("name" = String, Path, description = "The task")),
    responses(
        (status = 202, body = RunAskedFor, description = "It waits for a node", headers(
            ("Location" = String, description = "Where its runs are told of"),
        )),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "One works, or waits, already"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn run(
    State(app): State<Arc<App>>,
    TaskInPath(name): TaskInPath,
    query: Parameters,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    let run = app.schedule()?.ask_for(name.as_str()).await?;
    let mut response = accepted(&RunAskedFor { run_id: run.to_string() })?;
    let place = HeaderValue::try_from(format!("/v1/admin/schedule/{name}/runs")).map_err(ApiError::internal)?;
    response.headers_mut().insert(header::LOCATION, place);
    Ok(response)
}

/// Switches a task on or off, on all nodes
#[utoipa::path(
    patch, path = "/v1/admin/schedule/{name}", tag = "operation",
    description = "`archive-old-data` is switched on here only where `retention.enabled` allows it; else by \
                   `tierkeep schedule enable`, which shows what it would do.",
    params(("name" = String, Path, description = "The task")),
    request_body = TaskSwitch,
    responses(
        (status = 200, body = ScheduleDocument),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn switch(
    State(app): State<Arc<App>>,
    TaskInPath(name): TaskInPath,
    query: Parameters,
    JsonBody(asked): JsonBody<TaskSwitch>,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    if asked.enabled && name.as_str() == TaskKind::Archive.name() && !app.retention.is_scheduled() {
        return Err(StoreError::from(tierkeep_retention::RetentionError::Refused(
            "retention.enabled does not allow it; `tierkeep schedule enable archive-old-data` shows what it would do"
                .to_owned(),
        ))
        .into());
    }
    let schedule = app.schedule()?;
    schedule.set_enabled(name.as_str(), asked.enabled).await?;
    json(&ScheduleDocument { tasks: schedule.tasks().await?.iter().map(TaskDocument::from).collect() })
}

/// Computes answers about many learners
#[utoipa::path(
    post, path = "/v1/admin/precompute", tag = "operation",
    description = "Brings stored summaries up to date, and the statistics of `precompute.statistics` into this node's memory and \
                   into Redis; those that are there stay. It goes on when the answer is there, and ends when the node ends.",
    request_body = PrecomputeRequest,
    responses(
        (status = 200, body = Report, description = "It is done"),
        (status = 202, description = "It works on"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "Another one works on this node"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn precompute(
    State(app): State<Arc<App>>,
    query: Parameters,
    JsonBody(asked): JsonBody<PrecomputeRequest>,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    if app.schedule.is_none() {
        return Err(StoreError::ReadOnly("precompute".to_owned()).into());
    }
    let (whom, kinds) = (asked.whom(app.options.days_active)?, app.options.statistics.clone());
    match app.precompute.ask(Arc::clone(&app.tiers), whom, kinds, app.clock.now(), app.limits.timeout / 2).await {
        Asked::Done(report) => json(&report?),
        Asked::Works => accepted(&json!({})),
        Asked::Busy => Err(ApiError::AtWork("answers are being computed already on this node".to_owned())),
    }
}

/// Brings answers about some learners into the tiers
#[utoipa::path(
    post, path = "/v1/admin/warmup", tag = "operation",
    request_body = WarmupRequest,
    responses(
        (status = 200, body = Precomputed),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn warmup(
    State(app): State<Arc<App>>,
    query: Parameters,
    JsonBody(request): JsonBody<WarmupRequest>,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    request.check()?;
    match request.carry_out(&app.tiers, app.clock.now()).await {
        Some(done) => json(&done),
        None => Err(ApiError::NothingKept),
    }
}

impl App {
    fn schedule(&self) -> Result<&Scheduler, ApiError> {
        self.schedule.as_deref().ok_or_else(|| StoreError::ReadOnly("schedule".to_owned()).into())
    }
}

impl PrecomputeRequest {
    fn whom(&self, configured: ActiveWithin) -> Result<Whom, BadParameter> {
        let refusal = |given: i64, accepted: &str| BadParameter {
            parameter: "days_active",
            given: given.to_string(),
            accepted: accepted.to_owned(),
            fault: Fault::OutOfRange,
        };
        match (self.active_users_only, self.days_active) {
            (false, None) => Ok(Whom::Everybody),
            (false, Some(given)) => Err(refusal(given, "nothing without active_users_only")),
            (true, None) => Ok(Whom::Active(configured)),
            (true, Some(given)) => ActiveWithin::new(given).map(Whom::Active).map_err(|_| refusal(given, "1 to 36500")),
        }
    }
}

impl WarmupRequest {
    /// The request that these words of the command line make.
    pub(crate) fn new(users: Vec<UserId>, global: bool, force: bool) -> Self {
        Self { users, global, force }
    }

    /// Whether it asks for something, and not for too much.
    pub(crate) fn check(&self) -> Result<(), BadParameter> {
        let accepted = match self.users.len() {
            0 if !self.global => "at least one learner, or global",
            count if count > MAX_LEARNERS => "at most 1000",
            _ => return Ok(()),
        };
        let given = self.users.len().to_string();
        Err(BadParameter { parameter: "users", given, accepted: accepted.to_owned(), fault: Fault::OutOfRange })
    }

    pub(crate) async fn carry_out(&self, tiers: &Tiers, now: Timestamp) -> Option<Precomputed> {
        let mut users = self.users.clone();
        users.sort_unstable();
        users.dedup();
        tiers.warm_up(&users, self.global, self.force, now).await
    }
}

/// The task that a path names.
#[derive(Debug)]
pub(super) struct TaskInPath(TaskName);

impl<S: Send + Sync> FromRequestParts<S> for TaskInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        in_path(parts, state, "name").await.map(Self)
    }
}

impl Parameter for TaskName {
    const ACCEPTED: &'static str = "the name of a task, such as archive-old-data";

    fn fault(_: &str) -> Fault {
        Fault::Unreadable
    }
}

fn accepted(body: &impl Serialize) -> Result<Response, ApiError> {
    let mut response = json(body)?;
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
