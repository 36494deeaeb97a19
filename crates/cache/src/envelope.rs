//! A value as it lies in the remote tier: readable by any language, and checked before it is believed.
//!
//! All numbers are big-endian; times are milliseconds.
//!
//! | bytes | what |
//! |---|---|
//! | 3 | magic `TKC` |
//! | 1 | version of this layout, now 1; another version is a miss |
//! | 8 | fingerprint of the value's type and codec; another one is a miss |
//! | 1 | flags: 1 no such value (the body is empty), 2 the source's version is known, 4 its position, 8 the order of bumps |
//! | 8 | the source's version, or 0 |
//! | 8 | the source's position when it was read, or 0 |
//! | 8 | how many bumps there were before the load, or 0 |
//! | 8 | age when it was written: time since its load began |
//! | 8 | time it was still fresh when it was written |
//! | 8 | time it could still be served, fresh or stale, when it was written |
//! | 2 | number of tags |
//! | 32 each | tag (16), hard stamp (8), soft stamp (8) |
//! | 8 | xxh3-64 of everything before this field and of the body after it |
//! | rest | the body |
//!
//! How long ago it was written is not in it: the remote tier knows that by its own clock, so that no two
//! clocks are ever compared. **Version rule**: a reader takes exactly the versions it knows; nodes of two
//! releases with different layouts share a server and miss each other's values.

use std::time::Duration;

use crate::stamp::{Stamped, Stamps};
use crate::tag::TagId;

const MAGIC: [u8; 3] = *b"TKC";
const LAYOUT: u8 = 1;
const ABSENT: u8 = 1;
const HAS_VERSION: u8 = 2;
const HAS_POSITION: u8 = 4;
const HAS_BORN: u8 = 8;
/// More tags than this on one value are refused when it is written.
pub(crate) const MAX_TAGS: usize = 1000;

/// Everything about a stored value but its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) fingerprint: u64,
    pub(crate) absent: bool,
    pub(crate) version: Option<u64>,
    pub(crate) position: Option<u64>,
    pub(crate) born: Option<u64>,
    pub(crate) age: Duration,
    pub(crate) fresh: Duration,
    pub(crate) kept: Duration,
    pub(crate) stamps: Vec<Stamped>,
}

/// Bytes that are not an envelope, or not one for this reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAnEnvelope {
    Foreign,
    OtherLayout,
    OtherType,
    Damaged,
}

impl Header {
    pub(crate) fn seal(&self, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(74 + self.stamps.len() * 32 + body.len());
        bytes.extend(MAGIC);
        bytes.push(LAYOUT);
        bytes.extend(self.fingerprint.to_be_bytes());
        bytes.push(
            (if self.absent { ABSENT } else { 0 })
                | self.version.map_or(0, |_| HAS_VERSION)
                | self.position.map_or(0, |_| HAS_POSITION)
                | self.born.map_or(0, |_| HAS_BORN),
        );
        for number in [self.version, self.position, self.born] {
            bytes.extend(number.unwrap_or(0).to_be_bytes());
        }
        for period in [self.age, self.fresh, self.kept] {
            bytes.extend(u64::try_from(period.as_millis()).unwrap_or(u64::MAX).to_be_bytes());
        }
        let count = self.stamps.len().min(MAX_TAGS);
        bytes.extend((count as u16).to_be_bytes());
        for stamped in &self.stamps[..count] {
            bytes.extend(stamped.tag.to_bytes());
            bytes.extend(stamped.stamps.hard.to_be_bytes());
            bytes.extend(stamped.stamps.soft.to_be_bytes());
        }
        let sum = checksum(&bytes, body);
        bytes.extend(sum.to_be_bytes());
        bytes.extend(body);
        bytes
    }

