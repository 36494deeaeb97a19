//! What a field of a CSV file says: numbers, instants, truth values, keys, text.
//!
//! Everything is read from bytes; an error is put into words only once there is one.

use jiff::Timestamp;
use uuid::Uuid;

use crate::instant;
use crate::key::{Key, KeyType};

/// An integer of 64 bits: digits, a minus before them if it is negative.
///
/// A plus, a negative zero, spaces and exponents are refused: they mean that something else wrote the file than we think.
pub(super) fn integer(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    // counted downwards, since the smallest number has no positive counterpart
    let mut value = 0i64;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))?;
    }
    match (negative, value) {
        (true, 0) => None,
        (true, value) => Some(value),
        (false, value) => value.checked_neg(),
    }
}

/// A decimal of at most two significant digits behind the point, in hundredths, from -9.99 to 9.99.
pub(super) fn hundredths(bytes: &[u8]) -> Option<i16> {
    let (negative, rest) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (whole, places) = match rest.iter().position(|&byte| byte == b'.') {
        Some(point) if point + 1 < rest.len() => (&rest[..point], &rest[point + 1..]),
        Some(_) => return None,
        None => (rest, [].as_slice()),
    };
    let digit = |at: usize| places.get(at).map_or(0, |digit| i64::from(digit - b'0'));
    if !places.iter().all(u8::is_ascii_digit) || places.iter().skip(2).any(|&digit| digit != b'0') {
        return None;
    }
    let whole = integer(whole).filter(|whole| (0..=9).contains(whole))?;
    let value = i16::try_from(whole * 100 + digit(0) * 10 + digit(1)).ok()?;
    match (negative, value) {
        (true, 0) => None,
        (true, value) => Some(-value),
        (false, value) => Some(value),
    }
}

/// `t`, `f`, `true`, `false`, `1`, `0`, in any case.
pub(super) fn truth(bytes: &[u8]) -> Option<bool> {
    match bytes {
        b"t" | b"T" | b"1" => Some(true),
        b"f" | b"F" | b"0" => Some(false),
        _ if bytes.eq_ignore_ascii_case(b"true") => Some(true),
        _ if bytes.eq_ignore_ascii_case(b"false") => Some(false),
        _ => None,
    }
}

/// A key of either type.
pub(super) fn key(bytes: &[u8]) -> Option<Key> {
    match bytes.len() {
        32.. => Uuid::try_parse_ascii(bytes).ok().map(Key::Uuid),
        _ => integer(bytes).map(Key::Int),
    }
}

/// A key of one type.
pub(super) fn key_of(bytes: &[u8], key_type: KeyType) -> Option<Key> {
    key(bytes).filter(|key| key.key_type() == key_type)
}

/// An instant: RFC 3339 with an offset, or as PostgreSQL writes one (a space for the `T`, offsets of hours only).
pub(super) fn instant(bytes: &[u8]) -> Option<Timestamp> {
    if let Some(micros) = plain_instant(bytes) {
        return instant::from_micros(micros);
    }
    instant::parse(std::str::from_utf8(bytes).ok()?).ok()
}

/// `2025-06-27T08:00:00Z` and `2025-06-27T08:00:00.123456Z`, also with a space and `+00`: what exports consist of.
fn plain_instant(bytes: &[u8]) -> Option<i64> {
    let local = bytes.strip_suffix(b"Z").or_else(|| bytes.strip_suffix(b"+00"))?;
    let (seconds, micros) = match local.len() {
        19 => (local, 0),
        26 if local[19] == b'.' => (&local[..19], digits(&local[20..])?),
        _ => return None,
    };
    if seconds[4] != b'-' || seconds[7] != b'-' || seconds[13] != b':' || seconds[16] != b':' {
        return None;
    }
    if seconds[10] != b'T' && seconds[10] != b' ' {
        return None;
    }
    let (year, month, day) = (digits(&seconds[..4])?, digits(&seconds[5..7])?, digits(&seconds[8..10])?);
    let (hour, minute, second) = (digits(&seconds[11..13])?, digits(&seconds[14..16])?, digits(&seconds[17..19])?);
    // leap seconds and whatever else is out of the ordinary are left to the full reader
    if hour > 23 || minute > 59 || second > 59 || !(1..=12).contains(&month) || day < 1 || day > month_days(year, month)
    {
        return None;
    }
    let hours = days_since_1970(year, month, day) * 24 + hour;
    Some(((hours * 60 + minute) * 60 + second) * 1_000_000 + micros)
}

