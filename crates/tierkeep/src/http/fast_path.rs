//! Answers that are in memory: given where the request is read, without the way through routes and layers.
//!
//! That way costs several times what finding the answer does. What is said is the same, by the same functions, and who may
//! not be answered is told so by the layers: see [`Judged`].

use std::time::Instant;

use axum::http::{HeaderMap, Method, Request, Uri, header};
use axum::response::Response;
use tierkeep_learning::key::UserId;
use tierkeep_learning::language::Language;
use tierkeep_learning::store::Scope;

use super::App;
use super::answer::respond;
use super::error::ApiError;
use super::extract::Parameters;
use super::guard::{self, Refusal};
use super::learner::{self, in_language};
use super::observe::Observer;
use super::position::X_TIERKEEP_POSITION;
use crate::request;
use crate::telemetry::Span;
use crate::tiers::Question;

/// What was found of a request's right to an answer. A look counts against the client's limit, so there is one for each
/// request: who finds this in a request does not look again.
#[derive(Debug, Clone)]
pub(super) struct Judged(pub(super) Result<(), Refusal>);

/// What is asked, by which route.
struct Asked {
    route: &'static str,
    question: Question,
    language: Option<Language>,
}

/// Answers a request from memory; `None` where it takes the long way.
pub(super) fn answer<B>(observer: &Observer, request: &mut Request<B>) -> Option<Response> {
    let began = Instant::now();
    let app = observer.app();
    let Asked { route, question, language } = asked(app, request)?;
    if !app.access.is_caught_up() {
        return None;
    }
    let verdict = guard::pass(app, request, Some(Scope::Read));
    let id = observer.id_of(request.headers());
    let answer = || {
        let found = verdict.is_ok().then(|| app.tiers.at_once(question, app.clock.now())).flatten()?;
        let mut response = respond(&found, request.headers());
        if let Some(language) = language {
            response = in_language(response, language);
        }
        observer.end(request.method(), Some(route), began, &mut response, id.clone());
        Span::request(request.headers(), request.method(), Some(route), began).answered(&response);
        Some(response)
    };
    let answered = request::during_sync(id.clone(), answer);
    if answered.is_none() {
        request.extensions_mut().insert(Judged(verdict));
    }
    answered
}

/// What a request asks for, if that is a statistic as most clients ask for it: what only the database can answer, what has to
/// be encoded, and what is wrong in any way goes the long way.
fn asked<B>(app: &App, request: &Request<B>) -> Option<Asked> {
    let headers = request.headers();
    let is_plain = *request.method() == Method::GET
        && !headers.contains_key(header::ACCEPT_ENCODING)
        && !headers.contains_key(header::CONTENT_LENGTH)
        && !headers.contains_key(header::TRANSFER_ENCODING)
        && !headers.contains_key(X_TIERKEEP_POSITION);
    if is_plain { named(app, request.uri(), headers) } else { None }
}

fn named(app: &App, uri: &Uri, headers: &HeaderMap) -> Option<Asked> {
    let path = uri.path();
    let query = || Parameters::of(uri);
    if path == "/v1/stats/global" {
        query().ok()?.only(&[]).ok()?;
        return Some(Asked { route: "/v1/stats/global", question: Question::Global, language: None });
    }
    let (user, statistic) = path.strip_prefix("/v1/users/")?.split_once('/')?;
    let user = || user.parse::<UserId>().ok();
    let of =
        |route, question: Result<Question, ApiError>| Some(Asked { route, question: question.ok()?, language: None });
    match statistic {
        "stats/daily" => of("/v1/users/{id}/stats/daily", learner::daily_of(user()?, &query().ok()?)),
        "stats/weekly" => of("/v1/users/{id}/stats/weekly", learner::weekly_of(user()?, &query().ok()?)),
        "stats/monthly" => of("/v1/users/{id}/stats/monthly", learner::monthly_of(user()?, &query().ok()?)),
        "streaks" => of("/v1/users/{id}/streaks", learner::streaks_of(user()?, &query().ok()?)),
        "heatmap" => of("/v1/users/{id}/heatmap", learner::heatmap_of(user()?, &query().ok()?)),
        "courses/summary" => of("/v1/users/{id}/courses/summary", learner::courses_of(user()?, &query().ok()?)),
        "analytics" => {
            let (question, language) = learner::analytics_of(app, user()?, &query().ok()?, headers).ok()?;
            Some(Asked { route: "/v1/users/{id}/analytics", question, language: Some(language) })
        }
        _ => None,
    }
}
