//! Instants: UTC, whole microseconds, between two fixed ends.

use jiff::Timestamp;
use thiserror::Error;

/// The first instant that is accepted: 0001-01-02T00:00:00Z, in microseconds since 1970.
pub const MIN_MICROS: i64 = -62_135_510_400_000_000;
/// The first instant that is no longer accepted: 9999-01-01T00:00:00Z, in microseconds since 1970.
pub const END_MICROS: i64 = 253_370_764_800_000_000;

/// A text that is no instant we can store.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is not an instant; accepted: RFC 3339 with an offset, from 0001-01-02 to 9998-12-31, such as 2026-01-31T08:00:00Z"
)]
pub struct InstantError(String);

/// An instant from microseconds since 1970; `None` outside the accepted range.
#[must_use]
pub fn from_micros(micros: i64) -> Option<Timestamp> {
    if !(MIN_MICROS..END_MICROS).contains(&micros) {
        return None;
    }
    Timestamp::from_microsecond(micros).ok()
}

/// All instants that are accepted.
#[cfg(feature = "stores")]
pub(crate) fn accepted() -> std::ops::Range<Timestamp> {
    let end = |micros| Timestamp::from_microsecond(micros).expect("jiff knows the years 1 to 9999");
    end(MIN_MICROS)..end(END_MICROS)
}

/// Reads an instant; digits below a microsecond are cut off.
///
/// # Errors
/// [`InstantError`] when the text has another form, no offset, or lies outside the range.
pub fn parse(text: &str) -> Result<Timestamp, InstantError> {
    let error = || InstantError(crate::key::clip(text));
    let instant: Timestamp = text.parse().map_err(|_| error())?;
    let nanos = instant.as_nanosecond();
    let micros = i64::try_from(nanos.div_euclid(1000)).map_err(|_| error())?;
    from_micros(micros).ok_or_else(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_what_their_names_say() {
        assert_eq!(Timestamp::from_microsecond(MIN_MICROS).unwrap().to_string(), "0001-01-02T00:00:00Z");
        assert_eq!(Timestamp::from_microsecond(END_MICROS).unwrap().to_string(), "9999-01-01T00:00:00Z");
    }

    #[test]
    fn instants_keep_whole_microseconds() {
        let instant = parse("2025-06-27T08:00:00.123456789+08:00").unwrap();

        assert_eq!(instant.to_string(), "2025-06-27T00:00:00.123456Z");
    }

    #[test]
    fn what_cannot_be_stored_is_refused() {
        for bad in
            ["0000-01-01T00:00:00Z", "9999-06-01T00:00:00Z", "2025-06-27", "2025-06-27T08:00:00", "soon", "infinity"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