fn digits(bytes: &[u8]) -> Option<i64> {
    let mut value = 0;
    for &byte in bytes {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(byte - b'0');
    }
    Some(value)
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar; years are counted from March, so that a leap day ends one.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_written_in_one_way() {
        assert_eq!(integer(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(integer(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(integer(b"007"), Some(7));
        for bad in ["", "-", "+5", "-0", "-00", " 5", "5 ", "1e9", "1.0", "NaN", "inf", "9223372036854775808", "٣"] {
            assert_eq!(integer(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn focus_scores_have_two_decimals() {
        for (text, value) in [
            ("0", 0),
            ("1", 100),
            ("0.7", 70),
            ("0.72", 72),
            ("0.7200", 72),
            ("-0.10", -10),
            ("9.99", 999),
            ("-9.99", -999),
        ] {
            assert_eq!(hundredths(text.as_bytes()), Some(value), "{text}");
        }
        for bad in [
            "", "-0", "-0.00", "NaN", "nan", "inf", "1e0", "0.725", "10", "10.00", ".5", "1.", "+1", "0,5", "0.1.2",
            "--1",
        ] {
            assert_eq!(hundredths(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn keys_of_both_types_are_told_apart() {
        let uuid = "0191f9a0-0000-7000-8000-000000000001";

        assert_eq!(key(uuid.as_bytes()), uuid.parse().ok());
        assert_eq!(key_of(b"7", KeyType::Int), Some(Key::Int(7)));
        assert_eq!(key_of(b"7", KeyType::Uuid), None);
        assert_eq!(key(b"\"7\""), None);
        assert_eq!(key(b"-0"), None);
        assert_eq!(key(b"9223372036854775808"), None);
    }

    #[test]
    fn instants_are_also_read_as_postgresql_writes_them() {
        let expected = instant::parse("2025-06-27T12:00:00.123456Z").unwrap();
        for text in [
            "2025-06-27T12:00:00.123456Z",
            "2025-06-27 12:00:00.123456+00",
            "2025-06-27 14:00:00.123456+02",
            "2025-06-27 17:30:00.123456+05:30",
            "2025-06-27T12:00:00.123456+00:00",
        ] {
            assert_eq!(instant(text.as_bytes()), Some(expected), "{text}");
        }
        for bad in [
            "",
            "0000-01-01T00:00:00Z",
            "9999-06-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2025-06-27T24:00:00Z",
            "2025-06-27 12:00:00",
            "2025-06-27",
            " 2025-06-27T12:00:00Z",
            "2025-06-27T12:00:00Z ",
            "infinity",
            "0044-03-15 00:00:00+00 BC",
            "1751025600",
        ] {
            assert_eq!(instant(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn integers_are_those_of_the_standard_library(number: i64) {
            prop_assert_eq!(integer(number.to_string().as_bytes()), Some(number));
        }

        #[test]
        fn the_short_way_reads_instants_as_the_long_way(
            micros in instant::MIN_MICROS..instant::END_MICROS, space: bool, postgres: bool,
        ) {
            let instant = instant::from_micros(micros).unwrap();
            let mut text = format!("{instant:.6}");
            if space { text = text.replace('T', " "); }
            if postgres { text = text.replace('Z', "+00"); }

            prop_assert_eq!(plain_instant(text.as_bytes()), Some(micros));
            prop_assert_eq!(super::instant(text.as_bytes()), Some(instant));
            prop_assert_eq!(instant::parse(&text), Ok(instant));
        }

        #[test]
        fn what_the_short_way_reads_the_long_way_reads_alike(
            text in "[0-9]{4}-[0-3][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{6})?(Z|\\+00)"
        ) {
            if let Some(micros) = plain_instant(text.as_bytes()) {
                prop_assert_eq!(instant::from_micros(micros), instant::parse(&text).ok());
            }
        }

        #[test]
        fn hundredths_are_read_back(value in -999i16..=999) {
            let sign = if value < 0 { "-" } else { "" };
            let text = format!("{sign}{}.{:02}", value.abs() / 100, value.abs() % 100);
            prop_assert_eq!(hundredths(text.as_bytes()), Some(value));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = (integer(&bytes), hundredths(&bytes), truth(&bytes), key(&bytes), instant(&bytes));
        }
    }
}
