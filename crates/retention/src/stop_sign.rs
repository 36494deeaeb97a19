//! Why a run ends before its work is done, and the sign that says so.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::throttle::Source;
use crate::window::Windows;

/// How often a pause looks for the stop file: every 250 ms.
const FILE_INTERVAL: Duration = Duration::from_millis(250);

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// Nothing was left to do.
    Done,
    /// Its time was used up.
    Budget,
    /// The process was told to end.
    Signal,
    /// The stop file exists, or nobody can tell whether it does.
    StopFile,
    /// The switch in the database was set, with this reason.
    Switch(String),
    /// The hours in which scheduled runs may work are over.
    Window,
    /// A source of the throttle kept it from working until its time was used up.
    Throttled(Source),
    /// A guard refused it before or while it worked, for this reason.
    Refused(String),
}

impl Ending {
    /// One of the four words of reports: `done`, `budget`, `signal`, `refused`. What people order is `signal`, what time
    /// brings is `budget`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Budget | Self::Window | Self::Throttled(_) => "budget",
            Self::Signal | Self::StopFile | Self::Switch(_) => "signal",
            Self::Refused(_) => "refused",
        }
    }

    /// The finer word, for metrics and logs; stable.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Budget => "budget",
            Self::Signal => "signal",
            Self::StopFile => "stop_file",
            Self::Switch(_) => "switch",
            Self::Window => "window",
            Self::Throttled(source) => source.word(),
            Self::Refused(_) => "refused",
        }
    }

    /// Whether a later run goes on where this one ended.
    #[must_use]
    pub fn can_be_continued(&self) -> bool {
        matches!(self.word(), "budget" | "signal")
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("nothing is left to do"),
            Self::Budget => f.write_str("its time was used up"),
            Self::Signal => f.write_str("it was told to end"),
            Self::StopFile => f.write_str("the stop file exists"),
            Self::Switch(reason) => write!(f, "the switch in the database was set: {reason}"),
            Self::Window => f.write_str("the hours in which it may work are over"),
            Self::Throttled(source) => write!(f, "{} kept it from working", source.word()),
            Self::Refused(reason) => f.write_str(reason),
        }
    }
}

/// Asked before each batch whether the run is to end, and ends pauses at once.
///
/// The latency of a stop is what is left of one batch: nothing is looked at inside one. The switch in the database is
/// not looked at here; each batch reads it in its own transaction.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tierkeep_retention::{Ending, StopSign};
/// use tokio_util::sync::CancellationToken;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let signal = CancellationToken::new();
/// let sign = StopSign::new(signal.clone()).within(Duration::from_secs(60));
/// let now = "2026-03-05T11:00:00Z".parse().unwrap();
/// assert_eq!(sign.asked(now), None);
///
/// signal.cancel();
/// assert_eq!(sign.rest(now, Duration::from_secs(10)).await, Some(Ending::Signal));
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct StopSign {
    signal: CancellationToken,
    deadline: Option<Instant>,
    file: Option<PathBuf>,
    windows: Option<Windows>,
}

impl StopSign {
    /// A sign that is set when the token is cancelled.
    #[must_use]
    pub fn new(signal: CancellationToken) -> Self {
        Self { signal, deadline: None, file: None, windows: None }
    }

    /// The token whose cancellation sets it.
    #[must_use]
    pub fn signal(&self) -> CancellationToken {
        self.signal.clone()
    }

    /// Sets it also when this time is over, counted from now by a clock that nobody can set. Default: never.
    #[must_use]
    pub fn within(mut self, budget: Duration) -> Self {
        self.deadline = Instant::now().checked_add(budget);
        self
    }

    /// Sets it also while a file exists, whatever is in it. Default: no file.
    ///
    /// An error other than "there is no such file" counts as its existence: somebody who cannot be heard may be asking
    /// for a stop. A pause looks every 250 ms.
    #[must_use]
    pub fn stop_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Sets it also outside of these hours, for scheduled runs. Default: any hour.
    #[must_use]
    pub fn windows(mut self, windows: Windows) -> Self {
        self.windows = Some(windows);
        self
    }

    /// Why the run is to end now; `None` if it may go on. Costs one look at a file, if there is a stop file.
    ///
    /// What people order comes before what time brings.
    #[must_use]
    pub fn asked(&self, now: Timestamp) -> Option<Ending> {
        if self.signal.is_cancelled() {
            return Some(Ending::Signal);
        }
        if self.file.as_deref().is_some_and(|file| file.try_exists().unwrap_or(true)) {
            return Some(Ending::StopFile);
        }
        if self.remaining().is_some_and(|left| left.is_zero()) {
            return Some(Ending::Budget);
        }
        self.windows.as_ref().is_some_and(|windows| !windows.is_open(now)).then_some(Ending::Window)
    }

    /// Time until the deadline: nothing after it, `None` without one. Bounds the statements of a batch.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Pauses this long, and less if the sign is set meanwhile: then the answer says why.
    ///
    /// Nothing happens if the future is dropped.
    pub async fn rest(&self, now: Timestamp, pause: Duration) -> Option<Ending> {
        let begun = Instant::now();
        let closes_in = self
            .windows
            .as_ref()
            .and_then(|windows| windows.closes_at(now))
            .map(|closes| Duration::try_from(closes.duration_since(now)).unwrap_or_default());
        loop {
            let passed = begun.elapsed();
            if closes_in.is_some_and(|closes_in| closes_in <= passed) {
                return self.asked(now).or(Some(Ending::Window));
            }
            if let Some(ending) = self.asked(now) {
                return Some(ending);
            }
            let left = pause.saturating_sub(passed);
            if left.is_zero() {
                return None;
            }
            let step = [self.remaining(), closes_in.map(|closes_in| closes_in - passed)]
                .into_iter()
                .flatten()
                .chain(self.file.is_some().then_some(FILE_INTERVAL))
                .fold(left, Duration::min);
            tokio::select! {
                () = self.signal.cancelled() => {}
                () = tokio::time::sleep(step) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
