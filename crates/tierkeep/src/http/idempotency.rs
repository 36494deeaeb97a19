//! A write as it comes in, and its answer, which is kept under the client's key.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tierkeep_learning::store::writes::{
    Expected, IdempotencyKey, Order, Outcome, Reply, Respond, SessionVersion, WriteRequest,
};

use super::App;
use super::error::{ApiError, BadParameter, Fault, Problem, clip};
use super::extract::JsonBody;
use super::fields::Object;
use super::position::X_TIERKEEP_POSITION;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Longest key, in characters.
const LONGEST_KEY: usize = 255;

/// A write: its body, its key, and the version that it expects.
#[derive(Debug)]
pub(super) struct Incoming {
    object: Option<Object>,
    key: Option<IdempotencyKey>,
    pub(super) expected: Expected,
}

impl FromRequest<Arc<App>> for Incoming {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let expected = expected(&parts.headers)?;
        let client_key = client_key(&parts.headers)?;
        let raw = Request::from_parts(parts.clone(), body);
        let bytes = Bytes::from_request(raw, app).await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                ApiError::TooLarge(app.limits.body)
            } else {
                ApiError::Syntax("the body ended before its announced length".to_owned())
            }
        })?;
        let key = client_key.map(|key| {
            let mut request = Sha256::new();
            // neither holds a NUL
            for part in [parts.method.as_str().as_bytes(), parts.uri.path().as_bytes()] {
                request.update(part);
                request.update([0]);
            }
            request.update(&bytes);
            IdempotencyKey { key, request: request.finalize().into() }
        });
        let object = if bytes.is_empty() {
            None
        } else {
            let JsonBody(object) = JsonBody::from_request(Request::from_parts(parts, Body::from(bytes)), app).await?;
            Some(object)
        };
        Ok(Self { object, key, expected })
    }
}

impl Incoming {
    /// The body, which must be there.
    pub(super) fn object(&self) -> Result<&Object, ApiError> {
        self.object.as_ref().ok_or_else(|| ApiError::Syntax("the body is empty; an object is accepted".to_owned()))
    }

    /// The body, or an object without fields.
    pub(super) fn object_or_empty(&self) -> Object {
        self.object.clone().unwrap_or_default()
    }

    /// Carries orders out and answers, with the position that covers them.
    ///
    /// What was answered under the same key before is answered again.
    pub(super) async fn carry_out(
        self,
        app: &App,
        orders: Vec<Order>,
        answer: impl Fn(&[Outcome]) -> Kept + Send + Sync + 'static,
    ) -> Result<Response, ApiError> {
        let respond: Respond = Arc::new(move |outcomes| answer(outcomes).to_bytes());
        let request = WriteRequest { orders, now: app.clock.now(), idempotency: self.key, respond };
        let reply = app.statistics().store().write(request).await?;
        let touched = reply.touched();
        let (kept, is_repeated) = match reply {
            Reply::Done(_, answer) => (Kept::from_bytes(&answer)?, false),
            Reply::Repeated(answer) => (Kept::from_bytes(&answer)?, true),
            Reply::KeyTaken => return Err(ApiError::KeyTaken),
            Reply::AnswerErased => return Err(ApiError::AnswerErased),
        };
        let mut response = kept.into_response();
        let headers = response.headers_mut();
        if is_repeated {
            headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        }
        // this node knows of the write before the client does, and of what another node has written as well
        if (is_repeated || !touched.is_empty())
            && let Some(position) = app.tiers.learn_of_change().await
        {
            headers.insert(X_TIERKEEP_POSITION, HeaderValue::from(position));
        }
        Ok(response)
    }
}

/// The key of the client.
fn client_key(headers: &HeaderMap) -> Result<Option<String>, BadParameter> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let bytes = value.as_bytes();
    let fits = (1..=LONGEST_KEY).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    let text = String::from_utf8_lossy(bytes);
    if fits && values.next().is_none() {
        return Ok(Some(text.into_owned()));
    }
    Err(BadParameter {
        parameter: "Idempotency-Key",
        given: clip(&text),
        accepted: "one value of 1 to 255 visible ASCII characters".to_owned(),
        fault: Fault::Unreadable,
    })
}

/// The versions that `If-Match` names. Weak tags name none: a change needs to know what it changes.
fn expected(headers: &HeaderMap) -> Result<Expected, BadParameter> {
    let mut versions = Vec::new();
    let mut is_given = false;
    for value in headers.get_all(header::IF_MATCH) {
        let text = String::from_utf8_lossy(value.as_bytes());
        for tag in text.split(',').map(str::trim) {
            is_given = true;
            if tag == "*" {
                return Ok(Expected::Any);
            }
            let is_weak = tag.starts_with("W/");
            let opaque = tag.strip_prefix("W/").unwrap_or(tag);
            let opaque =
                opaque.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).ok_or_else(|| BadParameter {
                    parameter: "If-Match",
                    given: clip(tag),
                    accepted: "entity tags in quotes, as ETag gives them, or *".to_owned(),
                    fault: Fault::Unreadable,
                })?;
            versions.extend(SessionVersion::parse(opaque).filter(|_| !is_weak));
        }
    }
    Ok(if is_given { Expected::OneOf(versions) } else { Expected::Any })
}

/// An answer as it is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    status: u16,
    location: Option<String>,
    etag: Option<String>,
    body: String,
}

impl Kept {
    /// An answer of JSON.
    pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Self {
        let body = serde_json::to_string(body).expect("an answer is made of texts, numbers and instants");
        Self { status: status.as_u16(), location: None, etag: None, body }
    }

    pub(super) fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT.as_u16(), location: None, etag: None, body: String::new() }
    }

    pub(super) fn problem(problem: &Problem) -> Self {
        Self::json(StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), problem)
    }

    pub(super) fn location(self, location: String) -> Self {
        Self { location: Some(location), ..self }
    }

    pub(super) fn version(self, version: &SessionVersion) -> Self {
        Self { etag: Some(tag(version)), ..self }
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an answer is made of texts and a number")
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, ApiError> {
        serde_json::from_slice(bytes).map_err(ApiError::internal)
    }

    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let media_type = if status.is_success() { "application/json" } else { "application/problem+json" };
        let has_body = !self.body.is_empty();
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if has_body {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        let texts = [(header::LOCATION, self.location), (header::ETAG, self.etag)];
        for (name, text) in texts {
            if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
                headers.insert(name, value);
            }
        }
        response.extensions_mut().insert(Unencoded);
        response
    }
}

/// The entity tag of a version.
pub(super) fn tag(version: &SessionVersion) -> String {
    format!("\"{version}\"")
}

/// Marks a response that is not compressed: its tag is strong, as `If-Match` needs it, so it names these bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unencoded;
