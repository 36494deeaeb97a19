//! Requests of the API, by what they asked for and how they ended.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
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
    /// The counters of what was asked before, by route and method: neither a name is made nor a label compared for a request.
    known: Arc<RwLock<HashMap<String, Methods>>>,
}

type Methods = [OnceLock<Row>; METHODS.len()];

/// The counters of one method of a route.
#[derive(Debug)]
struct Row {
    by_class: [OnceLock<Counter>; CLASSES.len()],
    seconds: Histogram,
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
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            known: Arc::default(),
        }
    }
}

impl Traffic {
    /// A request was answered: to a route by its template, `None` where there is no such route.
    pub fn note(&self, method: &Method, route: Option<&str>, status: StatusCode, took: Duration) {
        let route = route.unwrap_or(UNMATCHED);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(methods) = known.get(route) {
            self.count(methods, route, method, status, took);
        } else {
            drop(known);
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            let methods = known.entry(route.to_owned()).or_default();
            self.count(methods, route, method, status, took);
        }
    }

    fn count(&self, methods: &Methods, route: &str, method: &Method, status: StatusCode, took: Duration) {
        let (method, class) = (place_of_method(method), place_of_class(status));
        let Row { by_class, seconds } = methods[method].get_or_init(|| {
            let asked = Asked { method: METHODS[method], route: route.to_owned() };
            Row { by_class: Default::default(), seconds: self.seconds.get_or_create(&asked).clone() }
        });
        let requests = by_class[class].get_or_init(|| {
            let ended = Ended { method: METHODS[method], route: route.to_owned(), status: CLASSES[class] };
            self.requests.get_or_create(&ended).clone()
        });
        requests.inc();
        seconds.observe(took.as_secs_f64());
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
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

fn place_of_method(method: &Method) -> usize {
    METHODS.iter().position(|name| *name == method.as_str()).unwrap_or(METHODS.len() - 1)
}

fn place_of_class(status: StatusCode) -> usize {
    usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1
}
