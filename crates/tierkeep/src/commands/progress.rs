//! How far a long command has come: a bar on a terminal, a line now and then elsewhere, on stderr.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use tierkeep_learning::store::Store;
use tokio_util::sync::CancellationToken;

use super::{Ending, Failure};
use crate::console::Console;
use crate::upkeep;

/// Time between two plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// Shows how far one piece of work has come.
pub(super) struct Meter {
    label: Cow<'static, str>,
    unit: &'static str,
    console: Console,
    bar: Option<ProgressBar>,
    said: Instant,
    /// Since when, if rate and remaining time are told.
    timed_since: Option<Instant>,
}

impl Meter {
    /// Work of `total` units, if that is known.
    pub(super) fn new(
        label: impl Into<Cow<'static, str>>,
        unit: &'static str,
        total: Option<u64>,
        console: Console,
    ) -> Self {
        let label = label.into();
        let bar = console.is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
            let template =
                if total.is_some() { "{prefix} {wide_bar} {percent:>3} % {msg}" } else { "{prefix} {spinner} {msg}" };
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(label.to_string());
            bar
        });
        Self { label, unit, console, bar, said: Instant::now(), timed_since: None }
    }

    /// Work of `total` units whose rate and remaining time are told.
    pub(super) fn timed(label: impl Into<Cow<'static, str>>, unit: &'static str, total: u64, console: Console) -> Self {
        Self { timed_since: Some(Instant::now()), ..Self::new(label, unit, Some(total), console) }
    }

    /// How fast it goes, and what that means for what is left.
    fn pace(&self, place: u64, total: Option<u64>) -> String {
        let since = self.timed_since.map(|since| since.elapsed().as_secs_f64());
        match (since, total) {
            (Some(seconds), Some(total)) if place > 0 && seconds > 0.0 => pace(place, total, seconds),
            _ => String::new(),
        }
    }

    /// `place` of `total` is done; `detail` is what people want to know.
    pub(super) fn set(&mut self, place: u64, total: Option<u64>, detail: u64) {
        let pace = self.pace(place, total);
        match &self.bar {
            Some(bar) => {
                if let Some(total) = total {
                    bar.set_length(total);
                }
                bar.set_position(place);
                bar.set_message(format!("{detail} {}{pace}", self.unit));
            }
            None if self.said.elapsed() >= LINE_INTERVAL => {
                self.said = Instant::now();
                let (label, unit) = (&self.label, self.unit);
                match total {
                    Some(total) if total > 0 => {
                        let percent = place.saturating_mul(100) / total;
                        self.console.note(format_args!("{label}: {percent} %, {detail} {unit}{pace}"));
                    }
                    _ => self.console.note(format_args!("{label}: {detail} {unit}")),
                }
            }
            None => {}
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "for people")]
fn pace(place: u64, total: u64, seconds: f64) -> String {
    let rate = place as f64 / seconds;
    let left = (total.saturating_sub(place) as f64 / rate).ceil() as u64;
    format!(", {rate:.0} a second, {}:{:02}:{:02} left", left / 3600, left / 60 % 60, left % 60)
}

/// What building the summaries has done.
pub(super) struct Settling {
    /// Learners brought up to date.
    pub(super) learners: u64,
    /// Rows read for that.
    pub(super) rows: u64,
    /// Time it took.
    pub(super) seconds: f64,
    /// Whether a signal ended it early.
    pub(super) stopped: bool,
}

impl Settling {
    pub(super) fn json(&self) -> Value {
        json!({ "learners": self.learners, "rows": self.rows, "seconds": self.seconds, "stopped": self.stopped })
    }

    pub(super) fn ending(&self) -> Result<(), Failure> {
        if !self.stopped {
            return Ok(());
        }
        let error =
            anyhow::anyhow!("stopped early; what is left is built by the next read of each learner, or by a new run");
        Err(Failure { ending: Ending::Stopped, error })
    }
}

impl fmt::Display for Settling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { learners, rows, seconds, .. } = self;
        write!(f, "summaries of {learners} learners built from {rows} rows in {seconds:.1} s")
    }
}

/// Folds all changes into the day summaries, one bounded batch after the other, until none is left or `stop` says so.
pub(super) async fn settle(store: &dyn Store, console: Console, stop: &CancellationToken) -> Result<Settling, Failure> {
    let began = Instant::now();
    let mut done = Settling { learners: 0, rows: 0, seconds: 0.0, stopped: false };
    let mut meter = Meter::new("building summaries", "learners", None, console);
    let is_done = upkeep::settle(store, stop, |batch| {
        done.learners += batch.learners;
        done.rows += batch.rows;
        meter.set(done.learners, None, done.learners);
    });
    done.stopped = !is_done.await?;
    meter.finish();
    done.seconds = began.elapsed().as_secs_f64();
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_remaining_time_follow_from_what_is_done() {
        assert_eq!(pace(1000, 4600, 2.0), ", 500 a second, 0:00:08 left");
        assert_eq!(pace(1, 7300, 1.0), ", 1 a second, 2:01:39 left");
        assert_eq!(pace(10, 10, 0.1), ", 100 a second, 0:00:00 left");
    }
}
