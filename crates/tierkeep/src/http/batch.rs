//! One statistic of many learners.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderValue;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tierkeep_learning::key::UserId;
use tierkeep_learning::language::Language;
use tierkeep_learning::local_day::{LocalDay, Year};
use tierkeep_learning::statistic::{StatisticKind, WindowDays};
use utoipa::ToSchema;

use super::answer::X_CACHE;
use super::docs::{BatchItem, CacheState, Id};
use super::error::{ApiError, BadParameter, Fault, Problem, service_problem};
use super::extract::{JsonBody, Parameters};
use super::language::preferred;
use super::learner::in_language;
use super::position::Asked;
use super::{App, json_bytes};
use crate::tiers::{ManyFound, Question, Tier};

/// Most learners of one request. The store reads as many at once.
const MAX_USERS: usize = 1000;

/// What is asked about whom.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchRequest {
    /// At most 1000 learners.
    #[schema(value_type = Vec<Id>, max_items = 1000)]
    users: Vec<UserId>,
    /// Which statistic of a learner; `global` is none.
    statistic: StatisticKind,
    /// The day; for `weekly`, `monthly` and `heatmap` any day of the period, for `analytics` the last day. Default: today
    /// in each learner's zone. `streaks` and `courses` have none.
    #[schema(value_type = Option<String>, format = Date)]
    date: Option<LocalDay>,
    /// For `analytics`: how many days, 2 to 365; default 30.
    #[schema(value_type = Option<u16>, minimum = 2, maximum = 365)]
    days: Option<WindowDays>,
    /// For `analytics`: en or zh; default: what Accept-Language prefers, then the configured language.
    #[schema(value_type = Option<String>)]
    lang: Option<Language>,
}

/// One statistic of many learners: an array with one answer per learner, in the order asked
///
/// A learner that is unknown, or whose date lies too far ahead, has an object with `user_id` and `error` in its place.
/// `X-Cache` tells the farthest tier that an answer came from, and is absent where there is none.
#[utoipa::path(
    post, path = "/v1/stats/batch", tag = "statistics",
    params(("X-Tierkeep-Position" = Option<u64>, Header, description = "What a write returned: the answers are not older")),
    request_body = BatchRequest,
    responses(
        (status = 200, body = Vec<BatchItem>, headers(
            ("X-Cache" = CacheState, description = "The farthest tier that an answer came from"),
        )),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn batch(
    State(app): State<Arc<App>>,
    query: Parameters,
    asked: Asked,
    JsonBody(request): JsonBody<BatchRequest>,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    request.check()?;
    let Some(any) = request.users.first().copied() else { return Ok(json_bytes("[]")) };
    let question = request.question(any, || preferred(&asked.headers).unwrap_or(app.statistics().settings().language));
    let now = app.clock.now();
    let found = if asked.may_be_kept {
        app.tiers.ask_many(&request.users, question, now).await?
    } else {
        app.tiers.ask_database_many(&request.users, question, now).await?
    };
    let mut response = json_bytes(write(&request.users, &found)?);
    if let Some(tier) = Tier::worst(found.iter().flatten().map(|found| found.tier)) {
        response.headers_mut().insert(X_CACHE, HeaderValue::from_static(tier.name()));
    }
    Ok(match question {
        Question::Analytics { language, .. } => in_language(response, language),
        _ => response,
    })
}

const OF_LEARNERS: &str = "daily, weekly, monthly, analytics, streaks, heatmap, courses";

impl BatchRequest {
    fn check(&self) -> Result<(), BadParameter> {
        use StatisticKind::{Analytics, Courses, Streaks};
        if self.users.len() > MAX_USERS {
            return Err(Self::refusal("users", format!("{} learners", self.users.len()), "at most 1000 learners"));
        }
        let statistic = self.statistic;
        if statistic == StatisticKind::Global {
            return Err(Self::refusal("statistic", statistic.to_string(), OF_LEARNERS));
        }
        if let Some(date) = self.date.filter(|_| matches!(statistic, Streaks | Courses)) {
            return Err(Self::refusal("date", date.to_string(), &format!("none with {statistic}")));
        }
        if let Some(days) = self.days.filter(|_| statistic != Analytics) {
            return Err(Self::refusal("days", days.to_string(), "only with analytics"));
        }
        if let Some(lang) = self.lang.filter(|_| statistic != Analytics) {
            return Err(Self::refusal("lang", lang.to_string(), "only with analytics"));
        }
        Ok(())
    }

    /// The question about one of the learners.
    fn question(&self, user: UserId, language: impl FnOnce() -> Language) -> Question {
        let date = self.date;
        match self.statistic {
            StatisticKind::Daily => Question::Daily { user, date },
            StatisticKind::Weekly => Question::Weekly { user, week_of: date },
            StatisticKind::Monthly => Question::Monthly { user, month: date.map(LocalDay::month) },
            StatisticKind::Heatmap => Question::Heatmap { user, year: date.map(Year::of) },
            StatisticKind::Streaks => Question::Streaks { user },
            StatisticKind::Courses => Question::Courses { user },
            StatisticKind::Analytics => {
                let (days, language) = (self.days.unwrap_or_default(), self.lang.unwrap_or_else(language));
                Question::Analytics { user, to: date, days, language }
            }
            StatisticKind::Global => Question::Global,
        }
    }

    fn refusal(parameter: &'static str, given: String, accepted: &str) -> BadParameter {
        BadParameter { parameter, given, accepted: accepted.to_owned(), fault: Fault::OutOfRange }
    }
}

/// Why a learner of a batch has no answer.
#[derive(Serialize)]
struct Refusal {
    user_id: UserId,
    error: Problem,
}

/// The bytes of each answer as they are kept, one after the other.
fn write(users: &[UserId], found: &ManyFound) -> Result<Vec<u8>, ApiError> {
    let length = found.iter().flatten().map(|found| found.body.json().len() + 1).sum::<usize>();
    let mut body = Vec::with_capacity(length + 2);
    body.push(b'[');
    for (user, answer) in users.iter().zip(found) {
        if body.len() > 1 {
            body.push(b',');
        }
        match answer {
            Ok(found) => body.extend_from_slice(&found.body.json()),
            Err(error) => {
                let refusal = Refusal { user_id: *user, error: service_problem(error) };
                serde_json::to_writer(&mut body, &refusal).map_err(ApiError::internal)?;
            }
        }
    }
    body.push(b']');
    Ok(body)
}
