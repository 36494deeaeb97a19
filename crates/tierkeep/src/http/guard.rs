//! What each address needs: the one table from method and path to scope, for requests and for the document.

use axum::extract::MatchedPath;
use axum::http::{HeaderMap, Method, Request, header};
use tierkeep_learning::store::Scope;
use utoipa::openapi::path::PathItem;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, OpenApi};

use super::error::{ApiError, Edge};
use super::gate::{Peer, UNLIMITED};
use super::origin::foreign;
use super::{App, encoding};
use crate::access::{Admitted, Denied};

/// Pages and signs of life, which need no token and tell nothing of any learner.
const OPEN: [&str; 5] = ["/", "/docs", "/openapi.json", "/livez", "/readyz"];
/// What lies below these needs none either.
const OPEN_BELOW: [&str; 1] = ["/docs/"];
/// What tells nothing that a page from elsewhere could use, and is asked for by names of any kind.
const SIGNS_OF_LIFE: [&str; 2] = ["/livez", "/readyz"];
/// Questions that are too long for an address.
const READ_BY_POST: [&str; 1] = ["/v1/stats/batch"];

/// The scope that a request needs; `None` = no token.
///
/// What nobody has thought of needs one: an address that is added is guarded without a line here.
fn needed(method: &Method, path: &str) -> Option<Scope> {
    if OPEN.contains(&path) || OPEN_BELOW.iter().any(|open| path.starts_with(open)) {
        return None;
    }
    let is_read =
        matches!(*method, Method::GET | Method::HEAD) || (*method == Method::POST && READ_BY_POST.contains(&path));
    Some(match path {
        "/v1/admin" => Scope::Admin,
        _ if path.starts_with("/v1/admin/") => Scope::Admin,
        _ if is_read => Scope::Read,
        _ => Scope::Write,
    })
}

/// The scope that a request needs; `None` = no token.
pub(super) fn scope<B>(request: &Request<B>) -> Option<Scope> {
    needed(request.method(), path(request))
}

/// The route that was found, not the text that led to it: two readings of an address cannot differ.
fn path<B>(request: &Request<B>) -> &str {
    let route = request.extensions().get::<MatchedPath>();
    route.map_or_else(|| request.uri().path(), MatchedPath::as_str)
}

/// Why a request is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    NotAcceptable,
    Denied(Denied),
    Edge(Edge),
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotAcceptable => Self::NotAcceptable,
            Refusal::Denied(denied) => Self::Denied(denied),
            Refusal::Edge(edge) => Self::Edge(edge),
        }
    }
}

/// Lets a request pass whose client accepts an answer, and that needs no token or brings one of the scope it needs, unless its
/// client asks too often. Nothing of it was read before.
///
/// # Errors
/// What it is answered instead.
pub(super) fn pass<B>(app: &App, request: &Request<B>, scope: Option<Scope>) -> Result<(), Refusal> {
    if !encoding::is_acceptable(request.headers()) {
        return Err(Refusal::NotAcceptable);
    }
    let App { access, gate, .. } = app;
    let address = || gate.address(request.extensions().get::<Peer>().copied(), request.headers());
    let admitted = match scope {
        Some(scope) => access.admit(bearer(request.headers()), scope, app.clock.now()).map_err(|denied| {
            // whoever brings a token that lives is let in, however many others at the same address bring none: 256 bits are
            // guessed by nobody, and what is limited is what the guessing costs
            match (denied, gate.count(Admitted::Anybody, address(), Some(Scope::Read))) {
                (Denied::Unknown, Ok(())) => gate.count_guess(address()).err().map(Edge::TooManyGuesses),
                (_, counted) => counted.err().map(Edge::TooOften),
            }
            .map_or(Refusal::Denied(denied), Refusal::Edge)
        })?,
        None => Admitted::Anybody,
    };
    let path = path(request);
    if SIGNS_OF_LIFE.contains(&path) {
        return Ok(());
    }
    if admitted == Admitted::Anybody && !access.is_required() {
        let is_write = matches!(scope, Some(Scope::Write | Scope::Admin));
        if let Some(foreign) = foreign(request.uri(), request.headers(), is_write) {
            return Err(Refusal::Edge(Edge::Foreign(foreign)));
        }
    }
    if UNLIMITED.contains(&path) {
        return Ok(());
    }
    let address = if admitted == Admitted::Anybody { address() } else { None };
    gate.count(admitted, address, scope).map_err(|left| Refusal::Edge(Edge::TooOften(left)))
}

