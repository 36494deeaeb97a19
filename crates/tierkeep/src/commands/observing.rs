//! A run as it goes on, on stderr.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tierkeep_retention::{Observer, Plan, RunId};

use super::progress::Meter;
use crate::console::Console;

/// Time after which a reason to wait is said again.
const AGAIN: Duration = Duration::from_secs(30);

/// Shows how a run goes on.
pub(super) struct Progress {
    console: Console,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    /// With how much there is to do, if that is known.
    meter: Option<(Meter, Option<u64>)>,
    waiting: Option<(String, Instant)>,
}

impl Progress {
    pub(super) fn new(console: Console) -> Self {
        Self { console, shown: Mutex::default() }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some((meter, _)) = self.shown().meter.take() {
            meter.finish();
        }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Progress {
    fn started(&self, run: RunId, _: &Plan) {
        self.console.note(format_args!("run {run} begins"));
    }

    fn begun(&self, name: &str, rows: u64) {
        self.finish();
        let label = name.replace('_', " ");
        self.shown().meter = Some((Meter::timed(label, "rows", rows, self.console), Some(rows)));
    }

    fn moved(&self, name: &str, rows: u64) {
        let mut shown = self.shown();
        shown.waiting = None;
        let (meter, total) =
            shown.meter.get_or_insert_with(|| (Meter::new(name.replace('_', " "), "rows", None, self.console), None));
        meter.set(total.map_or(rows, |total| rows.min(total)), *total, rows);
    }

    fn waiting(&self, reason: &str) {
        let mut shown = self.shown();
        let is_said = shown.waiting.as_ref().is_some_and(|(said, since)| said == reason && since.elapsed() < AGAIN);
        if !is_said {
            shown.waiting = Some((reason.to_owned(), Instant::now()));
            self.console.note(format_args!("waiting: {}", reason.replace('_', " ")));
        }
    }
}
