//! Hot keys as bytes: whatever happens to them, the start is warm or cold, and never a crash.

use std::time::SystemTime;

use proptest::prelude::*;
use tierkeep_cache::Tick;
use tierkeep_cache::warmup::{HotKeys, Snapshot, SnapshotError};
use xxhash_rust::xxh3::xxh3_64;

use crate::sources::{millis, secs};

const NOW: Tick = Tick::from_millis(1_000_000);
const SOURCE: u64 = 42;

fn snapshot() -> Snapshot {
    let hot = HotKeys::builder().build();
    for key in 0..20u64 {
        for _ in 0..=key {
            hot.record(if key % 2 == 0 { "even" } else { "odd" }, &key.to_be_bytes(), NOW);
        }
        hot.record_load("odd", &key.to_be_bytes(), millis(key), NOW);
        hot.record_change("even", &key.to_be_bytes(), NOW);
    }
    hot.snapshot(100, NOW, SystemTime::UNIX_EPOCH + secs(1_700_000_000), SOURCE)
}

/// The bytes with a checksum that fits.
fn sealed(body: &[u8]) -> Vec<u8> {
    let mut bytes = body.to_vec();
    bytes.extend(xxh3_64(body).to_le_bytes());
    bytes
}

#[test]
fn what_is_encoded_is_decoded() {
    let snapshot = snapshot();

    let decoded = Snapshot::decode(&snapshot.encode(), SOURCE).unwrap();

    assert_eq!((decoded.keys().len(), &decoded), (20, &snapshot));
}

#[test]
fn a_flipped_bit_and_a_cut_are_noticed_wherever_they_are() {
    let whole = snapshot().encode();

    for place in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[place / 8] ^= 1 << (place % 8);
        assert!(Snapshot::decode(&bytes, SOURCE).is_err(), "bit {place}");
    }
    for length in 0..whole.len() {
        assert!(Snapshot::decode(&whole[..length], SOURCE).is_err(), "{length} bytes");
    }
}

#[test]
fn other_things_are_told_apart() {
    let whole = snapshot().encode();
    let with = |place: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[place] = byte;
        Snapshot::decode(&bytes, SOURCE).unwrap_err()
    };

    assert_eq!(with(0, b'X'), SnapshotError::NotASnapshot);
    assert_eq!(with(4, 0), SnapshotError::OtherVersion(0));
    assert_eq!(with(4, 2), SnapshotError::OtherVersion(2));
    assert_eq!(with(60, !whole[60]), SnapshotError::Damaged);
    assert_eq!(Snapshot::decode(&whole, 7), Err(SnapshotError::OtherFingerprint { found: SOURCE, accepted: 7 }));
    assert_eq!(Snapshot::decode(&[], SOURCE), Err(SnapshotError::Size(0)));
    assert_eq!(Snapshot::decode(&[], SOURCE).unwrap_err().to_string(), "0 bytes, accepted: 13 to 67108864");
}

proptest! {
    #[test]
    fn whatever_is_sealed_is_refused_or_a_snapshot(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = b"TKHK\x01".to_vec();
        bytes.extend(SOURCE.to_le_bytes());
        bytes.extend(&body);

        // No panic, and no memory for numbers that are made up.
        if let Ok(snapshot) = Snapshot::decode(&sealed(&bytes), SOURCE) {
            prop_assert!(snapshot.keys().len() <= body.len());
        }
    }

    #[test]
    fn a_byte_of_a_sealed_snapshot_may_be_anything(place in 5usize..600, byte: u8) {
        let whole = snapshot().encode();
        let mut body = whole[..whole.len() - 8].to_vec();
        if let Some(at) = body.get_mut(place) {
            *at = byte;
        }

        drop(Snapshot::decode(&sealed(&body), SOURCE));
    }
}

#[test]
fn what_is_remembered_has_faded_by_the_time_since() {
    let taken = SystemTime::UNIX_EPOCH + secs(1_700_000_000);
    let hot = HotKeys::builder().half_life(secs(60)).build();
    (0..100).for_each(|_| hot.record("view", b"7", NOW));
    let snapshot = hot.snapshot(10, NOW, taken, SOURCE);
    let (later, early) =
        (HotKeys::builder().half_life(secs(60)).build(), HotKeys::builder().half_life(secs(60)).build());
    let start = Tick::from_millis(5_000_000);

    later.remember(&snapshot, start, taken + secs(120));
    early.remember(&snapshot, start, taken - secs(500));

    assert_eq!(later.heaviest(1, start)[0].weight.round(), 25.0);
    assert_eq!(early.heaviest(1, start)[0].weight.round(), 100.0, "a clock that was set back makes nothing heavier");
}
