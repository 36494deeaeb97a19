//! The bytes of stored values and tag records.

use std::time::Duration;

use redis::Value;

use crate::remote::{RemoteValue, Rule, StampRecord};
use crate::stamp::Stamps;
use crate::tag::TagId;

/// Bytes before the envelope: time (8), flags (1), whether there is a version (1), version (8).
const HEADER_BYTES: usize = 18;
/// Flags of a value that is as it was stored; the upper seven bits tell a value from foreign bytes.
const FLAGS: u8 = b'T';
/// Flags of a value that was invalidated softly: bit 0 is set.
const FLAGS_SOFT: u8 = b'U';
/// Bytes of a tag record before its rules.
const RECORD_BYTES: usize = 24;
/// The longest period that is sent, in milliseconds: a hundred years. The server refuses far longer ones.
const LONGEST_MS: u64 = 100 * 365 * 24 * 3600 * 1000;

/// The value in an answer, or `None` for none and for foreign bytes. `now` is the server's time in milliseconds.
pub(super) fn value(answer: Value, now: u64) -> Option<RemoteValue> {
    let Value::BulkString(mut bytes) = answer else { return None };
    let (written_at, rest) = bytes.split_first_chunk()?;
    let [flags @ (FLAGS | FLAGS_SOFT), 0..=1, ..] = *rest.get(..HEADER_BYTES - 8)? else { return None };
    let elapsed = now.checked_sub(u64::from_be_bytes(*written_at)).map(Duration::from_millis);
    bytes.drain(..HEADER_BYTES);
    Some(RemoteValue { envelope: bytes, elapsed, soft: flags == FLAGS_SOFT })
}

/// The record in an answer, or `None` for none and for foreign bytes.
pub(super) fn record(answer: &Value) -> Option<StampRecord> {
    let Value::BulkString(bytes) = answer else { return None };
    let (header, mut rest) = bytes.split_at_checked(RECORD_BYTES)?;
    let [hard, soft, bumped] = [0, 8, 16].map(|at| number(&header[at..]));
    let mut rules = Vec::new();
    while let Some((start, tail)) = rest.split_at_checked(9) {
        let (others, tail) = tail.split_at_checked(usize::from(start[8]) * 16)?;
        let others = others.as_chunks::<16>().0.iter().map(|tag| TagId::from_bytes(*tag)).collect();
        rules.push(Rule { number: number(start)?, others });
        rest = tail;
    }
    let stamps = Stamps { hard: hard?, soft: soft? };
    rest.is_empty().then_some(StampRecord { stamps, bumped: bumped.filter(|bumped| *bumped > 0), rules })
}

/// The first eight bytes as a number.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().copied().map(u64::from_be_bytes)
}

/// The answer to `TIME`, in milliseconds.
pub(super) fn time(answer: &Value) -> Option<u64> {
    let Value::Array(parts) = answer else { return None };
    let [Value::BulkString(seconds), Value::BulkString(micros)] = parts.as_slice() else { return None };
    let [seconds, micros] = [seconds, micros].map(|text| std::str::from_utf8(text).ok()?.parse::<u64>().ok());
    seconds?.checked_mul(1000)?.checked_add(micros? / 1000)
}

/// The stamps as a script takes them.
pub(super) fn stamps(stamps: Stamps) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&stamps.hard.to_be_bytes());
    bytes[8..].copy_from_slice(&stamps.soft.to_be_bytes());
    bytes
}

/// The version as it is stored.
pub(super) fn version(version: Option<u64>) -> [u8; 9] {
    let mut bytes = [0; 9];
    bytes[0] = u8::from(version.is_some());
    bytes[1..].copy_from_slice(&version.unwrap_or(0).to_be_bytes());
    bytes
}

/// The other tags of a rule as they are stored; empty if they are too many for one byte.
pub(super) fn others(tags: &[TagId]) -> Vec<u8> {
    let Ok(count) = u8::try_from(tags.len()) else { return Vec::new() };
    let mut bytes = vec![count];
    tags.iter().for_each(|tag| bytes.extend_from_slice(&tag.to_bytes()));
    bytes
}

/// A period in milliseconds as a server takes it: at least 1, at most a hundred years.
pub(super) fn millis(period: Duration) -> u64 {
    u64::try_from(period.as_millis()).unwrap_or(u64::MAX).clamp(1, LONGEST_MS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stored(flags: u8, envelope: &[u8]) -> Value {
        let mut bytes = 1000u64.to_be_bytes().to_vec();
        bytes.push(flags);
        bytes.extend(version(Some(7)));
        bytes.extend(envelope);
        Value::BulkString(bytes)
    }

    #[test]
    fn values_are_read_and_a_clock_that_went_back_gives_no_age() {
        let fresh = value(stored(FLAGS, b"body"), 1500).unwrap();
        let stale = value(stored(FLAGS_SOFT, b""), 999).unwrap();

        let expected =
            RemoteValue { envelope: b"body".to_vec(), elapsed: Some(Duration::from_millis(500)), soft: false };
        assert_eq!(fresh, expected);
        assert_eq!((stale.elapsed, stale.soft), (None, true));
    }

    #[test]
    fn periods_stay_within_what_a_server_takes() {
        assert_eq!(millis(Duration::ZERO), 1);
        assert_eq!(millis(Duration::from_millis(1500)), 1500);
        assert_eq!(millis(Duration::MAX), LONGEST_MS);
    }

    proptest! {
        #[test]
        fn foreign_bytes_are_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            record(&Value::BulkString(bytes.clone()));
            if bytes.len() < HEADER_BYTES {
                prop_assert_eq!(value(Value::BulkString(bytes), 0), None);
            } else {
                value(Value::BulkString(bytes), 0);
            }
        }

        #[test]
        fn records_are_read_as_they_are_written(
            hard: u64, soft: u64, bumped: u64,
            rules in prop::collection::vec((any::<u64>(), prop::collection::vec(any::<[u8; 16]>(), 0..4)), 0..4),
            cut in 1..200usize,
        ) {
            let rules: Vec<_> = rules.into_iter().map(|(number, others)| {
                Rule { number, others: others.into_iter().map(TagId::from_bytes).collect() }
            }).collect();
            let mut bytes = stamps(Stamps { hard, soft }).to_vec();
            bytes.extend(bumped.to_be_bytes());
            for rule in &rules {
                bytes.extend(rule.number.to_be_bytes());
                bytes.extend(others(&rule.others));
            }

            let read = record(&Value::BulkString(bytes.clone()));

            let bumped = Some(bumped).filter(|bumped| *bumped > 0);
            prop_assert_eq!(read.as_ref(), Some(&StampRecord { stamps: Stamps { hard, soft }, bumped, rules }));
            bytes.truncate(bytes.len().saturating_sub(cut));
            prop_assert!(record(&Value::BulkString(bytes)) != read);
        }
    }
}