    /// Reads an envelope of this type; the body is a part of `bytes`.
    pub(crate) fn open(bytes: &[u8], fingerprint: u64) -> Result<(Self, &[u8]), NotAnEnvelope> {
        let mut rest = Rest(bytes);
        if rest.take::<3>()? != MAGIC {
            return Err(NotAnEnvelope::Foreign);
        }
        if rest.take::<1>()? != [LAYOUT] {
            return Err(NotAnEnvelope::OtherLayout);
        }
        if rest.number()? != fingerprint {
            return Err(NotAnEnvelope::OtherType);
        }
        let [flags] = rest.take::<1>()?;
        let known = |number: u64, flag: u8| (flags & flag != 0).then_some(number);
        let version = known(rest.number()?, HAS_VERSION);
        let position = known(rest.number()?, HAS_POSITION);
        let born = known(rest.number()?, HAS_BORN);
        let mut period = || rest.number().map(Duration::from_millis);
        let (age, fresh, kept) = (period()?, period()?, period()?);
        let count = usize::from(u16::from_be_bytes(rest.take()?));
        if count > MAX_TAGS {
            return Err(NotAnEnvelope::Damaged);
        }
        let mut stamps = Vec::with_capacity(count);
        for _ in 0..count {
            let tag = TagId::from_bytes(rest.take()?);
            stamps.push(Stamped { tag, stamps: Stamps { hard: rest.number()?, soft: rest.number()? } });
        }
        let head = &bytes[..bytes.len() - rest.0.len()];
        let sum = rest.number()?;
        if checksum(head, rest.0) != sum {
            return Err(NotAnEnvelope::Damaged);
        }
        let absent = flags & ABSENT != 0;
        Ok((Self { fingerprint, absent, version, position, born, age, fresh, kept, stamps }, rest.0))
    }
}

fn checksum(head: &[u8], body: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(body, xxhash_rust::xxh3::xxh3_64(head))
}

struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], NotAnEnvelope> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(NotAnEnvelope::Damaged)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn number(&mut self) -> Result<u64, NotAnEnvelope> {
        self.take().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> impl Strategy<Value = Header> {
        let number = proptest::option::of(any::<u64>());
        let period = any::<u32>().prop_map(|millis| Duration::from_millis(millis.into()));
        let stamped = any::<([u8; 16], u64, u64)>()
            .prop_map(|(tag, hard, soft)| Stamped { tag: TagId::from_bytes(tag), stamps: Stamps { hard, soft } });
        let stamps = proptest::collection::vec(stamped, 0..5);
        (any::<bool>(), number.clone(), number.clone(), number, period.clone(), period.clone(), period, stamps)
            .prop_map(|(absent, version, position, born, age, fresh, kept, stamps)| Header {
                fingerprint: 7,
                absent,
                version,
                position,
                born,
                age,
                fresh,
                kept,
                stamps,
            })
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens(header in header(), body in any::<Vec<u8>>()) {
            let bytes = header.seal(&body);

            let (opened, rest) = Header::open(&bytes, 7).expect("sealed just now");

            prop_assert_eq!(opened, header);
            prop_assert_eq!(rest, &body[..]);
        }

        #[test]
        fn s20_any_other_bytes_are_refused_without_a_panic(bytes in any::<Vec<u8>>()) {
            prop_assert!(Header::open(&bytes, 7).is_err());
        }

        #[test]
        fn s20_a_changed_byte_or_a_cut_is_refused(header in header(), body in any::<Vec<u8>>(), at in any::<prop::sample::Index>(), xor in 1u8..) {
            let mut bytes = header.seal(&body);
            let at = at.index(bytes.len());

            prop_assert!(Header::open(&bytes[..at], 7).is_err());
            bytes[at] ^= xor;
            prop_assert!(Header::open(&bytes, 7).is_err());
        }
    }

    #[test]
    fn s20_another_type_or_layout_is_told_apart() {
        let header = Header {
            fingerprint: 7,
            absent: false,
            version: None,
            position: None,
            born: None,
            age: Duration::ZERO,
            fresh: Duration::ZERO,
            kept: Duration::ZERO,
            stamps: Vec::new(),
        };
        let mut bytes = header.seal(b"body");

        assert_eq!(Header::open(&bytes, 8).map(|_| ()), Err(NotAnEnvelope::OtherType));
        bytes[3] = 2;
        assert_eq!(Header::open(&bytes, 7).map(|_| ()), Err(NotAnEnvelope::OtherLayout));
    }
}
