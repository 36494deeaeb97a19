use proptest::prelude::*;

use super::*;

const ALL: [Compression; 4] = [Compression::Identity, Compression::Zlib, Compression::Gzip, Compression::Lz4];

fn compressors() -> impl Strategy<Value = Compressor> {
    (0..ALL.len(), 0..64usize).prop_map(|(index, at_least)| Compressor { compression: ALL[index], at_least })
}

/// Some of it can be compressed.
fn payloads() -> impl Strategy<Value = Vec<u8>> {
    (prop::collection::vec(any::<u8>(), 0..40), 0..8usize).prop_map(|(noise, times)| noise.repeat(times))
}

fn modes() -> impl Strategy<Value = Mode> {
    (0..MODES.len()).prop_map(|index| MODES[index])
}

fn one() -> Keyring {
    Keyring::new(&["secret"])
}

#[test]
fn whole_numbers_lie_bare() {
    assert_eq!(one().open(b"k", b"-12"), Ok(Opened::Whole("-12".to_owned())));
    assert_eq!(one().open(b"k", b"012"), Err(EnvelopeError::Foreign));
}

#[test]
fn signatures_of_older_secrets_are_accepted_and_are_not_made() {
    let (old, new, rotating) = (Keyring::new(&["old"]), Keyring::new(&["new"]), Keyring::new(&["new", "old"]));
    let seal = |keyring: &Keyring| keyring.seal(b"k", Mode::Pickle, b"payload", Compressor::NONE).unwrap();
    let value = Ok(Opened::Value(Mode::Pickle, b"payload".to_vec()));

    assert_eq!(rotating.open(b"k", &seal(&old)), value);
    assert_eq!(new.open(b"k", &seal(&rotating)), value);
    assert_eq!(old.open(b"k", &seal(&rotating)), Err(EnvelopeError::Forged));
}

#[test]
fn what_is_not_signed_is_read_only_where_nothing_is() {
    let without = Keyring::new::<&str>(&[]);
    let unsigned = without.seal(b"k", Mode::Pickle, b"payload", Compressor::NONE).unwrap();
    let signed = one().seal(b"k", Mode::Pickle, b"payload", Compressor::NONE).unwrap();

    assert_eq!(one().open(b"k", &unsigned), Err(EnvelopeError::Unsigned));
    assert!(without.open(b"k", &unsigned).is_ok());
    assert!(without.open(b"k", &signed).is_ok());
}

#[test]
fn a_secret_is_bound_to_its_purpose() {
    let sealed = one().seal(b"k", Mode::Bytes, b"", Compressor::NONE).unwrap();

    let bare = Hmac::<Sha256>::new_from_slice(b"secret").unwrap();
    let (header, signature) = sealed.split_at(HEADER);

    assert!(signed(&bare, b"k", header, b"").verify_truncated_left(signature).is_err());
}

#[test]
fn a_small_value_that_claims_to_be_large_costs_no_memory() {
    let bomb = Compressor { compression: Compression::Zlib, at_least: 0 };
    for (compression, number) in [(Compression::Zlib, 1), (Compression::Gzip, 2), (Compression::Lz4, 3)] {
        let keyring = Keyring::new::<&str>(&[]);
        let mut sealed = keyring.seal(b"k", Mode::Bytes, &[0; 4096], Compressor { compression, ..bomb }).unwrap();
        sealed[7..11].copy_from_slice(&(LARGEST as u32).to_be_bytes());
        assert_eq!(sealed[5], number);
        assert_eq!(keyring.open(b"k", &sealed), Err(EnvelopeError::Damaged));

        // And one that is larger than it says is not read to its end.
        sealed[7..11].copy_from_slice(&16u32.to_be_bytes());
        assert_eq!(keyring.open(b"k", &sealed), Err(EnvelopeError::Damaged));
        sealed[7..11].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(keyring.open(b"k", &sealed), Err(EnvelopeError::TooLarge));
    }
}

#[test]
fn kinds_to_come_are_told_from_damage() {
    let keyring = Keyring::new::<&str>(&[]);
    for place in [4, 5] {
        let mut sealed = keyring.seal(b"k", Mode::Bytes, b"x", Compressor::NONE).unwrap();
        sealed[place] = 200;
        assert_eq!(keyring.open(b"k", &sealed), Err(EnvelopeError::UnknownKind));
    }
}

#[test]
fn no_secret_is_printed() {
    assert_eq!(format!("{:?}", one()), "Keyring(1 secrets)");
}

proptest! {
    #[test]
    fn values_come_back(key: Vec<u8>, mode in modes(), payload in payloads(), compressor in compressors(), signs: bool) {
        let keyring = if signs { one() } else { Keyring::new::<&str>(&[]) };

        let sealed = keyring.seal(&key, mode, &payload, compressor).unwrap();

        prop_assert!(sealed.len() <= HEADER + SIGNATURE + payload.len());
        prop_assert_eq!(keyring.open(&key, &sealed), Ok(Opened::Value(mode, payload)));
    }

    #[test]
    fn any_flipped_bit_is_refused(
        mode in modes(), payload in payloads(), compressor in compressors(), place: prop::sample::Index, bit in 0..8u8,
    ) {
        let mut sealed = one().seal(b"key", mode, &payload, compressor).unwrap();
        let place = place.index(sealed.len());
        sealed[place] ^= 1 << bit;

        prop_assert!(one().open(b"key", &sealed).is_err());
    }

    #[test]
    fn another_key_another_secret_and_a_part_are_refused(
        key: Vec<u8>, other: Vec<u8>, payload in payloads(), secret: Vec<u8>, cut: prop::sample::Index,
    ) {
        let sealed = one().seal(&key, Mode::Pickle, &payload, Compressor::NONE).unwrap();

        prop_assert_eq!(one().open(&other, &sealed).is_ok(), key == other);
        prop_assert_eq!(Keyring::new(&[&secret]).open(&key, &sealed).is_ok(), secret == b"secret");
        prop_assert!(one().open(&key, &sealed[..cut.index(sealed.len())]).is_err());
        let moved = one().reseal(&key, &other, &sealed, Compressor::NONE);
        prop_assert_eq!(one().open(&other, &moved), Ok(Opened::Value(Mode::Pickle, payload)));
    }

    #[test]
    fn foreign_bytes_are_refused_and_never_a_panic(bytes: Vec<u8>, is_ours: bool) {
        let bytes = if is_ours { [MAGIC, &bytes].concat() } else { bytes };
        let bare = is_whole_number(&bytes);

        prop_assert!(bare || one().open(b"key", &bytes).is_err());
        let _ = Keyring::new::<&str>(&[]).open(b"key", &bytes);
    }
}
