//! Until when a value is kept.

/// Nanoseconds of one second.
const SECOND: f64 = 1e9;

/// A point in time: nanoseconds since some start that the caller chose. Clocks are the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

/// Seconds that are no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time-out that is not a number")]
pub struct NotATime;

/// The end of a value's time. It is over at that moment, not after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry(u64);

impl Expiry {
    /// No end.
    pub const NEVER: Expiry = Expiry(u64::MAX);

    /// Over already.
    pub const PAST: Expiry = Expiry(0);

    /// `seconds` from `now`, fractions counted. Zero and less are over at once; more than some five hundred years never.
    ///
    /// # Errors
    /// [`NotATime`] for NaN.
    pub fn after(seconds: f64, now: Moment) -> Result<Self, NotATime> {
        if seconds.is_nan() {
            return Err(NotATime);
        }
        if seconds <= 0.0 {
            return Ok(Expiry::PAST);
        }
        // `as` saturates, and what is that far away has no end.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive here, and saturating")]
        let nanos = (seconds * SECOND).ceil() as u64;
        Ok(Expiry(now.0.saturating_add(nanos)))
    }

    /// The earlier of two ends.
    pub fn earlier(self, other: Expiry) -> Expiry {
        self.min(other)
    }

    /// True if the end has come.
    pub fn is_over(self, now: Moment) -> bool {
        self != Expiry::NEVER && self.0 <= now.0
    }

    /// True if the end has come, and `grace` nanoseconds more.
    pub fn is_gone(self, now: Moment, grace: u64) -> bool {
        self != Expiry::NEVER && self.0.saturating_add(grace) <= now.0
    }

    /// Seconds that are left: none for what never ends, zero for what is over.
    pub fn seconds_left(self, now: Moment) -> Option<f64> {
        (self != Expiry::NEVER).then(|| self.0.saturating_sub(now.0) as f64 / SECOND)
    }
}
