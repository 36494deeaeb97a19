//! Traces: how long requests, computations and tasks took, told to a collector by OTLP.
//!
//! Only with the cargo feature `otel`, and only where the configuration names a collector. Without the feature `absent` stands
//! in: the same functions, which do nothing and cost nothing.
//!
//! Spans are made by hand and not from those of the log: what is logged names learners, and what is sent must not. A span holds
//! templates of routes, names of statistics and tasks, and numbers; no id, no address, no text of an error.

#[cfg(not(feature = "otel"))]
mod absent;
#[cfg(feature = "otel")]
mod collector;
#[cfg(feature = "otel")]
mod export;
#[cfg(feature = "otel")]
mod parent;
#[cfg(feature = "otel")]
mod span;

#[cfg(not(feature = "otel"))]
pub(crate) use self::absent::{Span, end, flush, start, traced};
#[cfg(feature = "otel")]
pub(crate) use self::export::{end, flush, start};
#[cfg(feature = "otel")]
pub(crate) use self::span::{Span, traced};
