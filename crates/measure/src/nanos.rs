//! Lengths of time as measurements have them: fractions of a nanosecond matter, calendars do not.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A length of time in nanoseconds, finite and not negative. A [`Duration`] cannot hold the 0.4 ns that one of a batch of
/// runs takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Nanos(f64);

/// A number that is no length of time.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{0} ns is no length of time; accepted: a finite number of nanoseconds from 0 on")]
pub struct NanosError(f64);

impl Nanos {
    /// No time.
    pub const ZERO: Self = Self(0.0);

    /// A length of time.
    ///
    /// # Errors
    /// The number is negative, infinite or none.
    pub fn new(nanoseconds: f64) -> Result<Self, NanosError> {
        if nanoseconds.is_finite() && nanoseconds >= 0.0 { Ok(Self(nanoseconds)) } else { Err(NanosError(nanoseconds)) }
    }

    /// In nanoseconds.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }

    /// Of results of arithmetic on lengths of time: what rounding took below zero is zero.
    pub(crate) fn computed(nanoseconds: f64) -> Self {
        Self(if nanoseconds.is_finite() { nanoseconds.max(0.0) } else { 0.0 })
    }

    pub(crate) fn whole(nanoseconds: u64) -> Self {
        Self(nanoseconds as f64)
    }
}

impl TryFrom<f64> for Nanos {
    type Error = NanosError;

    fn try_from(nanoseconds: f64) -> Result<Self, NanosError> {
        Self::new(nanoseconds)
    }
}

impl From<Nanos> for f64 {
    fn from(nanos: Nanos) -> Self {
        nanos.0
    }
}

impl From<Duration> for Nanos {
    fn from(duration: Duration) -> Self {
        Self(duration.as_secs_f64() * 1e9)
    }
}

/// Three digits and a unit: `1.23 µs`. A width is kept, on the right unless told.
impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(f64, &str); 4] = [(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")];
        // 999.6 ns has three digits as 1.00 µs
        let (size, unit) = UNITS.into_iter().find(|(size, _)| self.0 >= size * 0.9995).unwrap_or((1.0, "ns"));
        // 0 is added, as what nobody ran takes -0 in all
        let value = self.0 / size + 0.0;
        let digits = match value {
            v if v >= 99.95 => 0,
            v if v >= 9.995 => 1,
            _ => 2,
        };
        f.pad(&format!("{value:.digits$} {unit}"))
    }
}

/// A duration in whole nanoseconds; those that do not fit are the greatest that does (584 years).
pub(crate) fn whole_nanoseconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(duration.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit_are_shown() {
        for (nanoseconds, shown) in [
            (0.0, "0.00 ns"),
            (-0.0, "0.00 ns"),
            (0.4, "0.40 ns"),
            (12.34, "12.3 ns"),
            (999.4, "999 ns"),
            (999.6, "1.00 µs"),
            (45_678.0, "45.7 µs"),
            (3.2e9, "3.20 s"),
            (7.2e12, "7200 s"),
        ] {
            assert_eq!(Nanos::new(nanoseconds).unwrap().to_string(), shown, "{nanoseconds}");
        }
    }

    #[test]
    fn what_is_no_length_of_time_is_refused_also_in_a_file() {
        assert!(Nanos::new(-1.0).is_err() && Nanos::new(f64::NAN).is_err() && Nanos::new(f64::INFINITY).is_err());
        let error = serde_json::from_str::<Nanos>("-1.0").unwrap_err().to_string();
        assert!(error.contains("accepted: a finite number"), "{error}");
    }
}
