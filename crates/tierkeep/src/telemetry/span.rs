//! The spans there are, and what they say.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use futures_util::future::Either;
use opentelemetry::trace::{FutureExt, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use serde_json::Value;
use tierkeep_learning::statistic::StatisticKind;
use tierkeep_learning::store::Effort;
use tierkeep_schedule::{Attempt, Job, JobError};

use super::{export, parent};
use crate::clock::Clock;
use crate::config::TaskKind;
use crate::tiers::Tier;

/// The methods that a name may hold, by the conventions; a client may send any word.
const METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
    Method::TRACE,
    Method::CONNECT,
];
/// What machines ask every few seconds, and nobody looks for in traces.
const UNTRACED: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// Something that takes time; `None`: nobody wants to know. Ends when its last clone is dropped, if not before.
#[derive(Debug, Clone)]
pub(crate) struct Span(Option<Context>);

impl Span {
    /// The one for which the present task works.
    pub(crate) fn current() -> Self {
        if export::tracer().is_none() {
            return Self(None);
        }
        let context = Context::current();
        let is_recording = context.span().is_recording();
        Self(is_recording.then_some(context))
    }

    /// A request that began a moment ago, to a route by its template.
    pub(crate) fn request(headers: &HeaderMap, method: &Method, route: Option<&str>, began: Instant) -> Self {
        let Some(tracer) = export::tracer() else { return Self(None) };
        if route.is_some_and(|route| UNTRACED.contains(&route)) {
            return Self(None);
        }
        let known = METHODS.contains(method).then(|| method.as_str());
        let name = known.unwrap_or("HTTP");
        let name = route.map_or_else(|| name.to_owned(), |route| format!("{name} {route}"));
        let mut attributes = vec![KeyValue::new("http.request.method", known.unwrap_or("_OTHER").to_owned())];
        attributes.extend(route.map(|route| KeyValue::new("http.route", route.to_owned())));
        let parent = Context::new();
        let parent = match parent::of(headers) {
            Some(remote) => parent.with_remote_span_context(remote),
            None => parent,
        };
        let builder = tracer
            .span_builder(name)
            .with_kind(SpanKind::Server)
            // spans tell the wall's time, also where another present is taken for granted
            .with_start_time(std::time::SystemTime::from(Clock::Wall.now()) - began.elapsed())
            .with_attributes(attributes);
        let span = tracer.build_with_context(builder, &parent);
        Self(Some(parent.with_span(span)))
    }

    /// The computation of an answer, or of answers about several learners, for what the present task works for; nothing where
    /// that is not traced.
    pub(crate) fn load(kind: StatisticKind) -> Self {
        let (Some(tracer), Self(Some(parent))) = (export::tracer(), Self::current()) else { return Self(None) };
        let builder = tracer
            .span_builder(format!("load {}", kind.name()))
            .with_attributes([KeyValue::new("tierkeep.statistic", kind.name())]);
        let span = tracer.build_with_context(builder, &parent);
        Self(Some(parent.with_span(span)))
    }

    fn task(kind: TaskKind, attempt: &Attempt) -> Self {
        let Some(tracer) = export::tracer() else { return Self(None) };
        let name = kind.name();
        let builder = tracer.span_builder(format!("task {name}")).with_attributes([
            KeyValue::new("tierkeep.task", name),
            KeyValue::new("tierkeep.attempt", i64::from(attempt.number)),
        ]);
        let none = Context::new();
        let span = tracer.build_with_context(builder, &none);
        Self(Some(none.with_span(span)))
    }

    /// Runs a future as what this span is about.
    pub(crate) fn during<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        match &self.0 {
            Some(context) => Either::Left(work.with_context(context.clone())),
            None => Either::Right(work),
        }
    }

    /// Ends the span of a request.
    pub(crate) fn answered(self, response: &Response) {
        let Some(context) = self.0 else { return };
        let (span, status) = (context.span(), response.status());
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        if let Some(tier) = response.headers().get("x-cache").and_then(|tier| tier.to_str().ok()) {
            span.set_attribute(KeyValue::new("tierkeep.tier", tier.to_owned()));
        }
        if status.is_server_error() {
            span.set_attribute(KeyValue::new("error.type", status.as_str().to_owned()));
            span.set_status(Status::error(""));
        }
        span.end();
    }

    /// Ends the span of a computation, which has a tier if it came to an answer.
    pub(crate) fn computed(self, effort: Effort, tier: impl FnOnce() -> Option<Tier>) {
        let Some(context) = self.0 else { return };
        let span = context.span();
        if let Some(tier) = tier() {
            span.set_attribute(KeyValue::new("tierkeep.tier", tier.name()));
        }
        let Effort { folding, learners, rows } = effort;
        if learners > 0 {
            span.set_attributes([
                KeyValue::new("tierkeep.fold.seconds", folding.as_secs_f64()),
                KeyValue::new("tierkeep.fold.learners", i64::try_from(learners).unwrap_or(i64::MAX)),
                KeyValue::new("tierkeep.fold.rows", i64::try_from(rows).unwrap_or(i64::MAX)),
            ]);
        }
        span.end();
    }

    fn done(self, outcome: &Result<Value, JobError>) {
        let Some(context) = self.0 else { return };
        let span = context.span();
        let outcome = match outcome {
            Ok(_) => "done",
            Err(JobError::Refused(_)) => "refused",
            Err(JobError::Stopped) => "stopped",
            Err(_) => "failed",
        };
        span.set_attribute(KeyValue::new("tierkeep.outcome", outcome));
        if matches!(outcome, "refused" | "failed") {
            span.set_attribute(KeyValue::new("error.type", outcome));
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// A task each attempt of which is a trace.
struct Traced {
    kind: TaskKind,
    job: Arc<dyn Job>,
}

/// The same task, traced.
pub(crate) fn traced(kind: TaskKind, job: Arc<dyn Job>) -> Arc<dyn Job> {
    if export::tracer().is_none() { job } else { Arc::new(Traced { kind, job }) }
}

#[async_trait]
impl Job for Traced {
    async fn run(&self, attempt: &Attempt) -> Result<Value, JobError> {
        let span = Span::task(self.kind, attempt);
        let outcome = span.during(self.job.run(attempt)).await;
        span.done(&outcome);
        outcome
    }
}