/// The token of a request; several are none, since it is not known which is meant.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The name of the scheme in the document.
const SCHEME: &str = "token";

/// Says in the document what every address needs.
pub(super) fn describe(document: &mut OpenApi) {
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
        "A token of `tierkeep token create`. Scopes: read, write, admin; each includes those before it. 401 without a live \
         token, 403 with one of too small a scope, 429 with `Retry-After` for whoever asks too often. An installation without tokens is served on loopback only and asks for none; it answers by the names of its own machine, \
         and lets no page from elsewhere write.",
    ));
    document
        .components
        .get_or_insert_with(Components::default)
        .add_security_scheme(SCHEME, SecurityScheme::Http(scheme.build()));
    for (path, item) in &mut document.paths.paths {
        let PathItem { get, put, post, delete, options, head, patch, trace, .. } = item;
        let operations = [
            (Method::GET, get),
            (Method::PUT, put),
            (Method::POST, post),
            (Method::DELETE, delete),
            (Method::OPTIONS, options),
            (Method::HEAD, head),
            (Method::PATCH, patch),
            (Method::TRACE, trace),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                let requirement = needed(&method, path).map(|scope| SecurityRequirement::new(SCHEME, [scope.name()]));
                operation.security = Some(requirement.into_iter().collect());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_and_path_has_its_scope() {
        let table = [
            ("GET", "/v1/users/{id}/stats/daily", Some(Scope::Read)),
            ("HEAD", "/v1/stats/global", Some(Scope::Read)),
            ("POST", "/v1/stats/batch", Some(Scope::Read)),
            ("PUT", "/v1/stats/batch", Some(Scope::Write)),
            ("POST", "/v1/sessions", Some(Scope::Write)),
            ("POST", "/v1/sessions/batch", Some(Scope::Write)),
            ("PATCH", "/v1/sessions/{id}", Some(Scope::Write)),
            ("DELETE", "/v1/users/{id}", Some(Scope::Write)),
            ("OPTIONS", "/v1/users", Some(Scope::Write)),
            ("GET", "/v1/admin", Some(Scope::Admin)),
            ("GET", "/v1/admin/cache", Some(Scope::Admin)),
            ("POST", "/v1/admin/cache/invalidate", Some(Scope::Admin)),
            ("GET", "/v1/administrators", Some(Scope::Read)),
            ("GET", "/metrics", Some(Scope::Read)),
            ("POST", "/xAPI/statements", Some(Scope::Write)),
            ("GET", "", Some(Scope::Read)),
            ("GET", "/", None),
            ("GET", "/docs", None),
            ("GET", "/docs/{*file}", None),
            ("GET", "/docsx", Some(Scope::Read)),
            ("GET", "/openapi.json", None),
            ("GET", "/livez", None),
            ("GET", "/readyz", None),
        ];
        for (method, path, scope) in table {
            assert_eq!(needed(&method.parse().unwrap(), path), scope, "{method} {path}");
        }
    }

    #[test]
    fn one_bearer_is_read_and_nothing_else() {
        let read = |values: &[&str]| {
            let headers = values.iter().map(|value| (header::AUTHORIZATION, value.parse().unwrap())).collect();
            bearer(&headers).map(str::to_owned)
        };

        assert_eq!(read(&["Bearer tk_a"]).as_deref(), Some("tk_a"));
        assert_eq!(read(&["bEARER  tk_a "]).as_deref(), Some("tk_a"));
        for values in [&[][..], &["tk_a"], &["Bearer"], &["Bearer "], &["Basic dTpw"], &["Bearer tk_a", "Bearer tk_a"]]
        {
            assert_eq!(read(values), None, "{values:?}");
        }
    }
}
