//! Spans are opened where a subscriber wants them.

use std::sync::{Arc, Mutex};

use tierkeep_measure::measured;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Remembers the names of spans up to a level, and how often they were entered and left.
#[derive(Clone)]
struct Seen {
    level: Level,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Seen {
    fn up_to(level: Level) -> Self {
        Self { level, lines: Arc::default() }
    }

    fn note(&self, line: impl Into<String>) {
        self.lines.lock().unwrap().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

impl Subscriber for Seen {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= &self.level && metadata.target().contains("spans")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.note(format!("{} {}", span.metadata().level(), span.metadata().name()));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {
        self.note("enter");
    }

    fn exit(&self, _: &Id) {
        self.note("exit");
    }
}

#[measured("spans::debug")]
fn debug() {}

#[measured(name = "spans::info", span = "info")]
async fn info() {
    tokio::task::yield_now().await;
}

#[measured(name = "spans::off", span = "off")]
fn off() {}

#[test]
fn a_span_of_the_name_is_around_the_call_and_around_each_poll() {
    let seen = Seen::up_to(Level::TRACE);

    tracing::subscriber::with_default(seen.clone(), || {
        debug();
        off();
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(info());
    });

    assert_eq!(
        seen.lines(),
        ["DEBUG spans::debug", "enter", "exit", "INFO spans::info", "enter", "exit", "enter", "exit"]
    );
}

#[test]
fn a_level_that_nobody_wants_opens_no_span() {
    let seen = Seen::up_to(Level::INFO);

    tracing::subscriber::with_default(seen.clone(), || {
        debug();
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(info());
    });

    assert_eq!(seen.lines()[0], "INFO spans::info");
    assert!(!seen.lines().iter().any(|line| line.contains("DEBUG")));
}
