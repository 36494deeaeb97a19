//! From requests to values: the learner in the path, the query's parameters, the body.

use std::str::FromStr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use jiff::civil::Date;
use serde::de::DeserializeOwned;
use tierkeep_db::PageSize;
use tierkeep_learning::key::{ContentId, SessionId, UserId};
use tierkeep_learning::language::Language;
use tierkeep_learning::local_day::{LocalDay, Month, Year};
use tierkeep_learning::statistic::WindowDays;

use super::error::{ApiError, BadParameter, Fault, clip};
use super::{App, body};

/// A value that can stand in an address.
pub(super) trait Parameter: FromStr {
    /// What is accepted, for people.
    const ACCEPTED: &'static str;

    /// What is wrong with a text that cannot be taken.
    fn fault(text: &str) -> Fault;
}

fn fault_unless(readable: bool) -> Fault {
    if readable { Fault::OutOfRange } else { Fault::Unreadable }
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

macro_rules! key_parameters {
    ($($key:ty),+) => {
        $(impl Parameter for $key {
            const ACCEPTED: &'static str = "a UUID or an integer from -2^63 to 2^63-1";

            fn fault(_: &str) -> Fault {
                Fault::Unreadable
            }
        })+
    };
}

key_parameters!(UserId, SessionId, ContentId);

impl Parameter for LocalDay {
    const ACCEPTED: &'static str = "YYYY-MM-DD from 0001-01-02 to 9998-12-30, up to the learner's tomorrow";

    fn fault(text: &str) -> Fault {
        fault_unless(text.len() == 10 && text.parse::<Date>().is_ok())
    }
}

impl Parameter for Month {
    const ACCEPTED: &'static str = "YYYY-MM from 0001-01 to 9998-12, up to the month of the learner's tomorrow";

    fn fault(text: &str) -> Fault {
        fault_unless(text.len() == 7 && format!("{text}-01").parse::<Date>().is_ok())
    }
}

impl Parameter for Year {
    const ACCEPTED: &'static str = "1 to 9998, up to the year of the learner's tomorrow";

    fn fault(text: &str) -> Fault {
        fault_unless(is_integer(text))
    }
}

impl Parameter for WindowDays {
    const ACCEPTED: &'static str = "2 to 365";

    fn fault(text: &str) -> Fault {
        fault_unless(is_integer(text))
    }
}

impl Parameter for Language {
    const ACCEPTED: &'static str = "en, zh";

    fn fault(text: &str) -> Fault {
        fault_unless(!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
    }
}

/// How many rows a page has.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limit(pub(super) PageSize);

impl FromStr for Limit {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let rows = text.parse().map_err(|_| ())?;
        PageSize::new(rows).map(Self).map_err(|_| ())
    }
}

impl Parameter for Limit {
    const ACCEPTED: &'static str = "1 to 1000";

    fn fault(text: &str) -> Fault {
        fault_unless(is_integer(text))
    }
}

/// Reads one value.
pub(super) fn parameter<T: Parameter>(name: &'static str, text: &str) -> Result<T, BadParameter> {
    text.parse().map_err(|_| BadParameter {
        parameter: name,
        given: clip(text),
        accepted: T::ACCEPTED.to_owned(),
        fault: T::fault(text),
    })
}

/// The learner that a path names.
#[derive(Debug)]
pub(super) struct Learner(pub(super) UserId);

impl<S: Send + Sync> FromRequestParts<S> for Learner {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        in_path(parts, state, "id").await.map(Self)
    }
}

/// A value that a path names.
pub(super) async fn in_path<T: Parameter>(
    parts: &mut Parts,
    state: &(impl Send + Sync),
    name: &'static str,
) -> Result<T, ApiError> {
    // a path that is no UTF-8 holds no value
    let Ok(values) = RawPathParams::from_request_parts(parts, state).await else {
        return Err(BadParameter {
            parameter: name,
            given: clip(parts.uri.path()),
            accepted: T::ACCEPTED.to_owned(),
            fault: Fault::Unreadable,
        }
        .into());
    };
    let text = values.iter().find(|(given, _)| *given == name).map(|(_, text)| text).unwrap_or_default();
    Ok(parameter(name, text)?)
}

/// The parameters of a query.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::of(&parts.uri)
    }
}

impl Parameters {
    /// The parameters of an address.
    pub(super) fn of(uri: &Uri) -> Result<Self, ApiError> {
        if uri.query().is_none_or(str::is_empty) {
            return Ok(Self(Vec::new()));
        }
        let Query(pairs) = Query::try_from_uri(uri).map_err(ApiError::internal)?;
        Ok(Self(pairs))
    }

    /// Refuses every parameter but these, and the second of one name.
    pub(super) fn only(&self, accepted: &'static [&'static str]) -> Result<(), ApiError> {
        for (at, (name, value)) in self.0.iter().enumerate() {
            let Some(known) = accepted.iter().find(|known| *known == name) else {
                return Err(ApiError::UnknownParameter { name: name.clone(), accepted });
            };
            if self.0[..at].iter().any(|(other, _)| other == name) {
                return Err(ApiError::Parameter(BadParameter {
                    parameter: known,
                    given: clip(value),
                    accepted: "one value".to_owned(),
                    fault: Fault::Unreadable,
                }));
            }
        }
        Ok(())
    }

    /// The value of a parameter, if it is there.
    pub(super) fn get<T: Parameter>(&self, name: &'static str) -> Result<Option<T>, ApiError> {
        self.text(name).map(|text| parameter(name, text)).transpose().map_err(ApiError::from)
    }

    /// The text of a parameter, if it is there.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A body that is a JSON object, its objects being objects at any depth.
#[derive(Debug)]
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let media_type = request.headers().get(header::CONTENT_TYPE);
        if !media_type.is_some_and(|value| is_json(value.as_bytes())) {
            let given = media_type.map_or_else(|| "none".into(), |value| String::from_utf8_lossy(value.as_bytes()));
            return Err(ApiError::MediaType(given.into_owned()));
        }
        // what is announced as too long is not waited for
        if announced(request.headers()) > Some(app.limits.body.get()) {
            return Err(ApiError::TooLarge(app.limits.body));
        }
        let bytes = Bytes::from_request(request, app).await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                ApiError::TooLarge(app.limits.body)
            } else {
                ApiError::Syntax("the body ended before its announced length".to_owned())
            }
        })?;
        body::read(&bytes).map(Self)
    }
}

/// The length that a body is announced with.
fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `application/json`, with or without parameters, or a type built on it.
fn is_json(media_type: &[u8]) -> bool {
    let essence = media_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let essence = essence.to_ascii_lowercase();
    essence == b"application/json" || (essence.starts_with(b"application/") && essence.ends_with(b"+json"))
}
