//! One statistic of many learners.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::ser::{SerializeSeq, SerializeStruct};
use serde::{Deserialize, Serialize, Serializer};
use tierkeep_learning::key::{KeyType, UserId};
use tierkeep_learning::language::Language;
use tierkeep_learning::local_day::{LocalDay, Year};
use tierkeep_learning::service::{Answer, Answers, ServiceError};
use tierkeep_learning::statistic::{StatisticKind, WindowDays};
use utoipa::ToSchema;

use super::docs::{BatchItem, Id};
use super::error::{ApiError, BadParameter, Fault, Problem, service_problem};
use super::extract::{JsonBody, Parameters};
use super::language::preferred;
use super::learner::in_language;
use super::position::Asked;
use super::{App, json_bytes};

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
#[utoipa::path(
    post, path = "/v1/stats/batch", tag = "statistics",
    params(("X-Tierkeep-Position" = Option<u64>, Header, description = "What a write returned: the answers are not older")),
    request_body = BatchRequest,
    responses(
        (status = 200, body = Vec<BatchItem>),
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
    let statistics = app.statistics();
    let key_type = statistics.store().key_type();
    let BatchRequest { users, statistic, date, days, lang } = request;
    let known: Vec<UserId> = users.iter().copied().filter(|user| user.key().key_type() == key_type).collect();
    let now = app.clock.now();
    let body = match statistic {
        StatisticKind::Daily => write(&users, key_type, statistics.daily(&known, date, now).await?),
        StatisticKind::Weekly => write(&users, key_type, statistics.weekly(&known, date, now).await?),
        StatisticKind::Monthly => {
            write(&users, key_type, statistics.monthly(&known, date.map(LocalDay::month), now).await?)
        }
        StatisticKind::Heatmap => write(&users, key_type, statistics.heatmap(&known, date.map(Year::of), now).await?),
        StatisticKind::Streaks => write(&users, key_type, statistics.streaks(&known, now).await?),
        StatisticKind::Courses => write(&users, key_type, statistics.courses(&known, now).await?),
        StatisticKind::Analytics => {
            let language = lang.or_else(|| preferred(&asked.headers)).unwrap_or(statistics.settings().language);
            let window = days.unwrap_or_default();
            let answers = statistics.analytics(&known, date, window, Some(language), now).await?;
            return Ok(in_language(json_bytes(write(&users, key_type, answers)?), language));
        }
        StatisticKind::Global => Err(BatchRequest::refusal("statistic", "global".to_owned(), OF_LEARNERS).into()),
    };
    Ok(json_bytes(body?))
}

const OF_LEARNERS: &str = "daily, weekly, monthly, analytics, streaks, heatmap, courses";

impl BatchRequest {
    fn check(&self) -> Result<(), BadParameter> {
        use StatisticKind::{Analytics, Courses, Streaks};
        if self.users.len() > MAX_USERS {
            return Err(Self::refusal("users", format!("{} learners", self.users.len()), "at most 1000 learners"));
        }
        let statistic = self.statistic;
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

    fn refusal(parameter: &'static str, given: String, accepted: &str) -> BadParameter {
        BadParameter { parameter, given, accepted: accepted.to_owned(), fault: Fault::OutOfRange }
    }
}

/// Bytes of an answer about one learner, roughly: the body is allocated once.
const TYPICAL_ITEM: usize = 512;

fn write<T: Serialize>(users: &[UserId], key_type: KeyType, answers: Answers<T>) -> Result<Vec<u8>, ApiError> {
    let mut body = Vec::with_capacity(TYPICAL_ITEM * users.len());
    write_array(&mut serde_json::Serializer::new(&mut body), users, key_type, answers).map_err(ApiError::internal)?;
    Ok(body)
}

fn write_array<S: Serializer, T: Serialize>(
    serializer: S,
    users: &[UserId],
    key_type: KeyType,
    answers: Answers<T>,
) -> Result<S::Ok, S::Error> {
    let mut answers = answers.into_iter();
    let mut array = serializer.serialize_seq(Some(users.len()))?;
    for user in users {
        // ids of the other type were not asked for: they belong to nobody
        let answer = (user.key().key_type() == key_type).then(|| answers.next()).flatten();
        let answer = answer.unwrap_or(Err(ServiceError::UnknownLearner(*user)));
        array.serialize_element(&Item { user: *user, answer })?;
    }
    array.end()
}

struct Item<T> {
    user: UserId,
    answer: Result<Answer<T>, ServiceError>,
}

impl<T: Serialize> Serialize for Item<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.answer {
            Ok(answer) => answer.serialize(serializer),
            Err(error) => {
                let mut object = serializer.serialize_struct("Problem", 2)?;
                object.serialize_field("user_id", &self.user)?;
                object.serialize_field("error", &service_problem(error))?;
                object.end()
            }
        }
    }
}
