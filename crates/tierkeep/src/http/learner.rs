//! The statistics of one learner, and those of all together.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use tierkeep_learning::key::UserId;
use tierkeep_learning::language::Language;
use tierkeep_learning::local_day::{LocalDay, Month, Year};
use tierkeep_learning::statistic::{
    Analytics, CourseSummary, Daily, Global, Heatmap, Monthly, Streaks, Weekly, WindowDays,
};

use super::App;
use super::answer::respond;
use super::docs::{Answer, CacheState, GlobalAnswer, Id};
use super::error::{ApiError, Problem};
use super::extract::{Learner, Parameters};
use super::language::preferred;
use super::position::Asked;
use crate::tiers::Question;

/// One local day
#[utoipa::path(
    get, path = "/v1/users/{id}/stats/daily", tag = "statistics",
    params(
        ("id" = Id, Path, description = "The learner's id"),
        ("If-None-Match" = Option<String>, Header, description = "Tags of answers that the client has"),
        ("X-Tierkeep-Position" = Option<u64>, Header, description = "What a write returned: the answer is not older"),
        ("date" = Option<String>, Query, format = Date, description = "The day; default: today in the learner's zone"),
    ),
    responses(
        (status = 200, body = Answer<Daily>, headers(
            ("ETag" = String, description = "Equal where the answers are equal, as_of apart"),
            ("Age" = u64, description = "Seconds since the answer was computed"),
            ("X-Cache" = CacheState, description = "Where the answer came from"),
        )),
        (status = 304, description = "The answer has the tag that If-None-Match names"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn daily(
    State(app): State<Arc<App>>,
    Learner(user): Learner,
    query: Parameters,
    asked: Asked,
) -> Result<Response, ApiError> {
    ask(&app, daily_of(user, &query)?, &asked).await
}

pub(super) fn daily_of(user: UserId, query: &Parameters) -> Result<Question, ApiError> {
    query.only(&["date"])?;
    Ok(Question::Daily { user, date: query.get::<LocalDay>("date")? })
}

/// One week from Monday
#[utoipa::path(
    get, path = "/v1/users/{id}/stats/weekly", tag = "statistics",
    params(
        ("id" = Id, Path, description = "The learner's id"),
        ("If-None-Match" = Option<String>, Header, description = "Tags of answers that the client has"),
        ("X-Tierkeep-Position" = Option<u64>, Header, description = "What a write returned: the answer is not older"),
        ("week_start" = Option<String>, Query, format = Date,
            description = "Any day of the week, moved back to its Monday; default: today in the learner's zone"),
    ),
    responses(
        (status = 200, body = Answer<Weekly>, headers(
            ("ETag" = String, description = "Equal where the answers are equal, as_of apart"),
            ("Age" = u64, description = "Seconds since the answer was computed"),
            ("X-Cache" = CacheState, description = "Where the answer came from"),
        )),
        (status = 304, description = "The answer has the tag that If-None-Match names"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn weekly(
    State(app): State<Arc<App>>,
    Learner(user): Learner,
    query: Parameters,
    asked: Asked,
) -> Result<Response, ApiError> {
    ask(&app, weekly_of(user, &query)?, &asked).await
}

pub(super) fn weekly_of(user: UserId, query: &Parameters) -> Result<Question, ApiError> {
    query.only(&["week_start"])?;
    Ok(Question::Weekly { user, week_of: query.get::<LocalDay>("week_start")? })
}

/// One calendar month
#[utoipa::path(
    get, path = "/v1/users/{id}/stats/monthly", tag = "statistics",
    params(
        ("id" = Id, Path, description = "The learner's id"),
        ("If-None-Match" = Option<String>, Header, description = "Tags of answers that the client has"),
        ("X-Tierkeep-Position" = Option<u64>, Header, description = "What a write returned: the answer is not older"),
        ("month" = Option<String>, Query, description = "YYYY-MM; default: the present month in the learner's zone"),
    ),
    responses(
        (status = 200, body = Answer<Monthly>, headers(
            ("ETag" = String, description = "Equal where the answers are equal, as_of apart"),
            ("Age" = u64, description = "Seconds since the answer was computed"),
            ("X-Cache" = CacheState, description = "Where the answer came from"),
        )),
        (status = 304, description = "The answer has the tag that If-None-Match names"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn monthly(
    State(app): State<Arc<App>>,
    Learner(user): Learner,
    query: Parameters,
    asked: Asked,
) -> Result<Response, ApiError> {
    ask(&app, monthly_of(user, &query)?, &asked).await
}

pub(super) fn monthly_of(user: UserId, query: &Parameters) -> Result<Question, ApiError> {
    query.only(&["month"])?;
    Ok(Question::Monthly { user, month: query.get::<Month>("month")? })
}

/// The last days up to a date, with recommendations
#[utoipa::path(
    get, path = "/v1/users/{id}/analytics", tag = "statistics",
    params(
        ("id" = Id, Path, description = "The learner's id"),
        ("If-None-Match" = Option<String>, Header, description = "Tags of answers that the client has"),
        ("X-Tierkeep-Position" = Option<u64>, Header, description = "What a write returned: the answer is not older"),
        ("to" = Option<String>, Query, format = Date, description = "The last day; default: today in the learner's zone"),
        ("days" = Option<u16>, Query, minimum = 2, maximum = 365, description = "How many days; default: 30"),
        ("lang" = Option<String>, Query,
            description = "en or zh; default: what Accept-Language prefers, then the configured language"),
        ("Accept-Language" = Option<String>, Header, description = "Language of the recommendations"),
    ),
    responses(
        (status = 200, body = Answer<Analytics>, headers(
            ("ETag" = String, description = "Equal where the answers are equal, as_of apart"),
            ("Age" = u64, description = "Seconds since the answer was computed"),
            ("X-Cache" = CacheState, description = "Where the answer came from"),
        )),
        (status = 304, description = "The answer has the tag that If-None-Match names"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn analytics(
    State(app): State<Arc<App>>,
    Learner(user): Learner,
    query: Parameters,
    asked: Asked,
) -> Result<Response, ApiError> {
    let (question, language) = analytics_of(&app, user, &query, &asked.headers)?;
    Ok(in_language(ask(&app, question, &asked).await?, language))
}

/// What is asked, and in which language it is answered.
pub(super) fn analytics_of(
    app: &App,
    user: UserId,
    query: &Parameters,
    headers: &HeaderMap,
) -> Result<(Question, Language), ApiError> {
    query.only(&["to", "days", "lang"])?;
    let to = query.get::<LocalDay>("to")?;
    let days = query.get::<WindowDays>("days")?.unwrap_or_default();
    let language = match query.get::<Language>("lang")? {
        Some(language) => language,
        None => preferred(headers).unwrap_or(app.tiers.statistics().settings().language),
    };
    Ok((Question::Analytics { user, to, days, language }, language))
}

/// Runs of consecutive active days over all history
#[utoipa::path(
    get, path = "/v1/users/{id}/streaks", tag = "statistics",
    params(
        ("id" = Id, Path, description = "The learner's id"),
        ("If-None-Match" = Option<String>, Header, description = "Tags of answers that the client has"),
        ("X-Tierkeep-Position" = Option<u64>, Header, description = "What a write returned: the answer is not older"),
    ),
    responses(
        (status = 200, body = Answer<Streaks>, headers(
            ("ETag" = String, description = "Equal where the answers are equal, as_of apart"),
            ("Age" = u64, description = "Seconds since the answer was computed"),
            ("X-Cache" = CacheState, description = "Where the answer came from"),
        )),
        (status = 304, description = "The answer has the tag that If-None-Match names"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn streaks(
    State(app): State<Arc<App>>,
    Learner(user): Learner,
    query: Parameters,
    asked: Asked,
) -> Result<Response, ApiError> {
    ask(&app, streaks_of(user, &query)?, &asked).await
}

pub(super) fn streaks_of(user: UserId, query: &Parameters) -> Result<Question, ApiError> {
    query.only(&[])?;
    Ok(Question::Streaks { user })
}

/// One calendar year, day by day
#[utoipa::path(
    get, path = "/v1/users/{id}/heatmap", tag = "statistics",
    params(
        ("id" = Id, Path, description = "The learner's id"),
        ("If-None-Match" = Option<String>, Header, description = "Tags of answers that the client has"),
        ("X-Tierkeep-Position" = Option<u64>, Header, description = "What a write returned: the answer is not older"),
        ("year" = Option<u16>, Query, minimum = 1, maximum = 9998,
            description = "The year; default: the present one in the learner's zone"),
    ),
    responses(
        (status = 200, body = Answer<Heatmap>, headers(
            ("ETag" = String, description = "Equal where the answers are equal, as_of apart"),
            ("Age" = u64, description = "Seconds since the answer was computed"),
            ("X-Cache" = CacheState, description = "Where the answer came from"),
        )),
        (status = 304, description = "The answer has the tag that If-None-Match names"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn heatmap(
    State(app): State<Arc<App>>,
    Learner(user): Learner,
    query: Parameters,
    asked: Asked,
) -> Result<Response, ApiError> {
    ask(&app, heatmap_of(user, &query)?, &asked).await
}

pub(super) fn heatmap_of(user: UserId, query: &Parameters) -> Result<Question, ApiError> {
    query.only(&["year"])?;
    Ok(Question::Heatmap { user, year: query.get::<Year>("year")? })
}

/// Course progress
#[utoipa::path(
    get, path = "/v1/users/{id}/courses/summary", tag = "statistics",
    params(
        ("id" = Id, Path, description = "The learner's id"),
        ("If-None-Match" = Option<String>, Header, description = "Tags of answers that the client has"),
        ("X-Tierkeep-Position" = Option<u64>, Header, description = "What a write returned: the answer is not older"),
    ),
    responses(
        (status = 200, body = Answer<CourseSummary>, headers(
            ("ETag" = String, description = "Equal where the answers are equal, as_of apart"),
            ("Age" = u64, description = "Seconds since the answer was computed"),
            ("X-Cache" = CacheState, description = "Where the answer came from"),
        )),
        (status = 304, description = "The answer has the tag that If-None-Match names"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn courses(
    State(app): State<Arc<App>>,
    Learner(user): Learner,
    query: Parameters,
    asked: Asked,
) -> Result<Response, ApiError> {
    ask(&app, courses_of(user, &query)?, &asked).await
}

pub(super) fn courses_of(user: UserId, query: &Parameters) -> Result<Question, ApiError> {
    query.only(&[])?;
    Ok(Question::Courses { user })
}

/// All learners together
#[utoipa::path(
    get, path = "/v1/stats/global", tag = "statistics",
    params(
        ("If-None-Match" = Option<String>, Header, description = "Tags of answers that the client has"),
        ("X-Tierkeep-Position" = Option<u64>, Header, description = "What a write returned: the answer is not older"),
    ),
    responses(
        (status = 200, body = GlobalAnswer<Global>, headers(
            ("ETag" = String, description = "Equal where the answers are equal, as_of apart"),
            ("Age" = u64, description = "Seconds since the answer was computed"),
            ("X-Cache" = CacheState, description = "Where the answer came from"),
        )),
        (status = 304, description = "The answer has the tag that If-None-Match names"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn global(State(app): State<Arc<App>>, query: Parameters, asked: Asked) -> Result<Response, ApiError> {
    query.only(&[])?;
    ask(&app, Question::Global, &asked).await
}

/// Answers from the nearest tier, or from the database where this node knows less than the client.
async fn ask(app: &App, question: Question, asked: &Asked) -> Result<Response, ApiError> {
    let now = app.clock.now();
    let found = if asked.may_be_kept {
        app.tiers.ask(question, now).await?
    } else {
        app.tiers.ask_database(question, now).await?
    };
    Ok(respond(&found, &asked.headers))
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
