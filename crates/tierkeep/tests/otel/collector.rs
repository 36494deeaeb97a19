//! A collector of OTLP over HTTP.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message;

use crate::PATIENCE;

/// What it does with those who connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Takes,
    /// It accepts, and never answers.
    Hangs,
}

/// A span as it was told, with everything in it as text.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) kind: i32,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty where it has none.
    pub(crate) parent: String,
    pub(crate) state: String,
    pub(crate) attributes: BTreeMap<String, String>,
    /// 0 = unset, 2 = an error.
    pub(crate) status: i32,
    pub(crate) took_ns: u64,
    pub(crate) service: String,
}

#[derive(Debug, Default)]
struct Seen {
    connections: Vec<TcpStream>,
    bodies: Vec<Vec<u8>>,
    spans: Vec<Told>,
}

/// A collector on a port of loopback, until the test ends.
pub(crate) struct Collector {
    port: u16,
    seen: Arc<(Mutex<Seen>, Condvar)>,
}

impl Collector {
    pub(crate) fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let collector = Self { port: listener.local_addr().unwrap().port(), seen: Arc::default() };
        let seen = Arc::clone(&collector.seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                seen.0.lock().unwrap().connections.push(stream.try_clone().unwrap());
                if manner == Manner::Takes {
                    take(stream, &seen.0);
                }
                seen.1.notify_all();
            }
        });
        collector
    }

    /// Its address, with a password that nobody must see.
    pub(crate) fn url(&self) -> String {
        format!("http://tester:secret@127.0.0.1:{}", self.port)
    }

    /// Waits until it was told what is expected.
    pub(crate) fn until(&self, what: &str, expected: impl Fn(&[Told]) -> bool) -> Vec<Told> {
        let seen = self.wait(what, |seen| expected(&seen.spans));
        seen.spans.clone()
    }

    /// Waits until somebody has connected.
    pub(crate) fn until_connected(&self) {
        drop(self.wait("a connection", |seen| !seen.connections.is_empty()));
    }

    /// What it was told, and how many connected.
    pub(crate) fn told(&self) -> (Vec<Told>, usize) {
        let seen = self.seen.0.lock().unwrap();
        (seen.spans.clone(), seen.connections.len())
    }

    /// Whether a text stands in anything that was sent.
    pub(crate) fn was_sent(&self, text: &str) -> bool {
        let seen = self.seen.0.lock().unwrap();
        seen.bodies.iter().any(|body| body.windows(text.len()).any(|window| window == text.as_bytes()))
    }

    fn wait(&self, what: &str, expected: impl Fn(&Seen) -> bool) -> std::sync::MutexGuard<'_, Seen> {
        let seen = self.seen.0.lock().unwrap();
        let (seen, waited) = self.seen.1.wait_timeout_while(seen, PATIENCE, |seen| !expected(seen)).unwrap();
        assert!(!waited.timed_out(), "not {what}: {:#?}", seen.spans);
        seen
    }
}

/// Reads one request and answers it; a process that is killed meanwhile has told nothing.
fn take(mut stream: TcpStream, seen: &Mutex<Seen>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let head: Vec<String> = reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let value = |name: &str| head.iter().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let Some(length) = value("content-length: ") else { return };
    assert_eq!(head[0], "POST /v1/traces HTTP/1.1");
    assert_eq!(value("content-type: ").as_deref(), Some("application/x-protobuf"));
    assert_eq!(value("authorization: ").as_deref(), Some("Basic dGVzdGVyOnNlY3JldA=="));
    let mut body = vec![0; length.parse().unwrap()];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let spans = decoded(&body);
    let mut seen = seen.lock().unwrap();
    seen.spans.extend(spans);
    seen.bodies.push(body);
    drop(seen);
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
}

fn decoded(body: &[u8]) -> Vec<Told> {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut told = Vec::new();
    for resource in request.resource_spans {
        let about = attributes(resource.resource.unwrap().attributes);
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            assert!(span.events.is_empty() && span.links.is_empty(), "{span:?}");
            told.push(Told {
                name: span.name,
                kind: span.kind,
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                state: span.trace_state,
                attributes: attributes(span.attributes),
                status: span.status.map_or(0, |status| status.code),
                took_ns: span
                    .end_time_unix_nano
                    .checked_sub(span.start_time_unix_nano)
                    .expect("it ends after it began"),
                service: about["service.name"].clone(),
            });
        }
    }
    told
}

fn attributes(given: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    given.into_iter().map(|KeyValue { key, value, .. }| (key, text(value))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
