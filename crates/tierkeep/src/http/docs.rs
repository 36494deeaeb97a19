//! The description of the API: shapes that the handlers do not spell out, the document, and its page.

use std::sync::{Arc, LazyLock};

use axum::body::Bytes;
use axum::extract::{Path, Request};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use tierkeep_learning::statistic::{Analytics, CourseSummary, Daily, Heatmap, Monthly, Streaks, Weekly};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use utoipa_swagger_ui::Config;

use super::error::{ApiError, Problem};
use super::routes;

/// The shape of every id.
pub(crate) struct Id;

impl PartialSchema for Id {
    fn schema() -> RefOr<Schema> {
        let kind = |kind, format: &str| {
            ObjectBuilder::new().schema_type(kind).format(Some(SchemaFormat::Custom(format.to_owned())))
        };
        OneOfBuilder::new()
            .item(kind(Type::String, "uuid"))
            .item(kind(Type::Integer, "int64"))
            .description(Some("A UUID or a 64-bit integer, as the platform has it"))
            .into()
    }
}

impl ToSchema for Id {}

/// The shape of `tierkeep_learning::service::Answer`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct Answer<T> {
    /// Whose.
    user_id: Id,
    /// The zone in force for this learner now.
    time_zone: String,
    /// Every change whose commit was acknowledged before this instant is in the answer.
    #[schema(value_type = String, format = DateTime)]
    as_of: (),
    /// The statistic itself.
    #[serde(flatten)]
    statistic: T,
}

/// The shape of `tierkeep_learning::service::GlobalAnswer`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct GlobalAnswer<T> {
    /// The installation's zone: its date is "today".
    time_zone: String,
    /// Every change whose commit was acknowledged before this instant is in the answer.
    #[schema(value_type = String, format = DateTime)]
    as_of: (),
    /// The statistic itself.
    #[serde(flatten)]
    statistic: T,
}

/// The tier that answered: `l1` memory, `l2` Redis, `l3` stored summaries, `miss` rows, `stale` a kept answer that may be
/// out of date because the database does not answer.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) enum CacheState {
    L1,
    L2,
    L3,
    Miss,
    Stale,
}

/// The shape of a page.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct PageOf<T> {
    /// The rows, in order.
    items: Vec<T>,
    /// What to give as `after` for the next page; null on the last one.
    #[schema(required)]
    next: Option<String>,
}

/// One place of a batch: an answer, or why there is none.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) enum BatchItem {
    Daily(Answer<Daily>),
    Weekly(Answer<Weekly>),
    Monthly(Answer<Monthly>),
    Analytics(Answer<Analytics>),
    Streaks(Answer<Streaks>),
    Heatmap(Answer<Heatmap>),
    Courses(Answer<CourseSummary>),
    Problem(BatchProblem),
}

/// Why one learner of a batch has no answer.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct BatchProblem {
    /// Whose answer is missing.
    user_id: Id,
    /// Why.
    error: Problem,
}

/// The document, written once.
static DOCUMENT: LazyLock<Vec<u8>> = LazyLock::new(|| serde_json::to_vec(&routes::openapi()).unwrap_or_default());

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "operation", responses((status = 200, body = Object)))]
pub(super) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], Bytes::from_static(&DOCUMENT)).into_response()
}

/// The page's scripts are files of ours; it styles elements in place.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The page without its closing slash.
pub(super) async fn redirect() -> Redirect {
    Redirect::permanent("/docs/")
}

/// The page, and the files it loads.
pub(super) async fn page(file: Option<Path<String>>, request: Request) -> Result<Response, ApiError> {
    static CONFIG: LazyLock<Arc<Config<'static>>> =
        // the default validator is a site on the internet
        LazyLock::new(|| Arc::new(Config::new(["/openapi.json"]).validator_url("none")));
    let name = file.as_ref().map_or("index.html", |Path(name)| name.as_str());
    let found =
        utoipa_swagger_ui::serve(name, Arc::clone(&CONFIG)).map_err(|error| ApiError::internal(error.to_string()))?;
    let file = found.ok_or_else(|| ApiError::UnknownPath(request.uri().path().to_owned()))?;
    let mut response = Response::new(file.bytes.into_owned().into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(&file.content_type).map_err(ApiError::internal)?);
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    Ok(response)
}
