//! Requests of the API, by what they asked for and how they ended.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Bounds of the times that answers take, in seconds: from a hit in memory to the longest time that is given.
const SECONDS: [f64; 12] = [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0, 30.0];
/// The route of requests that no route has.
const UNMATCHED: &str = "unmatched";

/// Requests of the API. Clones count together.
#[derive(Debug, Clone)]
pub struct Traffic {
    requests: Family<Ended, Counter>,
    seconds: Family<Asked, Histogram, fn() -> Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    method: &'static str,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    method: &'static str,
    route: String,
    status: &'static str,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { requests: Family::default(), seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)) }
    }
}

impl Traffic {
    /// A request was answered: to a route by its template, `None` where there is no such route.
    pub fn note(&self, method: &Method, route: Option<&str>, status: StatusCode, took: Duration) {
        let (method, route) = (method_name(method), route.unwrap_or(UNMATCHED).to_owned());
        let ended = Ended { method, route: route.clone(), status: class(status) };
        self.requests.get_or_create(&ended).inc();
        self.seconds.get_or_create(&Asked { method, route }).observe(took.as_secs_f64());
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "tierkeep_http_requests",
            "Requests by route, method and class of status",
            self.requests.clone(),
        );
        registry.register(
            "tierkeep_http_request_duration_seconds",
            "Time from a request to its answer",
            self.seconds.clone(),
        );
    }
}

/// A method is a word of the client's, so only known ones have a name.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}
