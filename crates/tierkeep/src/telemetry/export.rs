//! From spans that have ended to the collector: a bounded queue, and a thread of the SDK that sends.
//!
//! No request waits for it. What does not fit into the queue is dropped, and a batch that does not arrive is not sent again.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanExporter, SpanLimits,
};
use prost::Message;

use super::collector::Collector;
use crate::config::Telemetry;

/// Spans that wait at most: some 2 MB.
const QUEUE: usize = 4096;
/// Spans of a batch at most.
const BATCH: usize = 512;
/// How long spans wait for a batch to be filled.
const DELAY: Duration = Duration::from_secs(1);
/// How often somebody is told that nothing arrives.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
/// How long the end waits for what is left.
const LAST_BATCHES: Duration = Duration::from_secs(2);
/// The same for what ended since [`flush`]: both and a node's end take less than 10 s.
const LAST_SPANS: Duration = Duration::from_millis(500);

static STARTED: OnceLock<Started> = OnceLock::new();

struct Started {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
    flushed: AtomicU8,
}

/// What [`Started::flushed`] says.
const NOT_YET: u8 = 0;
const IN_TIME: u8 = 1;
const IN_VAIN: u8 = 2;

/// What makes spans; `None` where there is no collector.
#[inline]
pub(super) fn tracer() -> Option<&'static SdkTracer> {
    STARTED.get().map(|started| &started.tracer)
}

/// Traces from here on, if the configuration names a collector. A second call, in tests, changes nothing.
pub(crate) fn start(config: &Telemetry) {
    let Some(endpoint) = &config.otlp_endpoint else { return };
    STARTED.get_or_init(|| {
        let exporter = Exporter {
            collector: Collector::new(endpoint),
            resource: ResourceAttributesWithSchema::default(),
            complaints: Complaints::default(),
        };
        // all that the SDK would read from the environment is said here
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(DELAY)
            .build();
        let service = [
            KeyValue::new("service.name", config.service_name.clone()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ];
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample))))
            .with_span_limits(SpanLimits::default())
            .with_resource(Resource::builder_empty().with_attributes(service).build())
            .build();
        Started { tracer: provider.tracer("tierkeep"), provider, flushed: AtomicU8::new(NOT_YET) }
    });
}

/// Sends what is there, for at most 2 s: beside what a node does at its end, so that [`end`] has little left to wait for.
pub(crate) async fn flush() {
    let Some(started) = STARTED.get() else { return };
    let flushing = tokio::task::spawn_blocking(|| started.provider.force_flush());
    let is_done = matches!(tokio::time::timeout(LAST_BATCHES, flushing).await, Ok(Ok(Ok(()))));
    started.flushed.store(if is_done { IN_TIME } else { IN_VAIN }, Ordering::Relaxed);
}

/// Sends what is left, for at most 2 s; for at most half a second after [`flush`], and not at all if that was in vain.
/// Blocks.
pub(crate) fn end() {
    let Some(started) = STARTED.get() else { return };
    let limit = match started.flushed.load(Ordering::Relaxed) {
        NOT_YET => LAST_BATCHES,
        IN_TIME => LAST_SPANS,
        _ => return,
    };
    if let Err(error) = started.provider.shutdown_with_timeout(limit) {
        tracing::warn!(%error, "the last traces may not have been sent");
    }
}

/// Encodes batches and hands them to the collector.
struct Exporter {
    collector: Collector,
    resource: ResourceAttributesWithSchema,
    complaints: Complaints,
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let request =
            ExportTraceServiceRequest { resource_spans: group_spans_by_resource_and_scope(batch, &self.resource) };
        // in the thread of the SDK, which does nothing else
        self.collector.post(&request.encode_to_vec()).map_err(|error| {
            if let Some(lost) = self.complaints.lost(spans, Instant::now()) {
                tracing::warn!(%error, lost, "traces could not be sent; the collector is `telemetry.otlp_endpoint`");
            }
            OTelSdkError::InternalFailure(error.to_string())
        })
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

/// Without the collector's address, which may hold a password.
impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

/// What was lost, told once a minute.
#[derive(Default)]
struct Complaints(Mutex<Lost>);

#[derive(Default)]
struct Lost {
    told: Option<Instant>,
    spans: u64,
}

impl Complaints {
    /// Notes spans that are lost; how many were since somebody was told, if it is time to tell again.
    fn lost(&self, spans: u64, now: Instant) -> Option<u64> {
        let mut lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lost.spans += spans;
        if lost.told.is_some_and(|told| now.duration_since(told) < COMPLAIN_EVERY) {
            return None;
        }
        lost.told = Some(now);
        Some(std::mem::take(&mut lost.spans))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_told_once_a_minute_and_all_of_it() {
        let (complaints, began) = (Complaints::default(), Instant::now());
        let told: Vec<Option<u64>> = [(0, 5), (1, 7), (59, 1), (60, 2), (61, 3), (200, 4)]
            .map(|(second, spans)| complaints.lost(spans, began + Duration::from_secs(second)))
            .into();

        assert_eq!(told, [Some(5), None, None, Some(10), None, Some(7)]);
    }
}
