//! Times such as `1h 30m`.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::Piece;

/// Units of a period in seconds, the largest first.
const UNITS: [(char, i64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
/// The longest period, in seconds: a leap year.
const LONGEST: i64 = 366 * 86_400;
const NANOSECONDS: i128 = 1_000_000_000;

/// A time of 1 s to 366 d in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period(i64);

impl Period {
    /// The nearest period that is not longer; of less than a second, a second.
    pub(crate) fn of(duration: SignedDuration) -> Self {
        Self(duration.as_secs().clamp(1, LONGEST))
    }

    pub(crate) fn seconds(self) -> i64 {
        self.0
    }

    pub(crate) fn duration(self) -> SignedDuration {
        SignedDuration::from_secs(self.0)
    }

    /// The number of the last multiple since 1970 that is not after an instant.
    pub(crate) fn number_at(self, instant: Timestamp) -> i64 {
        let second = instant.as_nanosecond().div_euclid(NANOSECONDS);
        i64::try_from(second.div_euclid(i128::from(self.0))).expect("instants are less than 2^63 seconds from 1970")
    }

    pub(crate) fn multiple(self, number: i64) -> Option<Timestamp> {
        Timestamp::from_second(number.checked_mul(self.0)?).ok()
    }

    /// Numbers with units, the largest unit first, each once; or the piece that is none.
    pub(crate) fn read(given: Piece<'_>) -> Result<Self, Piece<'_>> {
        let whole = given.trimmed();
        let mut rest = whole;
        let mut units = UNITS.as_slice();
        let mut total: i64 = 0;
        while !rest.text.is_empty() {
            let (number, unit) = rest.digits();
            let unit = unit.trimmed();
            let found = unit.text.chars().next().and_then(|unit| units.iter().position(|(name, _)| *name == unit));
            let place = found.ok_or(rest)?;
            let number: i64 = number.text.parse().map_err(|_| rest)?;
            total = number.saturating_mul(units[place].1).saturating_add(total);
            units = &units[place + 1..];
            rest = unit.from(1).trimmed();
        }
        if (1..=LONGEST).contains(&total) { Ok(Self(total)) } else { Err(whole) }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut separator = "";
        for (name, seconds) in UNITS {
            if rest >= seconds {
                write!(f, "{separator}{}{name}", rest / seconds)?;
                rest %= seconds;
                separator = " ";
            }
        }
        Ok(())
    }
}
