//! Durations as ISO 8601 writes them.

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Duration {
    /// So many microseconds; a day has 24 hours.
    Micros(i64),
    /// Stated in years or months, which have no fixed length.
    Nominal,
}

/// What is accepted, for messages.
pub(super) const ACCEPTED: &str = "an ISO 8601 duration such as PT1H30M, PT90.5S, P1DT2H or P4W";

/// Units of the part before the `T`, largest first; `None` has no fixed length.
const DATE: [(u8, Option<i64>); 3] = [(b'Y', None), (b'M', None), (b'D', Some(86_400_000_000))];
/// Units of the part behind it.
const TIME: [(u8, Option<i64>); 3] = [(b'H', Some(3_600_000_000)), (b'M', Some(60_000_000)), (b'S', Some(1_000_000))];
const WEEKS: [(u8, Option<i64>); 1] = [(b'W', Some(7 * 86_400_000_000))];

/// Digits of a fraction that count; below a microsecond of the largest unit nothing is lost.
const FRACTION_DIGITS: usize = 18;

/// Reads a duration; what is below a microsecond is cut off. `None` if it is none, or too long for 64 bits.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let body = text.as_bytes().strip_prefix(b"P")?;
    let (date, time) = match body.iter().position(|&byte| byte == b'T') {
        Some(at) => (&body[..at], Some(&body[at + 1..])),
        None => (body, None),
    };
    if time.is_none() && date.last() == Some(&b'W') {
        return Sum::default().add(date, &WEEKS).map(Sum::duration);
    }
    // at least one component, and one behind a T
    if time.map_or(date.is_empty(), <[u8]>::is_empty) {
        return None;
    }
    Sum::default().add(date, &DATE)?.add(time.unwrap_or_default(), &TIME).map(Sum::duration)
}

#[derive(Default)]
struct Sum {
    micros: i64,
    nominal: bool,
    /// Only the smallest component may have a fraction.
    closed: bool,
}

impl Sum {
    fn add(mut self, mut rest: &[u8], units: &[(u8, Option<i64>)]) -> Option<Self> {
        let mut units = units.iter();
        while !rest.is_empty() {
            if self.closed {
                return None;
            }
            let at = rest.iter().position(u8::is_ascii_alphabetic)?;
            let (_, micros) = units.find(|(letter, _)| *letter == rest[at])?;
            let (whole, fraction) = number(&rest[..at])?;
            self.closed = fraction.is_some();
            match micros {
                Some(micros) => {
                    let part = i128::from(whole).checked_mul(i128::from(*micros))?;
                    let part = part + fraction.map_or(0, |(value, scale)| value * i128::from(*micros) / scale);
                    self.micros = self.micros.checked_add(i64::try_from(part).ok()?)?;
                }
                // nothing of a unit is nothing, however long the unit
                None => self.nominal |= whole > 0 || fraction.is_some_and(|(value, _)| value > 0),
            }
            rest = &rest[at + 1..];
        }
        Some(self)
    }

    fn duration(self) -> Duration {
        if self.nominal { Duration::Nominal } else { Duration::Micros(self.micros) }
    }
}

/// Digits, perhaps a point or a comma and more digits: the whole part, and the fraction with its denominator.
fn number(bytes: &[u8]) -> Option<(i64, Option<(i128, i128)>)> {
    let all_digits = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    let (whole, fraction) = match bytes.iter().position(|byte| matches!(byte, b'.' | b',')) {
        Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
        None => (bytes, None),
    };
    if !all_digits(whole) || fraction.is_some_and(|fraction| !all_digits(fraction)) {
        return None;
    }
    let whole = whole.iter().try_fold(0i64, |sum, digit| sum.checked_mul(10)?.checked_add(i64::from(digit - b'0')))?;
    let fraction = fraction.map(|digits| {
        let step = |(value, scale): (i128, i128), digit: &u8| (value * 10 + i128::from(digit - b'0'), scale * 10);
        digits.iter().take(FRACTION_DIGITS).fold((0, 1), step)
    });
    Some((whole, fraction))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: i64) -> Option<Duration> {
        Some(Duration::Micros(seconds * 1_000_000))
    }

    #[test]
    fn durations_are_read_as_the_reference_table_has_them() {
        assert_eq!(parse("PT4H35M59.14S"), Some(Duration::Micros(16_559_140_000)));
        assert_eq!(parse("PT16559.14S"), Some(Duration::Micros(16_559_140_000)));
        assert_eq!(parse("PT0S"), seconds(0));
        assert_eq!(parse("P1DT2H"), seconds(26 * 3600));
        assert_eq!(parse("P4W"), seconds(28 * 86_400));
        assert_eq!(parse("PT1,5S"), Some(Duration::Micros(1_500_000)));
        assert_eq!(parse("PT0.5H"), seconds(1800));
        assert_eq!(parse("PT0.1234567S"), Some(Duration::Micros(123_456)));
        assert_eq!(parse("P0Y0M0DT0H10M0S"), seconds(600));
    }

    #[test]
    fn years_and_months_have_no_fixed_length() {
        for text in ["P3Y1M29DT4H35M59.14S", "P3Y", "P1M"] {
            assert_eq!(parse(text), Some(Duration::Nominal), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "P4W1D",
            "P0003-06-04T12:00:00",
            "P",
            "PT",
            "P1DT",
            "-PT5M",
            "PT-5M",
            "5",
            "{}",
            "",
            "PT5",
            "PT5X",
            "PT5M5H",
            "PT1.5M3S",
            "PT.5S",
            "PT5.S",
            "pt5s",
            " PT5S",
            "PT5S ",
            "PT5S5S",
            "P1W2W",
            "PT99999999999999999999S",
            "P9999999999999W",
            "PT1e3S",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,20}|P[0-9YMDTHSW.,]{0,20}") {
            let _ = parse(&text);
        }

        #[test]
        fn hours_minutes_and_seconds_add_up(h in 0i64..1000, m in 0i64..1000, s in 0i64..1000) {
            prop_assert_eq!(parse(&format!("PT{h}H{m}M{s}S")), seconds(h * 3600 + m * 60 + s));
        }
    }
}
