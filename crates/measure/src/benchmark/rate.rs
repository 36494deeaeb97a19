//! How many calls come in a second.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Calls a second: more than 0, at most a million.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rate(f64);

/// A number that is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no rate; accepted: calls a second, more than 0 and at most 1000000, such as 250 or 0.5")]
pub struct RateError(String);

impl Rate {
    /// The most calls a second.
    const MAX: f64 = 1e6;

    /// This many calls a second.
    ///
    /// # Errors
    /// The number is 0, negative, more than a million, or none.
    pub fn per_second(calls: f64) -> Result<Self, RateError> {
        if calls > 0.0 && calls <= Self::MAX { Ok(Self(calls)) } else { Err(RateError(calls.to_string())) }
    }

    /// Calls a second.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }

    /// When the call of this number is to begin, from the beginning of the first, whose number is 0. Computed anew for each, so
    /// that roundings do not add up.
    pub(super) fn intended(self, number: u32) -> Duration {
        // a million runs at the least rate that a number can have would be later than a duration can say
        Duration::try_from_secs_f64(f64::from(number) / self.0).unwrap_or(Duration::MAX / 2)
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        text.parse().ok().and_then(|calls| Self::per_second(calls).ok()).ok_or_else(|| RateError(text.to_owned()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}
