//! The statistics of one learner, and those of all together.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use serde::Serialize;
use tierkeep_learning::language::Language;
use tierkeep_learning::local_day::{LocalDay, Month, Year};
use tierkeep_learning::service::Answers;
use tierkeep_learning::statistic::{
    Analytics, CourseSummary, Daily, Global, Heatmap, Monthly, Streaks, Weekly, WindowDays,
};

use super::docs::{Answer, GlobalAnswer, Id};
use super::error::{ApiError, Problem};
use super::extract::{Learner, Parameters};
use super::language::preferred;
use super::{App, json};

/// One local day
#[utoipa::path(
    get, path = "/v1/users/{id}/stats/daily", tag = "statistics",
    params(
        ("id" = Id, Path, description = "The learner's id"),
        ("date" = Option<String>, Query, format = Date, description = "The day; default: today in the learner's zone"),
    ),
    responses(
        (status = 200, body = Answer<Daily>),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn daily(
    State(app): State<Arc<App>>,
    Learner(user): Learner,
    query: Parameters,
) -> Result<Response, ApiError> {
    query.only(&["date"])?;
    let date = query.get::<LocalDay>("date")?;
    only(app.statistics.daily(&app.known(user)?, date, app.clock.now()).await?)
}

/// One week from Monday
#[utoipa::path(
    get, path = "/v1/users/{id}/stats/weekly", tag = "statistics",
    params(
        ("id" = Id, Path, description = "The learner's id"),
        ("week_start" = Option<String>, Query, format = Date,
            description = "Any day of the week, moved back to its Monday; default: today in the learner's zone"),
    ),
    responses(
        (status = 200, body = Answer<Weekly>),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn weekly(
    State(app): State<Arc<App>>,
    Learner(user): Learner,
    query: Parameters,
) -> Result<Response, ApiError> {
    query.only(&["week_start"])?;
    let week_of = query.get::<LocalDay>("week_start")?;
    only(app.statistics.weekly(&app.known(user)?, week_of, app.clock.now()).await?)
}

/// One calendar month
#[utoipa::path(
    get, path = "/v1/users/{id}/stats/monthly", tag = "statistics",
    params(
        ("id" = Id, Path, description = "The learner's id"),
        ("month" = Option<String>, Query, description = "YYYY-MM; default: the present month in the learner's zone"),
    ),
    responses(
        (status = 200, body = Answer<Monthly>),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn monthly(
    State(app): State<Arc<App>>,
    Learner(user): Learner,
    query: Parameters,
) -> Result<Response, ApiError> {
    query.only(&["month"])?;
    let month = query.get::<Month>("month")?;
    only(app.statistics.monthly(&app.known(user)?, month, app.clock.now()).await?)
}

/// The last days up to a date, with recommendations
#[utoipa::path(
    get, path = "/v1/users/{id}/analytics", tag = "statistics",
    params(
        ("id" = Id, Path, description = "The learner's id"),
        ("to" = Option<String>, Query, format = Date, description = "The last day; default: today in the learner's zone"),
        ("days" = Option<u16>, Query, minimum = 2, maximum = 365, description = "How many days; default: 30"),
        ("lang" = Option<String>, Query,
            description = "en or zh; default: what Accept-Language prefers, then the configured language"),
        ("Accept-Language" = Option<String>, Header, description = "Language of the recommendations"),
    ),
    responses(
        (status = 200, body = Answer<Analytics>),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn analytics(
    State(app): State<Arc<App>>,
    Learner(user): Learner,
    query: Parameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    query.only(&["to", "days", "lang"])?;
    let to = query.get::<LocalDay>("to")?;
    let window = query.get::<WindowDays>("days")?.unwrap_or_default();
    let language = match query.get::<Language>("lang")? {
        Some(language) => language,
        None => preferred(&headers).unwrap_or(app.statistics.settings().language),
    };
    let users = app.known(user)?;
    let answers = app.statistics.analytics(&users, to, window, Some(language), app.clock.now()).await?;
    Ok(in_language(only(answers)?, language))
}

/// Runs of consecutive active days over all history
#[utoipa::path(
    get, path = "/v1/users/{id}/streaks", tag = "statistics",
    params(("id" = Id, Path, description = "The learner's id")),
    responses(
        (status = 200, body = Answer<Streaks>),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn streaks(
    State(app): State<Arc<App>>,
    Learner(user): Learner,
    query: Parameters,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    only(app.statistics.streaks(&app.known(user)?, app.clock.now()).await?)
}

/// One calendar year, day by day
#[utoipa::path(
    get, path = "/v1/users/{id}/heatmap", tag = "statistics",
    params(
        ("id" = Id, Path, description = "The learner's id"),
        ("year" = Option<u16>, Query, minimum = 1, maximum = 9998,
            description = "The year; default: the present one in the learner's zone"),
    ),
    responses(
        (status = 200, body = Answer<Heatmap>),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn heatmap(
    State(app): State<Arc<App>>,
    Learner(user): Learner,
    query: Parameters,
) -> Result<Response, ApiError> {
    query.only(&["year"])?;
    let year = query.get::<Year>("year")?;
    only(app.statistics.heatmap(&app.known(user)?, year, app.clock.now()).await?)
}

/// Course progress
#[utoipa::path(
    get, path = "/v1/users/{id}/courses/summary", tag = "statistics",
    params(("id" = Id, Path, description = "The learner's id")),
    responses(
        (status = 200, body = Answer<CourseSummary>),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn courses(
    State(app): State<Arc<App>>,
    Learner(user): Learner,
    query: Parameters,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    only(app.statistics.courses(&app.known(user)?, app.clock.now()).await?)
}

/// All learners together
#[utoipa::path(
    get, path = "/v1/stats/global", tag = "statistics",
    responses(
        (status = 200, body = GlobalAnswer<Global>),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn global(State(app): State<Arc<App>>, query: Parameters) -> Result<Response, ApiError> {
    query.only(&[])?;
    json(&app.statistics.global(app.clock.now()).await?)
}

fn only<T: Serialize>(answers: Answers<T>) -> Result<Response, ApiError> {
    match answers.into_iter().next() {
        Some(answer) => json(&answer?),
        None => Err(ApiError::internal("one learner was asked for and none answered")),
    }
}

/// Says which language an answer speaks, and that the request's headers decided.
pub(super) fn in_language(mut response: Response, language: Language) -> Response {
    let name = match language {
        Language::En => "en",
        Language::Zh => "zh",
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(name));
    headers.append(header::VARY, HeaderValue::from_static("accept-language"));
    response
}
